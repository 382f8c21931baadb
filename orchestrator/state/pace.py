"""Seconds per step, measured from rows that runs have written; never from presets. Reads only; no imports that cost."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.runs import durable
from core.runs.run_dir import RunDir
from core.spec import RunSpec, TrainConfig, digest
from orchestrator.state.lifetimes import lifetimes, total_seconds

# What decides how long a step takes; runs that agree in these are measured together.
SHAPE = (
    *("model", "problems", "problems_sha256", "adapter", "lora_r", "batch", "completions", "max_prompt", "max_new"),
    *("device", "dtype", "threads", "micro_batch", "decode_rows", "grad_checkpointing", "grade_workers", "refresh"),
    *("eval_problems", "eval_samples", "skip_tied", "mix"),
)


# Of a fit, whose evaluation is the matrix's and not training's.
STEP_SHAPE = tuple(name for name in SHAPE if name not in ("eval_problems", "eval_samples", "decode_rows"))


def shape(config: TrainConfig) -> str:
    return digest([_of_shape(config, name) for name in SHAPE])[:12]


def has_step_of(config: TrainConfig, other: TrainConfig) -> bool:
    """Whether a step of one takes as long as a step of the other."""
    return all(_of_shape(config, name) == _of_shape(other, name) for name in STEP_SHAPE)


def _of_shape(config: TrainConfig, name: str) -> Any:
    """A model's directory is the same model wherever it lies."""
    return config.model_sha256 or config.model if name == "model" else getattr(config, name)


@dataclass(frozen=True)
class Measured:
    """One run's times: seconds of each step and evaluation, and what a process costs beside them."""

    run_id: str
    arm: str
    step_s: tuple[float, ...]
    eval_s: tuple[float, ...]
    around_s: float  # imports, loading, checkpoints: lifetime less steps and evaluations


@dataclass(frozen=True)
class Interval:
    low: float
    mean: float
    high: float

    def __add__(self, other: Interval) -> Interval:
        """As if both erred in the same direction: a slow box is slow for every run."""
        return Interval(self.low + other.low, self.mean + other.mean, self.high + other.high)

    def times(self, factor: float) -> Interval:
        return Interval(self.low * factor, self.mean * factor, self.high * factor)


@dataclass(frozen=True)
class Pace:
    step_s: Interval
    eval_s: float
    around_s: float
    runs: int
    steps: int
    source: str


def measure(run: RunDir, spec: RunSpec) -> Measured | None:
    """None before its first step."""
    steps = tuple(row["sec"] for row in run.metrics() if isinstance(row.get("sec"), int | float))
    if not steps:
        return None
    evals = tuple(row["sec"] for row in run.evals() if isinstance(row.get("sec"), int | float))
    attempts = max(1, len(run.attempts()))
    around = max(0.0, total_seconds(lifetimes(run)) - sum(steps) - sum(evals)) / attempts
    return Measured(spec.run_id, spec.arm, steps, evals, around)


def pace_of(measured: Sequence[Measured], arm: str) -> Pace | None:
    """From the runs of this arm where there are some, else from all. None: nothing was measured."""
    own = [m for m in measured if m.arm == arm]
    used = own or list(measured)
    if not used:
        return None
    evals = [s for m in used for s in m.eval_s]
    steps = sum(len(m.step_s) for m in used)
    names = used[0].run_id if len(used) == 1 else f"{len(used)} runs"
    return Pace(
        step_s=_interval([m.step_s for m in used]),
        eval_s=statistics.fmean(evals) if evals else 0.0,
        around_s=statistics.fmean(m.around_s for m in used),
        runs=len(used),
        steps=steps,
        source=f"{steps} steps of {names}{'' if own else ' (another arm)'}",
    )


FITTED = {
    *("seconds_per_step", "seconds_sample", "seconds_grade", "seconds_longest_step", "seconds_eval_shard"),
    "seconds_load",
}


@dataclass(frozen=True)
class Fitted:
    """What a finished fit measured, by whose config."""

    run_id: str
    config: TrainConfig
    metrics: dict[str, Any]


def fitted(run: RunDir, spec: RunSpec) -> Fitted | None:
    """None before its end."""
    metrics = (durable.read_json(run.result_path) or {}).get("metrics", {}) if spec.kind == "fit" else {}
    return Fitted(spec.run_id, spec.config, metrics) if metrics.keys() >= FITTED else None


def pace_of_fits(fits: Sequence[Fitted], config: TrainConfig) -> Pace | None:
    """From the newest fit of such a step. Low: nothing enters the gradient; mean: everything does, at the lengths that
    the untrained model writes; high: at the longest. None: no fit of such a step has ended."""
    found = next((fit for fit in reversed(fits) if has_step_of(fit.config, config)), None)
    if found is None:
        return None
    m = found.metrics
    at_once = max(1, config.decode_rows // config.eval_samples)
    mean, longest = m["seconds_per_step"], m["seconds_longest_step"]
    return Pace(
        step_s=Interval(min(mean, m["seconds_sample"] + m["seconds_grade"]), mean, max(mean, longest)),
        eval_s=math.ceil(config.eval_problems / at_once) * m["seconds_eval_shard"],
        around_s=m["seconds_load"],
        runs=1,
        steps=1,
        source=f"a step of {found.run_id}",
    )


def _interval(runs: Sequence[Sequence[float]]) -> Interval:
    """Of a run's mean step. Several runs: two prediction standard errors. One: its own 10 and 90 % quantiles, wider."""
    means = [statistics.fmean(steps) for steps in runs]
    mean = statistics.fmean(means)
    if len(means) > 1:
        half = 2 * statistics.stdev(means) * math.sqrt(1 + 1 / len(means))
        return Interval(max(0.0, mean - half), mean, mean + half)
    ordered = sorted(runs[0])
    tenth = (len(ordered) - 1) // 10
    return Interval(min(mean, ordered[tenth]), mean, max(mean, ordered[-1 - tenth]))


def run_seconds(config: TrainConfig, pace: Pace, from_step: int = 0) -> Interval:
    """What the run still takes after `from_step`: steps, evaluations, one start."""
    steps = config.steps - from_step
    evals = sum(n % config.eval_every == 0 or n == config.steps for n in range(from_step + 1, config.steps + 1))
    fixed = pace.around_s + (evals + (from_step == 0)) * pace.eval_s
    return pace.step_s.times(steps) + Interval(fixed, fixed, fixed)
