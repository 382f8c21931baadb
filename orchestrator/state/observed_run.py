"""What can be seen of one run, read in the order that keeps a run that finishes in between from looking dead:
submissions, backend, lease, error, result. Reads only.

Ages inside one boot come from the monotonic clock, so a wall clock that jumps ages nothing.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from core.runs import durable, host_memory
from core.runs.run_dir import RunDir, Submission, boot_id
from core.spec import RunSpec
from orchestrator.backends.words import RUNNING, UNKNOWN


@dataclass(frozen=True)
class Facts:
    has_result: bool = False
    submission: int = 0  # the last one's number; 0: none
    attempt: int = 0  # the newest claimed; 0: none
    alive: bool = False  # the newest attempt's lease, on this host
    away: str = ""  # the host of a newest attempt that has not ended and that nobody here can look at
    silent_s: float | None = None  # since its last beat
    stall_limit_s: float = 120.0
    cancelled: bool = False  # cancel.json names the last submission
    error: dict[str, Any] | None = None  # of the last submission's attempt
    same_errors: int = 0  # attempts since the last `retry` that ended with this error class
    backend: str = UNKNOWN
    deaths_without_progress: int = 0  # attempts in a row, in this boot, dead without notice before a metrics row
    oom: str = ""  # what tells that the kernel killed the newest attempt for memory
    lost: int = 0  # last submissions in a row that no attempt claimed
    since_submission_s: float = 0.0
    saved: bool = False  # the newest attempt left with exit code 75
    gate: str = ""  # why it may not start yet
    hold: str = ""  # why nothing may be submitted now: no room on the disk, no money
    over_budget: str = ""  # why what runs must stop
    plan_submitted: bool = False


def observe(run: RunDir, spec: RunSpec, word: str, of_number: int, plan_submitted: bool) -> Facts:
    """What the run's directory says. `word`: the backend's, asked when `of_number` was the last submission."""
    submissions = run.submissions()
    last = submissions[-1] if submissions else None
    cancelled = run.cancelled()
    if last is not None and last.number != of_number:
        word = RUNNING  # submitted by hand since the engine was asked: alive, unknown
    attempts = run.attempts()
    newest = attempts[-1] if attempts else 0
    beat = (run.heartbeat(newest) or {}) if newest else {}
    alive = bool(newest) and run.is_alive(newest)
    away = beat.get("host", "") if newest and run.is_out_of_reach(newest) else ""
    number = max(newest, last.number if last else 0)
    error = run.error(number)
    since = _retried_after(run)
    dead = bool(newest) and not alive and not away
    return Facts(
        submission=last.number if last else 0,
        attempt=newest,
        alive=alive,
        away=away,
        silent_s=beat_age(beat) if alive or away else None,
        stall_limit_s=max(spec.config.stall_s, spec.config.stall_steps * (beat.get("seconds_per_step") or 0.0)),
        cancelled=cancelled,
        error=error,
        same_errors=_same_errors(run, attempts, error, since),
        backend=word if last else UNKNOWN,
        deaths_without_progress=_deaths_without_progress(run, spec, attempts, since) if dead else 0,
        oom=_oom(run, newest, beat) if dead else "",
        lost=number - newest if last else 0,
        since_submission_s=_age(last) if last else 0.0,
        saved=bool(newest) and exit_code(run, newest) == 75,
        plan_submitted=plan_submitted,
        has_result=run.has_result(),  # last: see above
    )


def beat_age(beat: dict[str, Any]) -> float | None:
    """Seconds since the beat, by the clock of this boot where it was written in it; None: it never beat.

    Of another host, wall clocks only say how far they are apart: a beat from the future is no fresher than an old one,
    else a host that died before our clock was set back would count as alive until the clock has caught up.
    """
    if beat.get("boot_id") == boot_id() and "clock" in beat:
        return max(0.0, time.monotonic() - beat["clock"])
    return abs(time.time() - beat["beat"]) if "beat" in beat else None


def _age(last: Submission) -> float:
    """A wall clock set back would make it wait until the clock has caught up; then it has waited enough."""
    age = time.time() - last.time
    return age if age >= 0 else float("inf")


def exit_code(run: RunDir, number: int) -> int | None:
    """What the attempt wrote when it left; None: it was killed, or it lives."""
    for name in ("exit.json", "error.json"):
        row = durable.read_json(run.attempt(number) / name)
        if isinstance(row, dict) and "exit_code" in row:
            return row["exit_code"]
    return None


def has_progress(run: RunDir, spec: RunSpec, number: int) -> bool:
    """A whole metrics row; of kinds that have no steps, a beat after the claim's."""
    if spec.kind != "train":
        return "phase" in (run.heartbeat(number) or {})
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


def _deaths_without_progress(run: RunDir, spec: RunSpec, attempts: list[int], since: int) -> int:
    """Only deaths in this boot: a reboot kills without notice, and says nothing about the run."""
    boot, count = boot_id(), 0
    for number in reversed(attempts):
        died = number > since and not run.has_ended(number) and not has_progress(run, spec, number)
        if not died or (run.heartbeat(number) or {}).get("boot_id") != boot:
            break
        count += 1
    return count


def _oom(run: RunDir, newest: int, beat: dict[str, Any]) -> str:
    record = None if run.has_ended(newest) else beat.get("oom")
    return host_memory.in_words(record) if record and host_memory.killed_since(record) else ""
