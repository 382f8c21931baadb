"""The simulated power: its test is the report's, its level and its power are those of formulas and of other draws."""

import json
import math

import numpy as np
import pytest
from scipy import special, stats
from statsmodels.stats.power import TTestPower

from core.statistics.comparison import compare, paired, problem_rates
from core.statistics.power import CONCENTRATION, Design, Power, power_of, problem_probabilities, rejections, simulated
from orchestrator.planning.power_text import power_lines
from support.paths import TESTS

STORED = json.loads((TESTS / "data" / "eval_counts.json").read_text())
BENCHMARK = Design(problems=113, samples=10, seeds=3)  # docs/protocol.md 1.8, 1.11


def within(share: float, expected: float, draws: int, errors: float = 3.0) -> bool:
    """Whether a share of `draws` lies within so many standard errors."""
    return abs(share - expected) <= errors * math.sqrt(expected * (1 - expected) / draws)


@pytest.mark.parametrize("seed_sd", [0.0, 0.12])
def test_the_simulated_test_is_the_reports_own_to_the_last_bit(seed_sd: float) -> None:
    design = Design(problems=17, samples=4, seeds=3, seed_sd=seed_sd)
    treatment, baseline = simulated(design, 10, 40, np.random.default_rng(5))
    rejected_over_problems = rejected_over_seeds = 0
    for one in range(40):
        arms = [
            {seed: {(f"p{i:02}", "run_tests"): rate for i, rate in enumerate(row)} for seed, row in enumerate(arm[one])}
            for arm in (treatment, baseline)
        ]
        said = compare(paired(*arms), seed=0)
        assert said.difference == pytest.approx(100 * (treatment[one].mean() - baseline[one].mean()), abs=1e-9)
        rejected_over_problems += said.p is not None and said.p < 0.05
        rejected_over_seeds += said.seed_p is not None and said.seed_p < 0.05
    shares = rejections(design, 10, 40, 5, alpha=0.05)
    assert (shares.over_problems, shares.over_seeds) == (rejected_over_problems / 40, rejected_over_seeds / 40)
    assert 0 < rejected_over_problems < 40


@pytest.mark.parametrize("alpha", [0.01, 0.05])
def test_a_true_null_is_rejected_at_the_tests_level(alpha: float) -> None:
    shares = rejections(BENCHMARK, 0, 10_000, seed=1, alpha=alpha)
    assert within(shares.over_problems, alpha, 10_000)
    assert shares.over_seeds is not None and within(shares.over_seeds, alpha, 10_000)


def d_z(design: Design, effect_points: float) -> float:
    """Of a problem's difference in this model, seeds alike: by numerical integration over problems."""
    u = (np.arange(20_000) + 0.5) / 20_000
    means = (design.baseline - effect_points / 100, design.baseline)
    treatment, baseline = (stats.beta.ppf(u, m * design.concentration, (1 - m) * design.concentration) for m in means)
    noise = sum((p * (1 - p)).mean() for p in (treatment, baseline)) / (design.samples * design.seeds)
    return float((treatment - baseline).mean() / math.sqrt((treatment - baseline).var() + noise))


@pytest.mark.parametrize(
    "design, effect_points",
    [
        (BENCHMARK, 2),
        (Design(113, 10, 3, baseline=0.5, concentration=4.0), 3),
        (Design(64, 2, 1), 10),
        (Design(40, 5, 3, baseline=0.5), 8),
    ],
)
def test_power_is_that_of_the_noncentral_t_where_seeds_are_alike(design: Design, effect_points: float) -> None:
    expected = TTestPower().power(d_z(design, effect_points), design.problems, 0.01)
    assert 0.2 < expected < 0.95, "a power that can be missed on both sides"
    # Differences are counts, not normal: three points beside the error of the draws.
    assert rejections(design, effect_points, 4_000, seed=2).over_problems == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("effect_points, design", [(30, BENCHMARK), (2, BENCHMARK), (30, Design(16, 2, 3))])
def test_the_power_that_is_stated_is_met_by_other_draws(effect_points: float, design: Design) -> None:
    stated = power_of(design, effect_points)
    for said, seed_sd, effect in (
        (stated.found, 0.0, effect_points),
        (stated.false_alarm, 0.0, 0),
        (stated.found_seeds_differ, 0.12, effect_points),
        (stated.false_alarm_seeds_differ, 0.12, 0),
    ):
        again = Design(design.problems, design.samples, design.seeds, seed_sd=seed_sd)
        met = rejections(again, effect, 4_000, seed=99, drop_points=effect_points)
        for name in ("over_problems", "with_drop", "over_seeds"):
            share, other = getattr(said, name), getattr(met, name)
            error = math.sqrt(max(share * (1 - share), 1e-3) * (1 / stated.draws + 1 / 4_000))
            assert abs(share - other) <= 4 * error, (name, seed_sd, effect, share, other)


def test_seeds_that_differ_break_the_level_of_the_test_over_problems_and_not_of_that_over_seeds() -> None:
    stated = power_of(BENCHMARK, 30)
    assert stated.false_alarm.over_problems < 0.02
    assert stated.false_alarm_seeds_differ.over_problems > 0.8
    assert stated.false_alarm_seeds_differ.over_seeds is not None and stated.found_seeds_differ.over_seeds is not None
    assert stated.false_alarm_seeds_differ.over_seeds < 0.02
    assert stated.found_seeds_differ.over_seeds < 0.2
    # What keeps a null from passing as H1 is that 30 points must be seen, not p.
    assert stated.false_alarm_seeds_differ.with_drop < 0.01


def test_the_seeds_part_is_that_of_a_simulation_written_out() -> None:
    """One matrix at a time, with SciPy's own beta quantiles."""
    design, rng, rejected, draws = Design(30, 5, 3, seed_sd=0.12), np.random.default_rng(3), 0, 400
    a = 0.79 * (0.79 * 0.21 / 0.12**2 - 1)
    for _ in range(draws):
        u = rng.random(30)
        arms = []
        for _ in range(2):
            means = rng.beta(a, a * 0.21 / 0.79, 3)
            arms.append(np.mean([rng.binomial(5, stats.beta.ppf(u, m, 1 - m)) / 5 for m in means], axis=0))
        rejected += stats.ttest_rel(*arms).pvalue < 0.01
    share = rejections(design, 0, 4_000, seed=4).over_problems
    assert within(rejected / draws, share, draws)
    assert 0.4 < share < 0.8


def test_runs_have_the_stated_mean_and_spread() -> None:
    treatment, baseline = simulated(
        Design(400, 50, 2, seed_sd=0.12, concentration=5.0), 30, 2_000, np.random.default_rng(0)
    )
    for arm, mean in ((treatment, 0.49), (baseline, 0.79)):
        run_means = arm.mean(axis=-1).ravel()
        assert run_means.mean() == pytest.approx(mean, abs=0.01)
        assert run_means.std() == pytest.approx(0.12, abs=0.003)


def test_runs_agree_on_problems_as_far_as_stated() -> None:
    """Hardly any noise of sampling, and at one mean the quantile is monotone: Kendall's tau is 2 asin(r) / pi."""
    for agreement in (0.0, 0.4, 1.0):
        design = Design(2_000, 100_000, 1, baseline=0.5, concentration=4.0, agreement=agreement)
        treatment, baseline = simulated(design, 0, 1, np.random.default_rng(0))
        tau = stats.kendalltau(treatment.ravel(), baseline.ravel()).statistic
        assert tau == pytest.approx(2 * math.asin(agreement) / math.pi, abs=0.05)


def test_problems_differ_as_they_do_in_stored_runs() -> None:
    """Vanilla's three runs, by moments: variance over problems = m (1 - m) (1/n + (1 - 1/n) / (concentration + 1))."""
    for rows in STORED["runs"]["vanilla"].values():
        rates = np.array(list(problem_rates(rows, "hack_rate").values()))
        m, n = rates.mean(), rows[0]["n_hinted"]
        alike = (rates.var(ddof=1) / (m * (1 - m)) - 1 / n) / (1 - 1 / n)
        assert 1 / alike - 1 == pytest.approx(CONCENTRATION, abs=0.25)


def test_a_problem_stands_at_its_quantile_in_every_run() -> None:
    mean, u = np.random.default_rng(0).random((2, 20_000))
    for concentration in (0.5, 1.0, 2.0):
        exact = special.betaincinv(mean * concentration, (1 - mean) * concentration, u)
        found = problem_probabilities(mean, u, concentration)
        inside = (mean > 0.02) & (mean < 0.98)  # nearer to 0 and 1 the table's cells are as wide as the rate
        assert np.sqrt(((found - exact)[inside] ** 2).mean()) < 2e-3
        assert abs((found - exact).mean()) < 1e-4


def test_the_same_seed_gives_the_same_figures() -> None:
    assert power_of(BENCHMARK, 30, draws=300) == power_of(BENCHMARK, 30, draws=300)
    assert power_of(BENCHMARK, 30, draws=300) != power_of(BENCHMARK, 30, draws=300, seed=1)


def test_draws_in_parts_are_all_counted() -> None:
    """More than one part of AT_ONCE, the last of them smaller: a share of 1 stays 1."""
    assert rejections(BENCHMARK, 40, 1_234, seed=0).over_problems == 1.0


def test_where_no_problem_ever_differs_no_test_rejects() -> None:
    assert rejections(Design(1, 1, 1), 0, 50, seed=0).over_problems == 0.0
    assert rejections(Design(5, 1, 1, baseline=0.9999999), 0, 50, seed=0).over_problems == 0.0


@pytest.mark.parametrize("effect_points", [80, -25])
def test_an_effect_that_no_rate_can_have_is_refused(effect_points: float) -> None:
    with pytest.raises(ValueError, match=f"{effect_points} points below a hack rate of 0.79"):
        power_of(BENCHMARK, effect_points)


@pytest.mark.parametrize(
    "figures",
    [{"problems": 0}, {"seeds": 0}, {"baseline": 1.0}, {"concentration": 0.0}, {"seed_sd": -0.1}, {"agreement": 1.5}],
)
def test_a_design_that_cannot_be_is_refused(figures: dict) -> None:
    with pytest.raises(ValueError):
        Design(**{"problems": 10, "samples": 2, "seeds": 3, **figures})


@pytest.mark.parametrize("design", [BENCHMARK, Design(64, 2, 1), Design(10_000, 100, 12, seed_sd=0.125)])
def test_four_lines_of_eighty_columns_say_it(design: Design) -> None:
    stated = power_of(design, 30, draws=2)
    lines = power_lines("H1", stated)
    assert len(lines) == 4 and max(map(len, lines)) <= 80
    assert len({len(line) for line in lines}) == 1, "columns stand under each other"


def test_lines_say_each_figure_in_its_place() -> None:
    stated = power_of(BENCHMARK, 30)
    assert isinstance(stated, Power) and stated.to_json()["found_seeds_differ"]["over_problems"] > 0.95
    rows = [line.split() for line in power_lines("H1", stated)[1:]]
    shares = [
        (stated.found.over_problems, stated.false_alarm.over_problems),
        (stated.found_seeds_differ.over_problems, stated.false_alarm_seeds_differ.over_problems),
        (stated.found_seeds_differ.over_seeds, stated.false_alarm_seeds_differ.over_seeds),
    ]
    for row, (found, false_alarm) in zip(rows, shares, strict=True):
        assert found is not None and false_alarm is not None
        assert row[-4:] == [f"{100 * found:.1f}", "%", f"{100 * false_alarm:.1f}", "%"]
    one_seed = power_lines("H1", power_of(Design(113, 10, 1), 30, draws=2))
    assert one_seed[-1].split()[-2:] == ["-", "-"]
