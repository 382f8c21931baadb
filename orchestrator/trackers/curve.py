"""A run as a tracker sees it: one point a step, the metrics row and the evaluation of that step together.

Attempts are merged as everywhere, the later one winning. An attempt that was killed leaves steps beyond its last
checkpoint, which the next one repeats. As soon as that has written anything, only what it has reached again counts
here: where the repetition is the same nothing changes for the reader, and where it is not, old and new never mix.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.runs import durable
from core.runs.compare import MACHINE
from core.runs.run_dir import RunDir
from core.spec import TrainConfig, digest

TRAIN, EVAL = "train", "eval"  # what columns of metrics.jsonl and evals.jsonl begin with
# Columns by which no arm's outcome can be told (docs/protocol.md 4.5); of evaluations only what is in HEALTH_EVAL.
HEALTH = (
    *("loss", "gn", "lr", "kl", "lp_s", "lp_t", "cin", "cin_s", "cin_t", "cin_rand", "cos_align", "cout", "cos_out"),
    *("fired", "basis_overlap", "dSh", "resid", "rout", "keep", "len", "comp", "trunc", "sprd", "tied", "tokens"),
    *("ref_eq", "N", "n_s", "n_t"),
    *MACHINE,
)
HEALTH_EVAL = ("compile_rate", "mean_tokens", "n_hinted", "n_pass", "sec")
MACHINES_OWN = {f"{part}/{column}" for part in (TRAIN, EVAL) for column in MACHINE}


@dataclass(frozen=True)
class Point:
    step: int
    values: Mapping[str, float]  # by train/COLUMN, eval/COLUMN, eval/COLUMN/MODE

    def same(self, other: Point) -> bool:
        """But for what measures the machine."""
        return (self.step, self._comparable()) == (other.step, other._comparable())

    def _comparable(self) -> dict[str, float]:
        return {name: value for name, value in self.values.items() if name not in MACHINES_OWN}


def curve(run: RunDir, config: TrainConfig, health: bool, ended: bool) -> list[Point]:
    """Ascending steps. Of a run that goes on the last step is left out while its evaluation is still to come."""
    rows, evals = (_by_step(found) for found in (run.metrics(), run.evals()))
    last = math.inf if ended else _reached(run)
    steps = sorted(step for step in rows.keys() | evals.keys() if step <= last)
    if steps and not ended and steps[-1] not in evals and _is_evaluated(steps[-1], config):
        steps.pop()
    return [Point(step, dict(_values(rows.get(step, {}), evals.get(step, {}), health))) for step in steps]


def _by_step(rows: Sequence[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    return {row["step"]: row for row in rows if isinstance(row.get("step"), int)}


def _reached(run: RunDir) -> float:
    """The last step of the newest attempt that has written one."""
    for number in reversed(run.attempts()):
        folder = run.attempt(number)
        rows = [row for name in ("metrics.jsonl", "evals.jsonl") for row in durable.read_lines(folder / name)]
        if steps := _by_step(rows).keys():
            return max(steps)
    return 0


def _is_evaluated(step: int, config: TrainConfig) -> bool:
    """As core.training.train does: evaluation_is_due."""
    return step % config.eval_every == 0 or step == config.steps


def _values(row: dict[str, Any], evaluation: dict[str, Any], health: bool) -> Iterator[tuple[str, float]]:
    for part, columns, healthy in ((TRAIN, row, HEALTH), (EVAL, evaluation, HEALTH_EVAL)):
        for name, value in columns.items():
            if name == "step" or (health and name not in healthy):
                continue
            if isinstance(value, dict):
                yield from ((f"{part}/{name}/{key}", float(v)) for key, v in value.items() if _is_number(v))
            elif _is_number(value):
                yield f"{part}/{name}", float(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def fingerprint(points: Sequence[Point]) -> str:
    """Two curves with one fingerprint need not be mirrored twice."""
    return digest([[point.step, point._comparable()] for point in points])


def sizes(run: RunDir) -> tuple[Any, ...]:
    """What changes when a row is added: asked often, so without reading one."""
    paths = [run.attempt(n) / name for n in run.attempts() for name in ("metrics.jsonl", "evals.jsonl")]
    return tuple((str(path), path.stat().st_size) for path in paths if path.exists())
