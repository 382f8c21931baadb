"""What a contrast of two arms says, in numbers: the benchmark's paired t-test over problems, and the seeds beside it.

The unit of the test is a problem: its mean over the seeds that both arms have and over all samples (30 scores in the
benchmark, protocol 1.11), so n is the number of problems. Differences between seeds are averaged away inside the
unit: p, d_z and the bootstrap say what these runs do on other problems, not what other seeds would give. The figures
by seed answer that, with n = number of seeds; docs/statistics.md says how far the two lie apart.

Rates lie in [0, 1]; differences are in percentage points, treatment minus baseline. What is not defined (no spread,
one seed, nothing in common) is None, never NaN. SciPy and statsmodels are imported where they are used: `grpoq status`
reaches this module through the report's data model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

Problem = tuple[str, str]  # problem_id, mode
ProblemRates = Mapping[Problem, float]  # one run's, in [0, 1]
Bounds = tuple[float, float]

COUNTS = {  # rate: what is counted, and of how many, in a problem's row of eval/<hash>.json
    "hack_rate": ("hacks", "n_hinted"),
    "pass_rate": ("passes", "n_pass"),
    "hinted_pass_rate": ("hinted_passes", "n_hinted"),
    "empty_test_rate": ("empty_tests", "n_hinted"),
    "compile_rate": ("compiles", "n_hinted"),
}
LEVEL = 0.95  # of every interval
RESAMPLES = 9_999
# Differences closer together than this are equal: sums of rates round at 1e-16, one sample of a million is 1e-6.
NO_SPREAD = 1e-12


@dataclass(frozen=True)
class Comparison:
    """One rate of two arms on the seeds both have. Unit: a problem's mean over those seeds and all samples."""

    difference: float | None  # points
    bounds: Bounds | None  # 95 %, bootstrap over problems; None where problems are not known, or all differ alike
    n_problems: int
    t: float | None = None  # paired t-test over problems
    p: float | None = None
    p_holm: float | None = None  # over the plan's registered contrasts
    d_z: float | None = None  # mean of problem differences over their standard deviation
    seed_sd: float | None = None  # of the differences by seed; all four are blank at n = 1
    seed_sem: float | None = None
    seed_t: float | None = None
    seed_p: float | None = None
    band: float | None = None  # pass rate only: the equivalence band in points
    p_equivalent: float | None = None  # two one-sided tests over problems against the band
    equivalent: bool | None = None
    df: int | None = None  # of t
    t_bounds: Bounds | None = None  # 95 %, from the t-test


@dataclass(frozen=True)
class Paired:
    """The runs of two arms, side by side on what all of them have."""

    seeds: tuple[int, ...]
    problems: tuple[Problem, ...]
    treatment_SP: Array  # rates, a row per seed and a column per problem
    baseline_SP: Array


def problem_rates(rows: Sequence[Mapping[str, Any]], rate: str) -> dict[Problem, float]:
    """One run's rate by problem, from the rows under "problems" in eval/<hash>.json. `rate`: a key of COUNTS.

    Raises ValueError where a problem stands twice: which of the two would be its rate?
    """
    count, n = COUNTS[rate]
    rates: dict[Problem, float] = {}
    for row in rows:
        problem = (str(row["problem_id"]), str(row["mode"]))
        if problem in rates:
            raise ValueError(f"problem {problem[0]} in mode {problem[1]} stands twice in one evaluation")
        rates[problem] = row[count] / row[n]
    return rates


def paired(treatment: Mapping[int, ProblemRates], baseline: Mapping[int, ProblemRates]) -> Paired:
    """The common part of two arms' runs, given by seed. Sorted, so that no order of the input reaches a figure.

    Raises ValueError where a rate is outside [0, 1] or not a number.
    """
    import numpy as np

    seeds = sorted(treatment.keys() & baseline.keys())
    runs = [arm[seed] for seed in seeds for arm in (treatment, baseline)]
    problems = sorted(set.intersection(*map(set, runs))) if runs else []

    def table(arm: Mapping[int, ProblemRates]) -> Array:
        rows = [[_checked(arm[seed][problem], seed, problem) for problem in problems] for seed in seeds]
        return np.array(rows, dtype=float).reshape(len(seeds), len(problems))

    return Paired(
        seeds=tuple(seeds),
        problems=tuple(problems),
        treatment_SP=table(treatment),
        baseline_SP=table(baseline),
    )


def _checked(rate: float, seed: int, problem: Problem) -> float:
    if not 0 <= rate <= 1:  # false for NaN too
        raise ValueError(f"rate {rate} of problem {problem[0]} ({problem[1]}), seed {seed}, does not lie in [0, 1]")
    return float(rate)


def compare(of: Paired, seed: int, band: float | None = None, alpha_equivalent: float = 0.05) -> Comparison:
    """All that is said of one rate of two arms. `seed` fixes the bootstrap; `p_holm` is left to `holm`.

    band: points; with it the equivalence test is made, and `equivalent` means p_equivalent < alpha_equivalent (0.05:
    the 90 % interval of the difference lies within the band).
    """
    if not of.problems:
        return Comparison(None, None, 0, band=band)
    treatment, baseline = over_seeds(of.treatment_SP), over_seeds(of.baseline_SP)
    p_equivalent = None if band is None else _p_equivalent(treatment, baseline, band)
    by_problem = _paired_t(treatment, baseline)
    by_seed = _by_seed(of.treatment_SP.mean(axis=1), of.baseline_SP.mean(axis=1))
    return Comparison(
        difference=_points(treatment.mean() - baseline.mean()),
        bounds=_in_points(_bootstrap_bounds(treatment - baseline, seed)),
        n_problems=len(of.problems),
        t=by_problem.t,
        p=by_problem.p,
        d_z=None if by_problem.t is None else by_problem.t / math.sqrt(len(of.problems)),
        seed_sd=by_seed.sd,
        seed_sem=by_seed.sem,
        seed_t=by_seed.t,
        seed_p=by_seed.p,
        band=band,
        p_equivalent=p_equivalent,
        equivalent=None if p_equivalent is None else p_equivalent < alpha_equivalent,
        df=by_problem.df,
        t_bounds=_in_points(by_problem.bounds),
    )


def compare_by_seed(treatment: Mapping[int, float], baseline: Mapping[int, float]) -> Comparison:
    """Where only whole runs' rates are known: the difference and its figures by seed; what needs problems is blank."""
    import numpy as np

    seeds = sorted(treatment.keys() & baseline.keys())
    if not seeds:
        return Comparison(None, None, 0)
    T, B = (np.array([arm[seed] for seed in seeds], dtype=float) for arm in (treatment, baseline))
    found = _by_seed(T, B)
    return Comparison(
        difference=_points(T.mean() - B.mean()),
        bounds=None,
        n_problems=0,
        seed_sd=found.sd,
        seed_sem=found.sem,
        seed_t=found.t,
        seed_p=found.p,
    )


def over_seeds(rates_SP: Array) -> Array:
    """(..., seeds, problems) -> (..., problems): the units of the test."""
    return rates_SP.mean(axis=-2)


def paired_t_tests(treatment_P: Array, baseline_P: Array) -> tuple[Array, Array]:
    """t and two-sided p of scipy.stats.ttest_rel along the last axis; NaN where the differences have no spread.

    The arithmetic of `compare`, for many pairs of rows at once: what a plan's power is simulated with.
    """
    import numpy as np
    from scipy import stats

    t, p = np.full(treatment_P.shape[:-1], np.nan), np.full(treatment_P.shape[:-1], np.nan)
    defined = _has_spread(treatment_P - baseline_P)
    if defined.any():
        t[defined], p[defined] = stats.ttest_rel(treatment_P[defined], baseline_P[defined], axis=-1)
    return t, p


@dataclass(frozen=True)
class _PairedT:
    t: float | None = None
    p: float | None = None
    df: int | None = None
    bounds: Bounds | None = None


def _paired_t(treatment: Array, baseline: Array) -> _PairedT:
    from scipy import stats

    if not _has_spread(treatment - baseline):
        return _PairedT()
    test = stats.ttest_rel(treatment, baseline)
    interval = test.confidence_interval(LEVEL)
    return _PairedT(
        float(test.statistic), float(test.pvalue), int(test.df), (float(interval.low), float(interval.high))
    )


@dataclass(frozen=True)
class _BySeed:
    sd: float | None = None  # points
    sem: float | None = None
    t: float | None = None
    p: float | None = None


def _by_seed(treatment_S: Array, baseline_S: Array) -> _BySeed:
    from scipy import stats

    differences = treatment_S - baseline_S
    if len(differences) < 2:
        return _BySeed()
    if not _has_spread(differences):
        return _BySeed(0.0, 0.0)
    test = _paired_t(treatment_S, baseline_S)
    return _BySeed(_points(differences.std(ddof=1)), _points(stats.sem(differences)), test.t, test.p)


def _p_equivalent(treatment: Array, baseline: Array, band: float) -> float | None:
    """Two one-sided paired t-tests of |difference| < band points."""
    from statsmodels.stats.weightstats import ttost_paired

    if not _has_spread(treatment - baseline):
        return None
    return float(ttost_paired(100 * treatment, 100 * baseline, -band, band)[0])


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """Holm's adjusted p. A contrast without p (None) stays in the family as if its p were 1.

    Otherwise a registered contrast that is missing would make the others look better.
    """
    from statsmodels.stats.multitest import multipletests

    if not ps:
        return []
    adjusted = multipletests([1.0 if p is None else p for p in ps], method="holm")[1]
    return [None if p is None else float(a) for p, a in zip(ps, adjusted, strict=True)]


def rate_bounds(rates: ProblemRates, seed: int) -> Bounds | None:
    """95 % interval of one run's rate: bootstrap over problems, so that samples of a problem may resemble each other.

    Where all problems have the same rate (no hack anywhere) there is nothing to resample; then Wilson's interval as if
    each problem were one sample: the safe end, at which samples of a problem are copies.
    """
    import numpy as np

    if not rates:
        return None
    values = np.array([rates[problem] for problem in sorted(rates)], dtype=float)
    return _bootstrap_bounds(values, seed) or wilson_bounds(float(values.mean()), len(values))


def wilson_bounds(rate: float, n: int) -> Bounds | None:
    """95 % interval of a rate of which only n samples are known. It ignores that samples of one problem are alike, so
    it is too narrow: by sqrt(1 + (samples - 1) x correlation within a problem).
    """
    from statsmodels.stats.proportion import proportion_confint

    if n == 0:
        return None
    low, high = proportion_confint(rate * n, n, alpha=1 - LEVEL, method="wilson")
    return max(0.0, float(low)), min(1.0, float(high))


def _bootstrap_bounds(values: Array, seed: int) -> Bounds | None:
    """Of the mean, BCa (Efron 1987). None where there is no spread."""
    import numpy as np
    from scipy import stats

    def mean(resampled: Array, axis: int) -> Array:
        # BCa counts means equal to the observed one; unrounded, the last bit would decide which of them are.
        return np.round(resampled.mean(axis=axis), 12)

    if not _has_spread(values):
        return None
    rng = np.random.default_rng(seed)
    # A thousand resamples at a time stay in the processor's cache: eight times as fast as all at once.
    found = stats.bootstrap((values,), mean, n_resamples=RESAMPLES, batch=1000, confidence_level=LEVEL, rng=rng)
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def _has_spread(values: Array) -> Any:
    """Along the last axis: a bool for one row, an array of them for more."""
    return values.max(axis=-1) - values.min(axis=-1) > NO_SPREAD


def _points(share: float) -> float:
    return 100 * float(share)


def _in_points(bounds: Bounds | None) -> Bounds | None:
    return None if bounds is None else (_points(bounds[0]), _points(bounds[1]))
