"""`grpoq track`: mirror a plan once, or until its runs have ended."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from core.runs import durable
from orchestrator.queue import background
from orchestrator.queue.watch import say
from orchestrator.refusal import FAILED, Refused
from orchestrator.state.decide import TERMINAL
from orchestrator.state.observed_plan import ObservedPlan
from orchestrator.store.home import Home
from orchestrator.store.plan_dir import PlanDir
from orchestrator.trackers import TRACKERS, Tracker, require
from orchestrator.trackers.mirror import FOLDER, Mirror

POLL_S = 2.0
AFTER_ERROR_S = 30.0


def place(home: Home, name: str, folder: Path | None) -> Path:
    return folder.expanduser().absolute() if folder else home.path / "track" / name


def track(home: Home, plan: PlanDir, name: str, folder: Path | None, follow: bool, health: bool) -> None:
    """Prints what was mirrored. Raises Refused where there is nothing to mirror, or somebody does it already."""
    require(name)
    into = place(home, name, folder)
    lock = background.take_lock(_made(into) / f"{plan.plan_id}.lock")
    if lock is None:
        raise Refused(f"{plan.plan_id} is mirrored into {into} already; see {_log(into, plan)}", FAILED)
    try:
        tracker = TRACKERS[name].open(into)
        mirror = Mirror(tracker, plan, into, health, say if follow else lambda line: None)
        if follow:
            say(f"{plan.plan_id} into {name}, {into}, pid {os.getpid()}")
            _until_ended(mirror, tracker, plan)
        else:
            _once(mirror, tracker, plan)
    finally:
        os.close(lock)
    if not follow and not mirror.steps:
        raise Refused(f"nothing to mirror yet: no run of {plan.plan_id} has made a step", FAILED)
    for run_id, steps in mirror.steps.items():
        print(f"{run_id}  {steps} steps")
    print(f"next: {tracker.view(plan.plan_id)}")


def _made(into: Path) -> Path:
    """The mirror's own folder."""
    try:
        (into / FOLDER).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Refused(f"cannot mirror into {into}: {error}; choose another --dir") from None
    return into / FOLDER


def _once(mirror: Mirror, tracker: Tracker, plan: PlanDir) -> None:
    try:
        mirror.one_pass(_states(ObservedPlan(plan)))
        mirror.close()
    except tracker.errors as error:
        raise Refused(
            f"the tracker's library failed: {error}; give the command again once that is mended", FAILED
        ) from None


def _until_ended(mirror: Mirror, tracker: Tracker, plan: PlanDir) -> None:
    """SIGTERM and SIGINT end it after the step at hand."""
    with _signals() as stopped:
        while not stopped():
            observed = ObservedPlan(plan)
            states, over = _states(observed), _is_over(observed)
            wait_s = POLL_S
            try:
                mirror.one_pass(states)
                if over:
                    break
            except tracker.errors as error:
                say(f"{error}; what is under way is begun anew in {AFTER_ERROR_S:g} s")
                mirror.forget()
                wait_s = AFTER_ERROR_S
            _sleep(wait_s, stopped)
        with contextlib.suppress(*tracker.errors):
            mirror.close()
        say("all runs have ended" if not stopped() else "stopped")


def _states(observed: ObservedPlan) -> dict[str, str]:
    rows = observed.plan.rows()
    return {run_id: observed.state(run_id) for run_id in observed.plan.run_ids if rows[run_id]["kind"] == "train"}


def _is_over(observed: ObservedPlan) -> bool:
    """Nothing more can come: every training run has ended, or stands behind a gate that has failed."""
    shut = {
        run_id for verdict in observed.verdicts() if verdict.state == "failed" for run_id in verdict.gate["before_runs"]
    }
    return all(
        state in TERMINAL or (state == "blocked" and run_id in shut) for run_id, state in _states(observed).items()
    )


@contextlib.contextmanager
def _signals() -> Iterator[Callable[[], bool]]:
    """Whether SIGTERM or SIGINT has come."""
    came: list[int] = []
    numbers = (signal.SIGTERM, signal.SIGINT)
    old = [(number, signal.signal(number, lambda which, _: came.append(which))) for number in numbers]
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in old:
            signal.signal(number, handler)


def _sleep(seconds: float, stopped: Callable[[], bool]) -> None:
    until = time.monotonic() + seconds
    while not stopped() and time.monotonic() < until:
        time.sleep(0.1)


def _log(into: Path, plan: PlanDir) -> Path:
    return into / FOLDER / f"{plan.plan_id}.log"


def start_detached(home: Home, plan: PlanDir, name: str) -> None:
    """Start a follower that outlives this terminal, unless one is there. Returns once it has begun."""
    into = place(home, name, None)
    lock = _made(into) / f"{plan.plan_id}.lock"
    command = ["track", name, "--follow", "--plan", plan.plan_id]
    background.start_detached(
        home, command, _log(into, plan), partial(durable.is_flocked, lock), f"the mirror into {name}"
    )
