"""One pass over the home: observe every run, decide, act. Resume lives here.

Whoever passes holds apply.lock from the first read to the last write, so two passes never act on the same facts.
Only the watch launches and ends processes; a pass by hand submits and passes on wishes to stop.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from core import durable
from core.run_dir import Fenced, RunDir
from core.spec import RunSpec
from orchestrator import snapshot
from orchestrator.backends import BACKENDS, Backend, Order, Unreachable
from orchestrator.backends.local import LocalQueue
from orchestrator.decide import TERMINAL, Decision
from orchestrator.facts import Facts
from orchestrator.home import Home
from orchestrator.look import look
from orchestrator.plan_dir import PlanDir, all_plans, read_spec
from orchestrator.refusal import Refused

REPEAT_STOP_S = 5.0


@dataclass
class Waiting:
    run: RunDir
    spec: RunSpec
    number: int
    slots: int  # of its plan's wish


@dataclass
class Reconciler:
    home: Home
    say: Callable[[str], None] = print
    watching: bool = False
    stall_grace_s: float = 10.0  # between SIGTERM and SIGKILL of a stalled worker
    _queue: LocalQueue = field(init=False)
    _events: list[dict[str, Any]] = field(default_factory=list)  # of this pass, for the registry
    _backends: dict[str, Backend] = field(default_factory=dict)
    _specs: dict[str, RunSpec] = field(default_factory=dict)
    _done: set[str] = field(default_factory=set)  # done is never left
    _finished_plans: set[str] = field(default_factory=set)
    _states: dict[str, str] = field(default_factory=dict)
    _signalled: dict[tuple[str, int], float] = field(default_factory=dict)  # monotonic time of the last SIGTERM
    _stalled_since: dict[tuple[str, int], float] = field(default_factory=dict)
    _ending: dict[tuple[str, int], float] = field(default_factory=dict)  # stalled ones that we told to stop

    def __post_init__(self) -> None:
        self._queue = LocalQueue(self.home)
        self._backends["local"] = self._queue

    def one_pass(self) -> int:
        """Returns how many runs of submitted plans have not ended. The caller holds `home.applying()`."""
        self._queue.reap()
        still_open, waiting = 0, []
        for plan, wish in self._submitted_plans():
            backend = self._backend(wish["backend"])
            states = []
            for run in plan.runs():
                if run.run_id in self._done:
                    continue
                decision, number = self._settle(run, backend)
                states.append(decision.state)
                if decision.state == "queued" and number and backend is self._queue:
                    waiting.append(Waiting(run, self._spec(run), number, wish["slots"]))
            if not states:
                self._finished_plans.add(plan.plan_id)
            still_open += sum(state not in TERMINAL for state in states)
        if self.watching and waiting:
            self._launch(waiting)
        self._keep_events()
        return still_open

    # ---- one run
    def _settle(self, run: RunDir, backend: Backend) -> tuple[Decision, int]:
        """Do what is due. Returns the decision that holds afterwards and the last submission's number."""
        try:
            spec = self._spec(run)
        except Refused as refusal:
            self._note_state(run, Decision("failed", str(refusal)))
            return Decision("failed", str(refusal)), 0
        facts, decision = look(run, spec, backend, True)
        key = (run.run_id, facts.attempt)
        if key in self._ending and not facts.alive:
            del self._ending[key]
            if not facts.has_result and facts.error is None:
                message = f"no beat for more than {facts.stall_limit_s:.0f} s; the watcher ended it"
                record_error(run, facts.attempt, "stalled", message, 76)
                facts, decision = look(run, spec, backend, True)
        self._note_state(run, decision)
        if decision.due != "end_stalled":
            self._stalled_since.pop(key, None)
        if decision.due == "submit" and decision.due_in_s == 0:
            with contextlib.suppress(Unreachable):
                number = backend.submit(Order(run, spec.config.threads))
                self._event(run, "submitted", number, decision.note)
                return Decision("queued"), number
        elif decision.due == "stop":
            self._stop(run, facts.attempt)
        elif decision.due == "end_stalled" and self.watching:
            self._end_stalled(run, facts)
        elif decision.due == "record_error" and decision.error is not None:
            number = max(facts.submission, facts.attempt)
            record_error(run, number, decision.error["class"], decision.error["message"], None)
        elif decision.state == "done" and not facts.alive:  # until it has left, it holds its slot and its memory
            self._done.add(run.run_id)
        return decision, facts.submission

    def _stop(self, run: RunDir, attempt: int) -> None:
        now = time.monotonic()
        if now - self._signalled.get((run.run_id, attempt), -REPEAT_STOP_S) >= REPEAT_STOP_S:
            self._signalled[run.run_id, attempt] = now
            if signal_worker(run, attempt, signal.SIGTERM):
                self._event(run, "told to stop", attempt)

    def _end_stalled(self, run: RunDir, facts: Facts) -> None:
        """Our own clock must have seen the silence last too: a wall clock that jumps ages every beat at once."""
        key, now = (run.run_id, facts.attempt), time.monotonic()
        since = self._stalled_since.setdefault(key, now)
        if now - since < facts.stall_limit_s / 5:
            return
        if key not in self._ending:
            self._ending[key] = now
            if signal_worker(run, facts.attempt, signal.SIGTERM):
                self._event(run, "stalled, SIGTERM", facts.attempt)
        elif now - self._ending[key] >= self.stall_grace_s and signal_worker(run, facts.attempt, signal.SIGKILL):
            self._event(run, "stalled, SIGKILL", facts.attempt)

    # ---- the local queue
    def _launch(self, waiting: list[Waiting]) -> None:
        live = sum(self._queue.is_live(run) for run in self._unfinished_runs())
        for item in waiting:
            if live >= item.slots:
                continue
            wrong = snapshot.mismatch(self.home.snapshots, item.run.snapshot())
            if wrong:
                record_error(item.run, item.number, "plan", wrong, 78)
                self._event(item.run, "refused", item.number, wrong)
                continue
            try:
                pid = self._queue.launch(item.run, item.spec, item.number)
            except OSError as error:
                self._event(item.run, "launch failed", item.number, str(error))
                continue
            live += 1
            self._event(item.run, "launched", item.number, f"pid {pid}")

    def _unfinished_runs(self) -> Iterator[RunDir]:
        """Of every plan, submitted or not: a worker started by hand occupies a slot too."""
        for plan in all_plans(self.home):
            if plan.plan_id not in self._finished_plans:
                yield from (run for run in plan.runs() if run.run_id not in self._done)

    # ---- what is remembered between passes
    def _submitted_plans(self) -> list[tuple[PlanDir, dict[str, Any]]]:
        """In the order in which they were submitted."""
        found = []
        for plan in all_plans(self.home):
            if plan.plan_id not in self._finished_plans:
                wish = plan.wish()
                if wish is not None and wish.get("backend") in BACKENDS:
                    found.append((plan, wish))
        return sorted(found, key=lambda pair: pair[1]["time"])

    def _backend(self, name: str) -> Backend:
        if name not in self._backends:
            self._backends[name] = BACKENDS[name](self.home)
        return self._backends[name]

    def _spec(self, run: RunDir) -> RunSpec:
        if run.run_id not in self._specs:
            self._specs[run.run_id] = read_spec(run)
        return self._specs[run.run_id]

    def _note_state(self, run: RunDir, decision: Decision) -> None:
        if self._states.get(run.run_id) != decision.state:
            self._states[run.run_id] = decision.state
            if self.watching:
                self._event(run, decision.state, None, decision.note)

    def _event(self, run: RunDir, what: str, number: int | None = None, detail: str = "") -> None:
        self.say(f"{run.run_id}  {what}{f' #{number}' if number else ''}{f'  {detail}' if detail else ''}")
        row = {"time": time.time(), "run_id": run.run_id, "what": what, "attempt": number, "detail": detail}
        self._events.append(row)

    def _keep_events(self) -> None:
        """After the acting: the registry's imports take a second. It is an index; a full or broken one stops no run."""
        if not self._events:
            return
        from sqlalchemy.exc import SQLAlchemyError

        from orchestrator.registry import Event, Registry

        try:
            Registry(self.home.registry).log([Event(**row) for row in self._events])
        except (SQLAlchemyError, sqlite3.Error, OSError, Refused) as error:
            self.say(f"{self.home.registry}: {len(self._events)} events not kept: {error}")
        self._events.clear()


def signal_worker(run: RunDir, attempt: int, which: signal.Signals) -> bool:
    """Signal the living worker of our own host, and nobody who has inherited its pid. False: it is gone."""
    beat = run.heartbeat(attempt)
    if beat is None:
        return False
    try:
        handle = os.pidfd_open(beat["pid"])
    except ProcessLookupError:
        return False
    try:
        if not run.is_alive(attempt):  # asked while we hold the process: the pid cannot change hands any more
            return False
        signal.pidfd_send_signal(handle, which)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True


def record_error(run: RunDir, number: int, kind: str, message: str, exit_code: int | None) -> None:
    """error.json for an attempt that could not write its own; claims the number where no worker came that far."""
    if number not in run.attempts():
        try:
            os.close(run.claim(number).lock)
        except Fenced:
            return  # somebody lives or came later: then there is nothing to record
    row = {"class": kind, "message": message, "exit_code": exit_code, "time": time.time(), "traceback": None}
    durable.write_json(run.attempt(number) / "error.json", row)
