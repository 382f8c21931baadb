"""One pass over the home: observe every run, decide, act. Resume lives here.

Whoever passes holds apply.lock from the first read to the last write, so two passes never act on the same facts.
Only the watch launches and ends processes; a pass by hand submits and passes on stop requests.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from core.runs.run_dir import RunDir
from core.spec import RunSpec
from orchestrator.backends import BACKENDS, Backend, Order, Unreachable
from orchestrator.backends.local import LocalQueue
from orchestrator.queue.notify import Notifier
from orchestrator.queue.signals import open_worker, record_error, signal_worker
from orchestrator.refusal import Refused
from orchestrator.state.decide import Decision
from orchestrator.state.observed_plan import ObservedPlan
from orchestrator.state.observed_run import Facts
from orchestrator.store import snapshot
from orchestrator.store.home import Home
from orchestrator.store.plan_dir import PlanDir, all_plans, unreadable_plans

REPEAT_STOP_S = 5.0
REPEAT_ENSURE_S = 5.0
TIDY_S = 60.0  # an engine that answers is looked after too: slots of orphans, tasks that have ended


@dataclass
class Waiting:
    run: RunDir
    spec: RunSpec
    number: int
    slots: int  # of its plan's request


@dataclass
class RememberedPlan:
    """Between passes."""

    specs: dict[str, RunSpec] = field(default_factory=dict)
    ensured: float = float("-inf")  # monotonic time at which its engine was looked after
    open_runs: int = 1  # that can be brought on, by the last pass


@dataclass
class RememberedAttempt:
    """Between passes."""

    stopped: float = float("-inf")  # monotonic time of the last SIGTERM
    ending: tuple[float, dict[str, Any]] | None = None  # since when, with what error
    beat: tuple[Any, float] | None = None  # on another host, and since when it is the same


@dataclass
class Reconciler:
    home: Home
    say: Callable[[str], None] = print
    watching: bool = False
    stall_grace_s: float = 10.0  # between SIGTERM and SIGKILL of a worker that is to end
    send: Callable[[RunDir, int, signal.Signals], bool] = signal_worker
    _queue: LocalQueue = field(init=False)
    _notifier: Notifier = field(init=False)
    _backends: dict[str, Backend] = field(init=False)
    _plans: list[tuple[PlanDir, dict[str, Any]]] = field(default_factory=list)  # of this pass
    _events: list[dict[str, Any]] = field(default_factory=list)  # of this pass, for the registry
    _done: set[str] = field(default_factory=set)  # done is never left
    _finished_plans: set[str] = field(default_factory=set)
    _of_plan: defaultdict[str, RememberedPlan] = field(default_factory=lambda: defaultdict(RememberedPlan))
    _of_attempt: defaultdict[Any, RememberedAttempt] = field(default_factory=lambda: defaultdict(RememberedAttempt))
    _said: dict[str, str] = field(default_factory=dict)  # what was last told of something that goes on
    _living: dict[str, tuple[int, int]] = field(default_factory=dict)  # run id: attempt, pidfd

    def __post_init__(self) -> None:
        self._notifier = Notifier(self.home, self.say)
        self._queue = LocalQueue(self.home)
        self._backends = {name: make(self.home) for name, make in BACKENDS.items()} | {"local": self._queue}

    def one_pass(self) -> int:
        """Returns how many runs of submitted plans can still be brought on. The caller holds `home.applying()`."""
        self._queue.reap()
        still_open = 0
        waiting: list[Waiting] = []
        self._plans = self._submitted_plans()
        for plan, request in self._plans:
            try:
                still_open += self._pass_plan(plan, request, waiting)
            except OSError as error:  # of one plan's files: the others go on
                self._tell_once(plan.plan_id, str(error))
                still_open += 1
        if self.watching and waiting:
            self._launch(waiting)
        self._keep_events()
        return still_open

    def _pass_plan(self, plan: PlanDir, request: dict[str, Any], waiting: list[Waiting]) -> int:
        observed, open_runs = self._observe(plan, request), 0
        left = [(place, i) for place, i in enumerate(plan.run_ids) if i not in self._done]
        for place, run_id in left:
            try:
                decision, number = self._settle(observed, run_id, place)
            except OSError as error:  # of one run's files: the others go on
                self._tell_once(run_id, str(error))
                open_runs += 1
                continue
            spec = observed.spec(run_id)
            waits = decision.state == "queued" and not decision.due and observed.backend is self._queue
            if waits and number and spec:
                waiting.append(Waiting(plan.home.run(run_id), spec, number, request["slots"]))
            open_runs += observed.progresses(run_id)
        self._of_plan[plan.plan_id].open_runs = open_runs
        if not left:
            self._finished_plans.add(plan.plan_id)
        self._gates(plan, observed)
        if self.watching:
            self._notifier.tell(observed)
        return open_runs

    def living(self) -> list[int]:
        """Descriptors that become readable when a worker of this host ends."""
        return [handle for _, handle in self._living.values()]

    # ---- one plan
    def _observe(self, plan: PlanDir, request: dict[str, Any]) -> ObservedPlan:
        """Asks the engine, and brings it up where it does not answer: after a boot, after its daemon died."""
        backend, remembered = self._backends[request["backend"]], self._of_plan[plan.plan_id]
        since = time.monotonic() - remembered.ensured
        if since >= TIDY_S:
            self._ensure(plan, backend, request)
        observed = ObservedPlan(plan, backend, self._done, remembered.specs)
        if observed.unreachable and REPEAT_ENSURE_S <= since < TIDY_S and self._ensure(plan, backend, request):
            observed = ObservedPlan(plan, backend, self._done, remembered.specs)
        self._tell_once(f"{plan.plan_id}, {backend.name}", observed.unreachable)
        return observed

    def _ensure(self, plan: PlanDir, backend: Backend, request: dict[str, Any]) -> bool:
        self.ensured(plan)
        try:
            backend.ensure(self._slots(backend.name, request["slots"]))
        except Unreachable:
            return False  # the observed plan says why
        return True

    def _slots(self, name: str, own: int) -> int:
        """An engine's group is the home's: as many at a time as the most modest of its open plans allows."""
        others = [
            (request["slots"], self._of_plan[p.plan_id]) for p, request in self._plans if request["backend"] == name
        ]
        return min([own, *(slots for slots, remembered in others if remembered.open_runs)])

    def ensured(self, plan: PlanDir) -> None:
        """Whoever submits has looked after the engine already."""
        self._of_plan[plan.plan_id].ensured = time.monotonic()

    def _gates(self, plan: PlanDir, observed: ObservedPlan) -> None:
        for verdict in observed.verdicts():
            gate = f"gate {verdict.gate['name']}"
            if self._is_news(f"{plan.plan_id} {gate}", verdict.state) and self.watching:
                self._event(plan.home.run(verdict.gate["run_id"]), f"{gate} {verdict.state}", None, verdict.note)

    # ---- one run
    def _settle(self, observed: ObservedPlan, run_id: str, place: int) -> tuple[Decision, int]:
        """Do what is due. Returns the decision that holds afterwards and the last submission's number."""
        run = self.home.run(run_id)
        facts, decision = observed.look(run_id)
        self._remember_living(run, facts)
        remembered = self._of_attempt[run_id, facts.attempt]
        if remembered.ending and not facts.alive:
            (_, error), remembered.ending = remembered.ending, None
            if not facts.has_result and facts.error is None:
                record_error(run, facts.attempt, error)
                observed.count_money()  # its silent hours were not in this pass's count
                facts, decision = observed.again(run_id)
        if self._is_news(f"{run_id} state", decision.state) and self.watching:
            self._event(run, decision.state, None, decision.note)
        if decision.due == "submit" and decision.due_in_s == 0:
            # where an attempt out of reach was to be overtaken, whoever comes after a lost submission overtakes too
            return self._submit(observed, run, place, decision, take_over=bool(facts.away))
        if decision.due == "take_over" and self._silent_here_too(run, facts):
            return self._submit(observed, run, place, decision, take_over=True)
        if decision.due == "withdraw":
            with contextlib.suppress(Unreachable):
                observed.backend.cancel(run)
        elif decision.due == "stop":
            self._stop(run, facts.attempt)
        elif decision.due == "end" and self.watching and decision.error is not None:
            self._end(run, facts.attempt, decision.error)
        elif decision.due == "record_error" and decision.error is not None:
            record_error(run, max(facts.submission, facts.attempt), decision.error)
            facts, decision = observed.again(run_id)
        elif decision.state == "done" and not facts.alive:  # until it has left, it holds its slot and its memory
            self._done.add(run_id)
        return decision, facts.submission

    def _submit(
        self, observed: ObservedPlan, run: RunDir, place: int, decision: Decision, take_over: bool = False
    ) -> tuple[Decision, int]:
        spec = observed.spec(run.run_id)
        assert spec is not None, f"{run.run_id}: a submission is due without a spec"
        wrong = snapshot.mismatch(self.home.snapshots, run.snapshot())
        if wrong:
            self._refuse_code(run, run.submit(observed.backend.name), wrong)
            return observed.again(run.run_id)[1], run.newest_number()
        try:
            number = observed.backend.submit(Order(run, spec.config.threads, place, take_over))
        except Unreachable as error:
            self._tell_once(run.run_id, f"not submitted: {error}")
            return decision, 0
        observed.purse.reserve(run.run_id)
        self._event(run, "submitted", number, decision.note)
        return Decision("queued"), number

    def _silent_here_too(self, run: RunDir, facts: Facts) -> bool:
        """Clocks of two hosts are never compared: our own must have seen the same beat for the whole limit."""
        remembered, now = self._of_attempt[run.run_id, facts.attempt], time.monotonic()
        beat = (run.heartbeat(facts.attempt) or {}).get("beat")
        if remembered.beat is None or remembered.beat[0] != beat:
            remembered.beat = (beat, now)
        return now - remembered.beat[1] >= facts.stall_limit_s

    def _stop(self, run: RunDir, attempt: int) -> None:
        remembered, now = self._of_attempt[run.run_id, attempt], time.monotonic()
        if now - remembered.stopped >= REPEAT_STOP_S:
            remembered.stopped = now
            if self.send(run, attempt, signal.SIGTERM):
                self._event(run, "told to stop", attempt)

    def _end(self, run: RunDir, attempt: int, error: dict[str, Any]) -> None:
        """SIGTERM, so that it can save; SIGKILL after the grace, which also reaches a stopped process."""
        remembered, now = self._of_attempt[run.run_id, attempt], time.monotonic()
        if remembered.ending is None:
            remembered.ending = (now, error)
            if self.send(run, attempt, signal.SIGTERM):
                self._event(run, f"{error['class']}, SIGTERM", attempt)
        elif now - remembered.ending[0] >= self._grace(error) and self.send(run, attempt, signal.SIGKILL):
            self._event(run, f"{error['class']}, SIGKILL", attempt)

    def _grace(self, error: dict[str, Any]) -> float:
        """A stalled one does nothing; one that is sound ends its step and saves, however long its steps are."""
        return self.stall_grace_s if error["class"] == "stalled" else float("inf")

    def _refuse_code(self, run: RunDir, number: int, wrong: str) -> None:
        record_error(run, number, {"class": "plan", "message": wrong, "exit_code": 78})
        self._event(run, "refused", number, wrong)

    # ---- the local queue
    def _launch(self, waiting: list[Waiting]) -> None:
        taken = [slot for run in self._unfinished_runs() if (slot := self._queue.slot(run)) is not None]
        for item in waiting:
            if len(taken) >= item.slots:
                continue
            wrong = snapshot.mismatch(self.home.snapshots, item.run.snapshot())
            if wrong:
                self._refuse_code(item.run, item.number, wrong)
                continue
            slot = next(n for n in range(len(taken) + 1) if n not in taken)
            try:
                pid = self._queue.launch(item.run, item.spec, item.number, slot)
            except OSError as error:
                self._tell_once(item.run.run_id, f"launch failed: {error}")
                continue
            taken.append(slot)
            self._event(item.run, "launched", item.number, f"pid {pid}")

    def _unfinished_runs(self) -> Iterator[RunDir]:
        """Of every plan, submitted or not: a worker started by hand occupies a slot too."""
        for plan in all_plans(self.home, self._finished_plans):
            yield from (run for run in plan.runs() if run.run_id not in self._done)

    # ---- what is remembered between passes
    def _submitted_plans(self) -> list[tuple[PlanDir, dict[str, Any]]]:
        """In the order in which they were submitted."""
        found = []
        for plan in all_plans(self.home, self._finished_plans):
            request = plan.request()
            if request is not None and request.get("backend") in BACKENDS:
                found.append((plan, request))
            elif request is not None:
                known = ", ".join(BACKENDS)
                self._tell_once(
                    plan.plan_id, f"submitted to {request.get('backend')!r}, here are {known}: submit again"
                )
        for sentence in unreadable_plans(self.home):
            self._tell_once(sentence, "is passed over")
        return sorted(found, key=lambda pair: pair[1]["time"])

    def _remember_living(self, run: RunDir, facts: Facts) -> None:
        known = self._living.get(run.run_id)
        if known and (not facts.alive or known[0] != facts.attempt):
            os.close(self._living.pop(run.run_id)[1])
            known = None
        if self.watching and facts.alive and known is None:
            handle = open_worker(run, facts.attempt)
            if handle is not None:
                self._living[run.run_id] = (facts.attempt, handle)

    def _tell_once(self, about: str, what: str) -> None:
        """Something that may go on for hours, told when it begins and when it is another thing; empty: it is over."""
        if self._is_news(about, what):
            self.say(f"{about}  {what or 'answers again'}")

    def _is_news(self, about: str, what: str) -> bool:
        before, self._said[about] = self._said.get(about, ""), what
        return before != what

    def _event(self, run: RunDir, what: str, number: int | None = None, detail: str = "") -> None:
        self.say(f"{run.run_id}  {what}{f' #{number}' if number else ''}{f'  {detail}' if detail else ''}")
        row = {"time": time.time(), "run_id": run.run_id, "what": what, "attempt": number, "detail": detail}
        self._events.append(row)

    def _keep_events(self) -> None:
        """After the acting: the registry's imports take a second. It is an index; a full or broken one stops no run."""
        if not self._events:
            return
        from sqlalchemy.exc import SQLAlchemyError

        from orchestrator.store.registry import Event, Registry

        try:
            Registry(self.home.registry).log([Event(**row) for row in self._events])
        except (SQLAlchemyError, sqlite3.Error, OSError, Refused) as error:
            self.say(f"{self.home.registry}: {len(self._events)} events not kept: {error}")
        self._events.clear()
