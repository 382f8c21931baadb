"""The one decision: what state a run is in, and what is due. A pure function of the facts, first match wins.

States are computed from the files every time and stored nowhere, so no crash can leave a wrong one behind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from orchestrator.backends.words import ENDED, RUNNING, UNKNOWN, UNREACHABLE, WAITING
from orchestrator.state.observed_run import Facts
from orchestrator.wording import duration

State = Literal["planned", "blocked", "queued", "running", "preempted", "done", "failed", "cancelled"]
STATES: tuple[State, ...] = ("planned", "blocked", "queued", "running", "preempted", "done", "failed", "cancelled")
TERMINAL: tuple[State, ...] = ("done", "failed", "cancelled")

ALWAYS = ("preempted",)
THREE_TIMES = ("stalled", "host_oom", "gpu_busy", "disk", "grader")
NO_PROGRESS_DEATHS = 3
UNCLAIMED_LAUNCHES = 6  # with the waits between them about a minute
QUIET_S = 60.0  # a silence that is worth a word

Due = Literal["", "submit", "take_over", "withdraw", "stop", "end", "record_error"]


@dataclass(frozen=True)
class Decision:
    state: State
    note: str = ""
    due: Due = ""
    due_in_s: float = 0.0  # of a submission that backs off
    error: dict[str, Any] | None = None  # what it ended with; with due `end`, what it is to end with
    held: str = ""  # what keeps it from being submitted: disk | budget


def decide(f: Facts) -> Decision:
    """The run's state, and what is due now. The first fact that decides counts:

    A result makes it done for good. A living lease makes it running: it is to be ended when it stalls, stopped when
    it is cancelled or over budget. An attempt on another host that nobody here can look at is overtaken after its
    whole limit. A cancel request that names the last submission makes it cancelled: what still waits is withdrawn.
    An error makes it preempted, and a submission is due while its class has retries left; else it failed. A
    submission whose engine cannot be reached or waits is queued, and is withdrawn where disk or budget hold it; one
    that the engine runs is starting; one that the engine has ended or does not know was lost or died, and a
    submission is due. What a gate holds back is blocked. Anything else is planned, and is submitted once its plan
    was.
    """
    if f.has_result:
        return Decision("done")
    if f.alive:
        return _living(f)
    if f.away and f.submission <= f.attempt:
        return _out_of_reach(f)
    if f.cancelled:
        started = f.submission > f.attempt and f.backend not in (WAITING, ENDED, UNKNOWN, UNREACHABLE)
        if started:  # a process that has yet to claim will see the request then: until it has left, it holds its memory
            return Decision("running", "cancelling", due="withdraw", error=f.error)
        waits = f.submission > f.attempt and f.backend == WAITING
        return Decision("cancelled", due="withdraw" if waits else "", error=f.error)
    if f.error is not None:
        return _ended_with_error(f, f.error)
    if f.backend == UNREACHABLE and f.submission:
        return Decision("queued", "backend unreachable")
    if f.submission and f.backend not in (WAITING, ENDED, UNKNOWN):
        return Decision("running", "starting" if f.backend == RUNNING else f"starting (backend says {f.backend!r})")
    if f.submission and f.backend == WAITING:
        hold = f.hold or f.over_budget
        return Decision("queued", hold, due="withdraw" if hold else "", held=_held(hold))
    if f.submission or f.attempt:
        return _died(f)
    if f.gate:
        return Decision("blocked", f.gate)
    return _submit(f, "planned", "") if f.plan_submitted else Decision("planned")


def _living(f: Facts) -> Decision:
    silent = f.silent_s or 0.0
    if silent > f.stall_limit_s:
        message = f"no beat for more than {f.stall_limit_s:.0f} s; the watcher ended it"
        return Decision("running", f"stalled {duration(silent)}", "end", error=_error("stalled", message, 76))
    if f.cancelled:
        return Decision("running", "cancelling", due="stop")
    if f.over_budget:
        error = _error("budget", f.over_budget, 75)
        return Decision("running", "stopping: budget", due="end", error=error, held="budget")
    return Decision("running", f"silent {duration(silent)}" if silent > QUIET_S else "")


def _out_of_reach(f: Facts) -> Decision:
    """It is left to fencing: a second attempt may start, and the first can commit nothing more."""
    silent = f.silent_s or 0.0
    if silent <= f.stall_limit_s:
        return Decision("running", "cancelling" if f.cancelled else f"on {f.away}")
    if f.cancelled:
        return Decision("cancelled")
    hold = f.hold or f.over_budget
    note = f"on {f.away}, silent {duration(silent)}"
    return Decision("running", f"{note}; {hold}") if hold else Decision("running", note, due="take_over")


def _ended_with_error(f: Facts, error: dict[str, Any]) -> Decision:
    kind = error.get("class", "code")
    if kind in ALWAYS or (kind in THREE_TIMES and f.same_errors <= 3):
        count = "" if kind in ALWAYS else f", retry {f.same_errors} of 3"
        return _submit(f, "preempted", f"{kind}{count}", error)
    return Decision("failed", kind, error=error)


def _died(f: Facts) -> Decision:
    """Neither result nor error nor lease: killed, or never started."""
    if f.over_budget and f.saved and not f.lost:
        return Decision("failed", "budget", "record_error", error=_error("budget", f.over_budget, 75))
    if f.oom and not f.lost:
        return Decision("preempted", "host_oom", "record_error", error=_error("host_oom", f.oom, None))
    if f.deaths_without_progress >= NO_PROGRESS_DEATHS and not f.lost:
        message = f"{f.deaths_without_progress} attempts in a row died without notice before their first metrics row"
        return _no_progress(message)
    if f.lost >= UNCLAIMED_LAUNCHES and f.backend == ENDED:
        return _no_progress(f"{f.lost} launches in a row ended before the worker claimed its attempt")
    if not f.lost:
        return _submit(f, "preempted", "checkpoint saved" if f.saved else "killed")
    wait = min(60.0, 2.0 ** (f.lost - 1)) - f.since_submission_s
    return _submit(f, "preempted", f"submission {f.submission} was lost", due_in_s=max(0.0, wait))


def _submit(f: Facts, state: State, note: str, error: dict[str, Any] | None = None, due_in_s: float = 0.0) -> Decision:
    """A submission is due, unless there is no room or no money for it."""
    hold = f.hold or f.over_budget
    if hold:
        return Decision(state, f"{note}; {hold}" if note else hold, error=error, held=_held(hold))
    return Decision(state, note, "submit", due_in_s, error)


def _held(hold: str) -> str:
    return hold.partition(":")[0]


def _no_progress(message: str) -> Decision:
    return Decision("failed", "no_progress", due="record_error", error=_error("no_progress", message, None))


def _error(kind: str, message: str, exit_code: int | None) -> dict[str, Any]:
    return {"class": kind, "message": message, "exit_code": exit_code}
