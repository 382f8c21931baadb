"""What can be seen of one run, read in the order that keeps a run that finishes in between from looking dead:
submissions, backend, lease, error, result. Reads only."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from core import durable
from core.run_dir import RunDir, boot_id

# What a backend says of the last submission; any other word means "alive, unknown".
WAITING, RUNNING, ENDED, UNKNOWN, UNREACHABLE = "waiting", "running", "ended", "unknown", "unreachable"

StateOf = Callable[[RunDir], str]  # the backend's word, or a raised Unreachable turned into UNREACHABLE


@dataclass(frozen=True)
class Facts:
    has_result: bool = False
    submission: int = 0  # the last one's number; 0: none
    attempt: int = 0  # the newest claimed; 0: none
    alive: bool = False  # the newest attempt's lease
    silent_s: float | None = None  # since its last beat
    stall_limit_s: float = 120.0
    cancelled: bool = False  # cancel.json names the last submission
    error: dict[str, Any] | None = None  # of the last submission's attempt
    same_errors: int = 0  # attempts since the last `retry` that ended with this error class
    backend: str = UNKNOWN
    deaths_without_progress: int = 0  # attempts in a row, in this boot, dead without notice before a metrics row
    lost: int = 0  # last submissions in a row that no attempt claimed
    since_submission_s: float = 0.0
    saved: bool = False  # the newest attempt left with exit code 75
    gate: str = ""  # what the run waits for; gates are a later piece
    plan_submitted: bool = False


def observe(run: RunDir, backend_state: StateOf, plan_submitted: bool, stall: tuple[float, float]) -> Facts:
    """`stall` = (stall_s, stall_steps) of the run's config."""
    submissions = run.submissions()
    last = submissions[-1] if submissions else None
    cancelled = run.cancelled()
    word = backend_state(run) if last else UNKNOWN
    attempts = run.attempts()
    newest = attempts[-1] if attempts else 0
    beat = (run.heartbeat(newest) or {}) if newest else {}
    alive = bool(newest) and run.is_alive(newest)
    number = max(newest, last.number if last else 0)
    error = run.error(number)
    since = _retried_after(run)
    now = time.time()
    return Facts(
        submission=last.number if last else 0,
        attempt=newest,
        alive=alive,
        silent_s=max(0.0, now - beat["beat"]) if alive and "beat" in beat else None,
        stall_limit_s=max(stall[0], stall[1] * (beat.get("seconds_per_step") or 0.0)),
        cancelled=cancelled,
        error=error,
        same_errors=_same_errors(run, attempts, error, since),
        backend=word,
        deaths_without_progress=0 if alive else _deaths_without_progress(run, attempts, since),
        lost=number - newest if last else 0,
        since_submission_s=max(0.0, now - last.time) if last else 0.0,
        saved=bool(newest) and exit_code(run, newest) == 75,
        plan_submitted=plan_submitted,
        has_result=run.has_result(),  # last: see above
    )


def exit_code(run: RunDir, number: int) -> int | None:
    """What the attempt wrote when it left; None: it was killed, or it lives."""
    for name in ("exit.json", "error.json"):
        row = durable.read_json(run.attempt(number) / name)
        if isinstance(row, dict) and "exit_code" in row:
            return row["exit_code"]
    return None


def has_metrics(run: RunDir, number: int) -> bool:
    try:
        with (run.attempt(number) / "metrics.jsonl").open("rb") as handle:
            json.loads(handle.readline())
    except (OSError, ValueError):
        return False
    return True


def record_retry(run: RunDir) -> None:
    """What came before a `retry` no longer counts against the run. Call before the new submission."""
    durable.write_json(run.path / "retry.json", {"after_submission": run.newest_number(), "time": time.time()})


def _retried_after(run: RunDir) -> int:
    row = durable.read_json(run.path / "retry.json")
    return row["after_submission"] if row else 0


def _same_errors(run: RunDir, attempts: list[int], error: dict[str, Any] | None, since: int) -> int:
    if error is None:
        return 0
    classes = [(run.error(n) or {}).get("class") for n in attempts if n > since]
    return classes.count(error.get("class"))


def _deaths_without_progress(run: RunDir, attempts: list[int], since: int) -> int:
    """Only deaths in this boot: a reboot kills without notice, and says nothing about the run."""
    boot, count = boot_id(), 0
    for number in reversed(attempts):
        died = number > since and exit_code(run, number) is None and not has_metrics(run, number)
        if not died or (run.heartbeat(number) or {}).get("boot_id") != boot:
            break
        count += 1
    return count
