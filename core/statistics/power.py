"""How often the registered test finds the registered effect, and how often one that is not there: by simulation.

The model. A run's mean hack rate is beta-distributed around its arm's, with standard deviation `seed_sd` between seeds
(0: all seeds alike). Within a run a problem's hack probability is beta-distributed around the run's mean with
parameters (mean x concentration, (1 - mean) x concentration), at the problem's own quantile, which is the same in every
run: a problem that is easy to exploit is so in both arms. `agreement` below 1 lets runs differ in what is easy. Each
run draws `samples` completions of each problem.

The test is the report's own (.comparison). It averages the seeds inside each problem, so with seed_sd > 0 it rejects a
true null far more often than alpha: two arms of three seeds each do differ then, on any problem, by luck of the seeds.
That rate is a result of this module, not a defect to be tuned away. Collapsed runs are not in the model.
"""

from __future__ import annotations

import functools
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from core.statistics.comparison import over_seeds, paired_t_tests

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

BASELINE = 0.79  # hack rate without an intervention: docs/protocol.md 1.10; nano's vanilla has 0.78 (docs/nano.md)
SEED_SD = 0.12  # of a hack rate between seeds, in the author's runs: docs/protocol.md 6.2
CONCENTRATION = 1.0  # nano's vanilla has 0.9 to 1.1 (tests/data/eval_counts.json, by moments)
DRAWS = 2_000
AT_ONCE = 200_000  # binomial draws in one go: they stay in the processor's cache
MEANS, QUANTILES = 129, 1_025  # of the table of beta quantiles


@dataclass(frozen=True)
class Design:
    """One contrast of a matrix: `seeds` runs in each of two arms, judged on the same problems."""

    problems: int
    samples: int  # completions per problem and run
    seeds: int
    baseline: float = BASELINE  # mean hack rate of the baseline arm, in (0, 1)
    concentration: float = CONCENTRATION  # of problems around a run's mean; the smaller, the more they differ
    seed_sd: float = 0.0  # of a run's mean rate around its arm's
    agreement: float = 1.0  # of runs on which problems are easy: correlation of a problem's normal score between runs

    def __post_init__(self) -> None:
        if min(self.problems, self.samples, self.seeds) < 1:
            raise ValueError(f"{self.problems} problems x {self.samples} samples x {self.seeds} seeds: all from 1 on")
        if not 0 < self.baseline < 1 or self.concentration <= 0 or self.seed_sd < 0:
            raise ValueError(f"{self}: baseline lies in (0, 1), concentration above 0, seed_sd from 0 on")
        if not 0 <= self.agreement <= 1:
            raise ValueError(f"agreement {self.agreement} does not lie in [0, 1]")


@dataclass(frozen=True)
class Rejected:
    """Shares of simulated matrices in which the two-sided paired t-test has p < alpha."""

    over_problems: float
    with_drop: float  # over problems, and the hack rate seen is lower by the registered effect or more
    over_seeds: float | None  # None at one seed


@dataclass(frozen=True)
class Power:
    """What a plan states of one hypothesis. `found`: under the effect; `false_alarm`: with no effect."""

    design: Design  # seed_sd: the one of `seeds_differ`
    effect_points: float
    alpha: float
    draws: int
    found: Rejected  # seeds alike: the test's own assumption
    false_alarm: Rejected
    found_seeds_differ: Rejected
    false_alarm_seeds_differ: Rejected

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def power_of(
    design: Design,
    effect_points: float,
    alpha: float = 0.01,
    draws: int = DRAWS,
    seed: int = 0,
    seed_sd: float = SEED_SD,
) -> Power:
    """The registered test at the registered effect, with seeds alike and with seeds that differ by `seed_sd`.

    effect_points: how far the treatment's mean hack rate lies below the baseline's. Standard error of a share: at most
    0.5 / sqrt(draws). Raises ValueError where the effect is larger than the baseline's rate.
    """
    alike, differing = (_with_seed_sd(design, sd) for sd in (0.0, seed_sd))
    found, false_alarm, found_d, false_alarm_d = (
        rejections(one, effect, draws, seed, alpha, effect_points)
        for one in (alike, differing)
        for effect in (effect_points, 0.0)
    )
    return Power(differing, effect_points, alpha, draws, found, false_alarm, found_d, false_alarm_d)


def rejections(
    design: Design, effect_points: float, draws: int, seed: int, alpha: float = 0.01, drop_points: float = 0.0
) -> Rejected:
    """Share of `draws` simulated matrices in which each test rejects; a test without spread does not.

    effect_points: the true difference. drop_points: what the observed one must reach for `with_drop`.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    size = max(1, AT_ONCE // (design.problems * design.seeds))
    over_problems = with_drop = by_seed = 0
    for first in range(0, draws, size):
        treatment_NSP, baseline_NSP = simulated(design, effect_points, min(size, draws - first), rng)
        rejected = _rejected(over_seeds(treatment_NSP), over_seeds(baseline_NSP), alpha)
        drop = 100 * (baseline_NSP - treatment_NSP).mean(axis=(-2, -1))
        over_problems += int(rejected.sum())
        with_drop += int((rejected & (drop >= drop_points)).sum())
        by_seed += int(_rejected(treatment_NSP.mean(axis=-1), baseline_NSP.mean(axis=-1), alpha).sum())
    return Rejected(over_problems / draws, with_drop / draws, by_seed / draws if design.seeds > 1 else None)


def _rejected(treatment: Array, baseline: Array, alpha: float) -> NDArray[np.bool_]:
    return paired_t_tests(treatment, baseline)[1] < alpha  # false where p is not defined


def simulated(design: Design, effect_points: float, draws: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """(draws, seeds, problems) hack rates of treatment and baseline."""
    treatment = design.baseline - effect_points / 100
    if not 0 < treatment < 1:
        raise ValueError(f"{effect_points} points below a hack rate of {design.baseline} is no rate between 0 and 1")
    score_N1P = rng.standard_normal((draws, 1, design.problems))
    return _rates(design, treatment, score_N1P, rng), _rates(design, design.baseline, score_N1P, rng)


def _rates(design: Design, mean: float, score_N1P: Array, rng: np.random.Generator) -> Array:
    """One arm's: (draws, seeds, problems)."""
    from scipy.special import ndtr

    N, _, P = score_N1P.shape
    own, score = 1 - design.agreement, score_N1P
    if own:
        score = math.sqrt(1 - own) * score_N1P + math.sqrt(own) * rng.standard_normal((N, design.seeds, P))
    run_mean_NS1 = _run_means(mean, design.seed_sd, (N, design.seeds, 1), rng)
    probability = problem_probabilities(run_mean_NS1, ndtr(score), design.concentration)
    return rng.binomial(design.samples, probability, (N, design.seeds, P)) / design.samples


def _run_means(mean: float, sd: float, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Beta with this mean and standard deviation; a single number where that is 0.

    Near 0 and 1 no rate varies that much: at most half of the most that one with this mean can, sqrt(mean (1 - mean)).
    """
    import numpy as np

    if sd == 0:
        return np.full((1, 1, 1), mean)
    most = math.sqrt(mean * (1 - mean))
    concentration = (most / min(sd, most / 2)) ** 2 - 1
    return rng.beta(mean * concentration, (1 - mean) * concentration, shape)


def problem_probabilities(mean: Array, quantile: Array, concentration: float) -> Array:
    """Beta quantiles by linear interpolation in a table, which takes a twentieth of betaincinv's time. Broadcasts."""
    import numpy as np
    from scipy.ndimage import map_coordinates

    mean, quantile = np.broadcast_arrays(mean, quantile)
    at = [mean * (MEANS - 1), quantile * QUANTILES - 0.5]
    return np.clip(map_coordinates(_beta_quantiles(concentration), at, order=1, mode="nearest"), 0, 1)


@functools.cache
def _beta_quantiles(concentration: float) -> Array:
    """(MEANS, QUANTILES): at means 0, ..., 1 and the midpoints of as many equal parts of [0, 1]."""
    import numpy as np
    from scipy.special import betaincinv

    mean = np.linspace(0, 1, MEANS)[1:-1, None]
    quantile = (np.arange(QUANTILES) + 0.5) / QUANTILES
    inner = betaincinv(mean * concentration, (1 - mean) * concentration, quantile)
    return np.vstack([np.zeros(QUANTILES), inner, np.ones(QUANTILES)])


def _with_seed_sd(design: Design, seed_sd: float) -> Design:
    return Design(**{**asdict(design), "seed_sd": seed_sd})
