"""What a step leaves behind: one row of named numbers, one line of log, and every completion with its grade.

Column names are the author's (protocol 7.3). Rates are floats in [0, 1] with their denominators n_s (student) and
n_t (teacher); what does not apply is null. The columns of core.runs.compare.MACHINE measure the machine, and differ
between equal runs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import resource
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from core.arms.arm import Step
from core.environment.rewards import Grade, is_hack
from core.environment.task import Prompt
from core.runs import durable
from core.runs.run_dir import boot_clock
from core.training.grpo import is_tied

BENCHMARK_BATCH = 256  # generations of one step of the benchmark; the unit of ref_eq
# Columns that an arm or teacher rollouts fill; null where they do not apply, named so that readers can rely on them.
OPTIONAL = (
    *("rew_t", "gt_t", "hack_t", "lp_t", "cin", "cin_s", "cin_t", "cin_rand", "cos_align", "cout", "cos_out", "fired"),
    *("basis_overlap", "dSh", "v_pos", "v_share", "z_std", "factor", "dropped", "grift_acc", "keep", "resid", "rout"),
    *("nll_hack", "nll_clean", "lab_share"),
)
LOGGED = (
    "step",
    "rew",
    "sprd",
    "gt_s",
    "hack_s",
    "empty",
    "comp",
    "len",
    "loss",
    "gn",
    "kl",
    "cin",
    "cos_align",
    "cout",
    "gen",
    "fb",
    "t_rew",
    "sec",
)
HEADER_EVERY = 50

log = logging.getLogger(__name__)


@contextlib.contextmanager
def seconds(row: dict[str, Any], column: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    row[column] = round(time.perf_counter() - started, 4)


def rollout_columns(
    step: Step, grades: Sequence[Sequence[Grade]], rewards: torch.Tensor, paid: torch.Tensor
) -> dict[str, Any]:
    """The part of the row that sampling and grading decide. `paid` is what the environment pays, `rewards` what counts.

    Where there are teacher rollouts all rates are the students', and those that end in _t the teachers'.
    """
    everyone = [
        (task, result, len(tokens), bool(teacher))
        for task, group, tokens_of, teachers in zip(step.tasks, grades, step.completions, step.is_teacher, strict=True)
        for result, tokens, teacher in zip(group, tokens_of, teachers, strict=True)
    ]
    graded = [(task, g) for task, g, _, teacher in everyone if not teacher]
    lengths = [length for _, _, length, teacher in everyone if not teacher]
    taught = [(task, g) for task, g, _, teacher in everyone if teacher]
    row: dict[str, Any] = dict.fromkeys(OPTIONAL)
    row |= {
        "ref_eq": step.number * len(graded) / BENCHMARK_BATCH,
        "rew": float(rewards.mean()),
        "rew_s": float(paid[~step.is_teacher].mean()),
        "sprd": float(rewards.std(1).mean()) if rewards.shape[1] > 1 else 0.0,
        "tied": int(is_tied(rewards).sum()),
        "N": len(everyone),
        "n_s": len(graded),
        "n_t": len(taught),
        "gt_s": _rate(g.gt_correct for _, g in graded),
        "hack_s": _rate(is_hack(task.mode, g) for task, g in graded),
        "hk_able": _rate(task.mode != "gt_only" for task, _ in graded),
        "empty": _rate(g.exploit_present for _, g in graded),
        "comp": _rate(g.compiles for _, g in graded),
        "len": sum(lengths) / len(lengths),
        "trunc": _rate(n >= step.config.max_new for n in lengths),
    }
    if taught:
        row["rew_t"] = float(paid[step.is_teacher].mean())
        row["gt_t"] = _rate(g.gt_correct for _, g in taught)
        row["hack_t"] = _rate(is_hack(task.mode, g) for task, g in taught)
    for mode in step.config.modes:
        row[f"hk_{mode}"] = _mode_rate(graded, mode)
    return row | step.row


def _mode_rate(graded: Sequence[tuple[Prompt, Grade]], mode: str) -> float | None:
    of_mode = [is_hack(mode, g) for task, g in graded if task.mode == mode]
    return _rate(of_mode) if of_mode else None


def _rate(values: Any) -> float:
    listed = [bool(value) for value in values]
    return sum(listed) / len(listed)


def loss_columns(students: dict[str, float], has_kl: bool, teachers: dict[str, float] | None = None) -> dict[str, Any]:
    """Means over the tokens that entered the gradient (`tokens`); where none did, over those that were looked at
    (`seen`). Null: kl where it is not paid, lp_t where nobody teaches."""
    taught = teachers or dict.fromkeys(students, 0.0)
    tokens = students["tokens"] + taught["tokens"]
    parts = [part for part in (students, taught) if part["tokens"]] or [students, taught]
    return {
        "loss": students["loss"] + taught["loss"],
        "lp_s": _mean(students["lp"], students["seen"]),
        "lp_t": _mean(taught["lp"], taught["seen"]),
        "kl": _mean(sum(part["kl"] for part in parts), sum(part["seen"] for part in parts)) if has_kl else None,
        "tokens": int(tokens),
    }


def _mean(total: float, count: float) -> float | None:
    return total / count if count else None


def write_step(folder: Path, row: dict[str, Any], device: str) -> None:
    """Append the row to metrics.jsonl and say it in the log, the header again every HEADER_EVERY steps."""
    row["peak_GB"] = _peak_gb(device)
    _append(folder / "clocks.jsonl", {"step": row["step"], "clock": boot_clock()})  # first: no row without its time
    _append(folder / "metrics.jsonl", row)
    if row["step"] % HEADER_EVERY == 1:
        log.info("%s", header())
    log.info("%s", " ".join(f"{_short(row.get(name)):>{_width(name)}}" for name in LOGGED))


def header() -> str:
    """The names over the log's columns."""
    return " ".join(f"{name:>{_width(name)}}" for name in LOGGED)


def _width(name: str) -> int:
    return max(7, len(name))


def _short(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def reset_peak(device: str) -> None:
    """So that column peak_GB is a step's own. A CPU process's peak is the kernel's count, and of its whole life."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()


def _peak_gb(device: str) -> float:
    """Peak memory of the device that trains, since `reset_peak`; of the process on a CPU."""
    if device == "cuda":
        return round(torch.cuda.max_memory_allocated() / 1e9, 3)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 3)


def write_rollouts(folder: Path, step: Step, grades: Sequence[Sequence[Grade]], rewards: torch.Tensor) -> None:
    """Every completion with what it was asked, how it was labelled, what was paid and what an arm made of that."""
    lines = []
    for g, (task, group) in enumerate(zip(step.tasks, step.texts, strict=True)):
        for m, text in enumerate(group):
            result = dataclasses.asdict(grades[g][m])
            lines.append(
                {
                    "step": step.number,
                    "group": g,
                    "member": m,
                    "problem_id": task.problem_id,
                    "mode": task.mode,
                    "hint": task.hint,
                    "test_func_name": task.test_func_name,
                    "marker": task.marker,
                    "teacher": bool(step.is_teacher[g, m]),
                    **{name: value for name, value in result.items() if name not in ("reward", "seconds")},
                    "payment": result["reward"],
                    "reward": float(rewards[g, m]),
                    "completion": text,
                }
            )
    with (folder / "rollouts.jsonl").open("a") as handle:
        handle.write("".join(json.dumps(line) + "\n" for line in lines))


def _append(path: Path, row: dict[str, Any]) -> None:
    """One line, flushed but not fsynced: `sync` makes all lines durable before a checkpoint refers to them."""
    with path.open("a") as handle:
        handle.write(json.dumps(row, allow_nan=False) + "\n")


def write_eval(folder: Path, row: dict[str, Any]) -> None:
    _append(folder / "evals.jsonl", row)
    log.info("eval step %d: %s", row["step"], json.dumps({k: v for k, v in row.items() if k != "step"}))


def sync(folder: Path) -> None:
    """Rows first, checkpoint after: a checkpoint whose rows are lost would lose them for good."""
    for name in ("metrics.jsonl", "evals.jsonl", "rollouts.jsonl", "clocks.jsonl"):
        if (folder / name).exists():
            durable.fsync_file(folder / name)
    durable.fsync_dir(folder)


def take_off(rows: Sequence[dict[str, Any]]) -> int | None:
    """The first step in which more than half of the rollouts carry the exploit; null: never."""
    return next((row["step"] for row in rows if row["empty"] > 0.5), None)


def wall_seconds(beats: Sequence[dict[str, Any] | None]) -> float:
    """Time spent by all attempts, from each one's start to its last beat."""
    return round(sum(beat["beat"] - beat["started"] for beat in beats if beat and "started" in beat), 1)
