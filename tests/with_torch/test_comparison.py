"""What a contrast says: against published figures, against closed formulas on stored runs, and laws over any input."""

import dataclasses
import json
import math
import subprocess
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.statistics.comparison import (
    COUNTS,
    Comparison,
    compare,
    compare_by_seed,
    holm,
    paired,
    problem_rates,
    rate_bounds,
    wilson_bounds,
)
from core.statistics.power import Design, simulated
from core.training import evaluate
from orchestrator.report import model
from support.paths import TESTS

Arm = dict[int, dict[tuple[str, str], float]]
STORED = json.loads((TESTS / "data" / "eval_counts.json").read_text())


@pytest.fixture(autouse=True)
def no_warning_leaks() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def arm(*rates_by_seed: list[float], first_seed: int = 41) -> Arm:
    return {
        first_seed + i: {(f"p{j:03}", "run_tests"): rate for j, rate in enumerate(rates)}
        for i, rates in enumerate(rates_by_seed)
    }


def compared(treatment: Arm, baseline: Arm, **choices: Any) -> Comparison:
    return compare(paired(treatment, baseline), seed=0, **choices)


def stored(label: str, rate: str) -> Arm:
    return {int(seed): problem_rates(rows, rate) for seed, rows in STORED["runs"][label].items()}


# -- published figures


def test_students_sleep_data_give_students_figures() -> None:
    """Cushny and Peebles 1905, as R prints it: t = -4.0621, df = 9, p = 0.002833, interval -2.4598858, -0.7001142."""
    first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    arms = [arm([(hours + 2) / 10 for hours in drug]) for drug in (first, second)]
    said = compared(*arms)
    assert said.difference == pytest.approx(-15.8)  # -1.58 hours
    assert (said.t, said.df) == (pytest.approx(-4.0621, abs=5e-5), 9)
    assert said.p == pytest.approx(0.002833, abs=5e-7)
    assert said.t_bounds == (pytest.approx(-24.598858, abs=5e-7), pytest.approx(-7.001142, abs=5e-7))
    assert said.d_z == pytest.approx(-1.58 / 1.229995, abs=1e-5)  # R: sd of the differences 1.229995


@pytest.mark.parametrize(
    "r, n, low, high",
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilsons_interval_is_newcombes(r: int, n: int, low: float, high: float) -> None:
    """Newcombe 1998, Statistics in Medicine 17, table I, method 3."""
    assert wilson_bounds(r / n, n) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


def test_a_contrast_without_p_does_not_make_the_others_look_better() -> None:
    assert holm([0.01, None, 0.03, None]) == [pytest.approx(0.04), None, pytest.approx(0.09), None]
    assert holm([None]) == [None]


# -- stored runs: counts by problem of three seeds of vanilla and of no_loophole

# Worked out apart from SciPy: means and variances in exact fractions, the distribution of t by mpmath's incomplete beta
# function to 40 digits, BCa written out with 400,000 resamples of another generator.
STORED_FIGURES = {
    "hack_rate": {
        "difference": -83.9583333333333,
        "t": -27.5380194907,
        "p": 1.20183840264e-30,
        "d_z": -3.97477074147,
        "t_bounds": (-90.0917584582, -77.8249082085),
        "seed_sd": 9.41196416506,
        "seed_sem": 5.4340000443,
        "seed_t": -15.4505580877,
        "seed_p": 0.00416287320797,
    },
    "pass_rate": {
        "difference": 48.6805555555556,
        "t": 9.61426241866,
        "p": 1.12223027962e-12,
        "d_z": 1.38769924887,
        "t_bounds": (38.4943715742, 58.866739537),
        "seed_sd": 6.73897419109,
        "seed_sem": 3.89074856329,
        "seed_t": 12.5118739399,
        "seed_p": 0.00632729572184,
    },
}
STORED_BCA = {"hack_rate": (-88.75, -76.458), "pass_rate": (38.958, 58.611)}


@pytest.mark.parametrize("rate", STORED_FIGURES)
def test_stored_runs_give_the_figures_of_closed_formulas(rate: str) -> None:
    said = compared(stored("no_loophole", rate), stored("vanilla", rate))
    assert (said.n_problems, said.df) == (48, 47)
    for name, expected in STORED_FIGURES[rate].items():
        assert getattr(said, name) == pytest.approx(expected, rel=1e-9), name
    assert said.bounds == pytest.approx(STORED_BCA[rate], abs=0.5)  # half a point: error of 9,999 resamples


@pytest.mark.parametrize("band, p", [(30, 0.999708566828), (50, 0.397774957578), (60, 0.0150846510116)])
def test_stored_runs_give_the_equivalence_of_closed_formulas(band: float, p: float) -> None:
    said = compared(stored("no_loophole", "pass_rate"), stored("vanilla", "pass_rate"), band=band)
    assert said.p_equivalent == pytest.approx(p, rel=1e-9)


def test_one_seed_leaves_the_figures_by_seed_blank_and_not_the_others() -> None:
    both = paired({41: stored("no_loophole", "hack_rate")[41]}, stored("vanilla", "hack_rate"))
    said = compare(both, seed=0)
    assert both.seeds == (41,)
    assert said.difference == pytest.approx(-92.2916666666667)  # of this seed alone, not against the mean of three
    assert said.t is not None and said.bounds is not None
    assert (said.seed_sd, said.seed_sem, said.seed_t, said.seed_p) == (None, None, None, None)


# -- the equivalence test


@pytest.mark.parametrize(
    "difference, equivalent",
    [(0, True), (8, True), (-8, True), (9.5, False), (-9.5, False), (12, False), (-12, False), (30, False)],
)
def test_pass_rates_are_equivalent_only_well_within_the_band_on_both_sides(difference: float, equivalent: bool) -> None:
    around = [difference / 100 + spread for spread in (-0.03, 0.03) * 10]  # standard error 0.7 points
    said = compared(arm([0.5 + d for d in around]), arm([0.5] * 20), band=10)
    assert said.band == 10 and said.equivalent is equivalent
    assert said.p_equivalent is not None and (said.p_equivalent < 0.5) is (abs(difference) < 10)


def test_equivalence_is_the_larger_of_two_one_sided_ps() -> None:
    """Differences 2, 4, 6 points against a band of 10: t = (4 - 10) / (2 / sqrt 3), and with 2 degrees of freedom
    P(T < t) = 1/2 + t / (2 sqrt(2 + t^2))."""
    t = -6 / (2 / math.sqrt(3))
    said = compared(arm([0.52, 0.54, 0.56]), arm([0.5, 0.5, 0.5]), band=10)
    assert said.p_equivalent == pytest.approx(0.5 + t / (2 * math.sqrt(2 + t * t)))
    assert said.equivalent is True
    assert compared(arm([0.52, 0.54, 0.56]), arm([0.5] * 3), band=10, alpha_equivalent=0.01).equivalent is False


def test_without_a_band_nothing_is_said_of_equivalence() -> None:
    said = compared(arm([0.1, 0.5]), arm([0.2, 0.5]))
    assert (said.band, said.p_equivalent, said.equivalent) == (None, None, None)


# -- what enters


def test_only_seeds_of_both_arms_and_problems_of_every_run_enter_and_the_rest_is_named() -> None:
    treatment, baseline = arm([0.1, 0.2, 0.3], [0.3, 0.4, 0.5]), arm([0.5, 0.5, 0.5], [0.7, 0.7, 0.7], [1.0, 1.0, 1.0])
    del treatment[42][("p001", "run_tests")]
    baseline[41][("p001", "sentinel")] = 0.9  # another mode: another problem
    units = paired(treatment, baseline)
    assert units.seeds == (41, 42)
    assert units.problems == (("p000", "run_tests"), ("p002", "run_tests"))
    said = compare(units, seed=0)
    assert said.n_problems == 2
    assert said.difference == pytest.approx(100 * (0.3 - 0.6))  # (.1 + .3 + .3 + .5) / 4, (.5 + .7) / 2


def test_the_unit_is_a_problems_mean_over_seeds_so_n_is_the_number_of_problems() -> None:
    """By problem -10, -20, -30: mean -20, sd 10, t = -20 / (10 / sqrt 3). By seed -10, -30: sd sqrt 200, t = -2."""
    said = compared(arm([0.4, 0.4, 0.4], [0.3, 0.2, 0.1]), arm([0.4, 0.5, 0.6], [0.5, 0.5, 0.5]))
    assert (said.n_problems, said.df) == (3, 2)
    assert said.t == pytest.approx(-2 * math.sqrt(3)) and said.d_z == pytest.approx(-2)
    assert said.seed_sd == pytest.approx(math.sqrt(200)) and said.seed_sem == pytest.approx(10)
    assert said.seed_t == pytest.approx(-2) and said.seed_p == pytest.approx(2 * math.atan(1 / 2) / math.pi)  # Cauchy


def test_nothing_in_common_is_blank() -> None:
    blank = Comparison(None, None, 0)
    assert compared(arm([0.5, 0.6]), arm([0.5, 0.6], first_seed=50)) == blank
    assert compared({}, {}) == blank
    assert compared(arm([0.5]), {41: {("other", "run_tests"): 0.5}}, band=10) == dataclasses.replace(blank, band=10)
    assert compare_by_seed({41: 0.5}, {42: 0.5}) == blank


@pytest.mark.parametrize("rate", [math.nan, math.inf, -0.1, 1.1])
def test_what_is_no_rate_is_refused_by_name(rate: float) -> None:
    with pytest.raises(ValueError, match=r"problem p001 \(run_tests\), seed 41"):
        paired(arm([0.5, rate]), arm([0.5, 0.5]))


def test_counts_become_the_rates_that_evaluation_reports() -> None:
    rows = STORED["runs"]["vanilla"]["41"]
    said = evaluate.rates([{"empty_tests": 0, "compiles": 0, "hinted_passes": 0, "tokens": 0, **row} for row in rows])
    for rate in ("hack_rate", "pass_rate"):
        by_problem = problem_rates(rows, rate)
        assert len(by_problem) == len(rows)
        assert sum(by_problem.values()) / len(rows) == pytest.approx(said[rate])
    assert set(COUNTS) == set(model.RATES)
    with pytest.raises(ValueError, match="stands twice"):
        problem_rates([*rows, rows[3]], "hack_rate")


def test_whole_runs_give_the_figures_by_seed_and_leave_the_rest_blank() -> None:
    """-10, -30, -50 points: mean -30, sd 20, t = -30 / (20 / sqrt 3)."""
    said = compare_by_seed({41: 0.5, 42: 0.4, 43: 0.3, 44: 0.0}, {43: 0.8, 41: 0.6, 42: 0.7})
    assert (said.difference, said.seed_sd) == (pytest.approx(-30), pytest.approx(20))
    assert said.seed_t == pytest.approx(-1.5 * math.sqrt(3))
    assert (said.bounds, said.n_problems, said.t, said.p, said.d_z) == (None, 0, None, None, None)


# -- where a figure is not defined


@pytest.mark.parametrize(
    "treatment, baseline, difference",
    [
        (arm([0.0] * 5, [0.0] * 5), arm([1.0] * 5, [1.0] * 5), -100),  # hacks nowhere against everywhere
        (arm([0.3, 0.7]), arm([0.3, 0.7]), 0),
        (arm([0.1 + 0.2, 0.6]), arm([0.2, 0.5]), 10),  # equal but for rounding
        (arm([0.25]), arm([0.75]), -50),  # one problem
    ],
)
def test_without_spread_over_problems_there_is_a_difference_and_no_test(
    treatment: Arm, baseline: Arm, difference: float
) -> None:
    said = compared(treatment, baseline, band=10)
    assert said.difference == pytest.approx(difference)
    assert {said.bounds, said.t, said.p, said.d_z, said.df, said.t_bounds, said.p_equivalent, said.equivalent} == {None}


def test_seeds_that_agree_exactly_have_no_spread_and_no_test() -> None:
    said = compared(arm([0.1, 0.5], [0.1, 0.5]), arm([0.2, 0.2], [0.2, 0.2]))
    assert (said.seed_sd, said.seed_sem, said.seed_t, said.seed_p) == (0.0, 0.0, None, None)
    assert said.t is not None


# -- intervals


def differences_of(problems: int, draws: int) -> tuple[np.ndarray, np.ndarray]:
    design = Design(problems, samples=10, seeds=3, concentration=1.0)
    return simulated(design, 30, draws, np.random.default_rng(7))


def test_the_interval_of_a_difference_covers_at_its_level() -> None:
    treatment, baseline = differences_of(60, 300)
    covered = 0
    for T, B in zip(treatment, baseline, strict=True):
        bounds = compared(arm(*T.tolist()), arm(*B.tolist())).bounds
        assert bounds is not None
        covered += bounds[0] <= -30 <= bounds[1]
    assert abs(covered / 300 - 0.95) < 3 * math.sqrt(0.95 * 0.05 / 300)


def test_the_interval_of_a_rate_covers_at_its_level_and_wilsons_does_not_where_samples_resemble_each_other() -> None:
    _, baseline = differences_of(60, 300)
    bootstrap = wilson = 0
    for B in baseline:
        rates = B[0].tolist()
        low, high = rate_bounds(arm(rates)[41], seed=0) or (1, 0)
        bootstrap += low <= 0.79 <= high
        low, high = wilson_bounds(B[0].mean(), 60 * 10) or (1, 0)
        wilson += low <= 0.79 <= high
    assert abs(bootstrap / 300 - 0.95) < 3 * math.sqrt(0.95 * 0.05 / 300)
    assert wilson / 300 < 0.8


def test_a_run_without_any_hack_has_an_upper_bound_above_zero() -> None:
    """As if each of 113 problems were one sample: z^2 / (n + z^2)."""
    z2 = 1.959964**2
    assert rate_bounds(arm([0.0] * 113)[41], seed=0) == (0.0, pytest.approx(z2 / (113 + z2), abs=1e-6))
    low, high = rate_bounds(arm([1.0] * 113)[41], seed=0) or (0, 0)
    assert (low, high) == (pytest.approx(113 / (113 + z2), abs=1e-6), 1.0)
    assert rate_bounds({}, seed=0) is None and wilson_bounds(0.5, 0) is None


def test_the_same_seed_gives_the_same_bytes() -> None:
    arms = stored("no_loophole", "pass_rate"), stored("vanilla", "pass_rate")
    first, again, other = (json.dumps(dataclasses.asdict(compare(paired(*arms), seed))) for seed in (0, 0, 1))
    assert first == again != other


# -- laws over any input


PROBLEMS = [(f"p{i}", mode) for i in range(5) for mode in ("run_tests", "sentinel")]
a_rate = st.integers(0, 10).map(lambda k: k / 10) | st.floats(0, 1)
runs = st.dictionaries(st.sampled_from(PROBLEMS), a_rate, max_size=8)
arms = st.dictionaries(st.integers(41, 45), runs, max_size=4)


def close(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is other
    if isinstance(one, tuple):
        return all(close(*pair) for pair in zip(one, other, strict=True))
    return math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-6)


@settings(max_examples=80, deadline=None)
@given(arms, arms, st.floats(0.1, 20))
def test_no_input_gives_anything_but_numbers_and_blanks(treatment: Arm, baseline: Arm, band: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        said = compared(treatment, baseline, band=band)
    json.dumps(dataclasses.asdict(said), allow_nan=False)
    for name in ("p", "seed_p", "p_equivalent"):
        p = getattr(said, name)
        assert p is None or 0 <= p <= 1
    for bounds in (said.bounds, said.t_bounds):
        assert bounds is None or bounds[0] <= bounds[1]
    if len(treatment.keys() & baseline.keys()) < 2:
        assert {said.seed_sd, said.seed_sem, said.seed_t, said.seed_p} == {None}
    if said.difference is not None:
        units = paired(treatment, baseline)
        by_seed = 100 * (units.treatment_SP.mean(axis=1) - units.baseline_SP.mean(axis=1))
        assert said.difference == pytest.approx(by_seed.mean(), abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(arms, arms)
def test_swapping_the_arms_turns_every_sign_and_nothing_else(treatment: Arm, baseline: Arm) -> None:
    one, other = compared(treatment, baseline, band=10), compared(baseline, treatment, band=10)
    for name in ("difference", "t", "d_z", "seed_t"):
        turned = getattr(other, name)
        assert close(getattr(one, name), None if turned is None else -turned), name
    for name in ("bounds", "t_bounds"):
        turned = getattr(other, name)
        assert close(getattr(one, name), None if turned is None else (-turned[1], -turned[0])), name
    for name in ("n_problems", "p", "seed_sd", "seed_sem", "seed_p", "p_equivalent", "df"):
        assert close(getattr(one, name), getattr(other, name)), name


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 10), min_size=4, max_size=4), min_size=1, max_size=3),
    st.lists(st.lists(st.integers(0, 10), min_size=4, max_size=4), min_size=3, max_size=3),
    st.integers(0, 10),
)
def test_a_constant_added_to_every_problem_moves_the_difference_and_keeps_the_spread(
    treatment: list[list[int]], baseline: list[list[int]], more: int
) -> None:
    low = arm(*([k / 20 for k in row] for row in treatment))
    high = arm(*([(k + more) / 20 for k in row] for row in treatment))
    rival = arm(*([k / 20 for k in row] for row in baseline))
    one, other = compared(low, rival), compared(high, rival)
    assert one.difference is not None and other.difference is not None
    assert other.difference - one.difference == pytest.approx(5 * more)
    assert close(one.seed_sd, other.seed_sd)
    for name in ("bounds", "t_bounds"):
        before, after = getattr(one, name), getattr(other, name)
        assert (before is None) is (after is None)
        if before is not None:
            assert close(after, (before[0] + 5 * more, before[1] + 5 * more)), name


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_neither_the_order_of_seeds_nor_that_of_problems_matters(data: st.DataObject) -> None:
    treatment, baseline = data.draw(arms), data.draw(arms)

    def shuffled(of: Arm) -> Arm:
        seeds = data.draw(st.permutations(list(of)))
        return {seed: {p: of[seed][p] for p in data.draw(st.permutations(list(of[seed])))} for seed in seeds}

    assert compared(treatment, baseline, band=5) == compared(shuffled(treatment), shuffled(baseline), band=5)


@settings(max_examples=12, deadline=None)  # multipletests collects garbage: 0.1 s a call
@given(st.lists(st.none() | st.floats(0, 1), max_size=8))
def test_holm_keeps_blanks_and_never_lowers_a_p(ps: list[float | None]) -> None:
    for p, adjusted in zip(ps, holm(ps), strict=True):
        assert (p is None) is (adjusted is None)
        if p is not None and adjusted is not None:
            assert p <= adjusted <= min(1.0, p * len(ps)) + 1e-12 or math.isclose(p, adjusted)


@settings(max_examples=60, deadline=None)
@given(runs)
def test_bounds_of_a_run_lie_about_its_rate(rates: dict[tuple[str, str], float]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bounds = rate_bounds(rates, seed=0)
    assert (bounds is None) is (not rates)
    if bounds is not None:
        assert -1e-9 <= bounds[0] <= bounds[1] <= 1 + 1e-9


# -- what it costs to import


def test_the_data_model_of_a_report_loads_no_numpy() -> None:
    modules = "orchestrator.report.model, orchestrator.planning.power_text, core.statistics.power"
    code = f"import sys, {modules}\nprint(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not set(loaded) & {"numpy", "scipy", "statsmodels", "torch"}
    assert model.Comparison is Comparison
