"""One look at a plan: every run's facts and what follows from them, gates and money included. Reads only.

Nothing is read before somebody asks for it, and nothing twice. The engine is asked once for all runs, before their
files are read, because a run may finish in between.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Container, Iterable
from functools import cached_property
from typing import Any

from core.runs import durable
from core.runs.run_dir import RunDir
from core.spec import RunSpec
from orchestrator.backends import BACKENDS, Backend, Unreachable
from orchestrator.backends.words import UNKNOWN, UNREACHABLE
from orchestrator.refusal import Refused
from orchestrator.state import gates
from orchestrator.state.budget import Purse, spent_hours
from orchestrator.state.decide import TERMINAL, Decision, decide
from orchestrator.state.lifetimes import Span, lifetimes, total_seconds
from orchestrator.state.observed_run import Facts, observe
from orchestrator.store.plan_dir import PlanDir, read_spec


class ObservedPlan:
    def __init__(
        self,
        plan: PlanDir,
        backend: Backend | None = None,
        done: Container[str] = (),  # runs known to be done: not looked at again
        specs: dict[str, RunSpec] | None = None,  # a cache that outlives the observed
    ) -> None:
        self.plan = plan
        self.request = plan.request()
        name = self.request["backend"] if self.request else "local"
        self.backend = backend or BACKENDS.get(name, BACKENDS["local"])(plan.home)
        self.slots: int = self.request["slots"] if self.request else plan.slots
        self._rows = plan.rows()
        self._done = done
        self._specs = specs if specs is not None else {}
        self._unreadable: dict[str, str] = {}
        self._results: dict[str, dict[str, Any]] = {}
        self._lifetimes: dict[str, list[Span]] = {}
        self._facts: dict[str, Facts] = {}
        self._seen: dict[str, tuple[Facts, Decision]] = {}
        self._no_room: dict[float, str] = {}

    # ---- answers
    def spec(self, run_id: str) -> RunSpec | None:
        """None where its spec.json is missing or torn: `decision` says so."""
        if run_id not in self._specs and run_id not in self._unreadable:
            try:
                self._specs[run_id] = read_spec(self.plan.home.run(run_id))
            except Refused as refusal:
                self._unreadable[run_id] = str(refusal)
        return self._specs.get(run_id)

    def result(self, run_id: str) -> dict[str, Any] | None:
        """result.json; None where there is none that can be read, which is asked again: it may come meanwhile."""
        if run_id not in self._results:
            result = durable.read_json(self.plan.home.run(run_id).result_path)
            if not isinstance(result, dict):
                return None
            self._results[run_id] = result
        return self._results[run_id]

    def look(self, run_id: str) -> tuple[Facts, Decision]:
        if run_id not in self._seen:
            self._seen[run_id] = self._look(run_id)
        return self._seen[run_id]

    def again(self, run_id: str) -> tuple[Facts, Decision]:
        """After something was done to it."""
        self._facts.pop(run_id, None)
        self._seen.pop(run_id, None)
        return self.look(run_id)

    def decision(self, run_id: str) -> Decision:
        return self.look(run_id)[1]

    def state(self, run_id: str) -> str:
        return self.decision(run_id).state

    def held(self, run_id: str) -> str:
        """What keeps it from being submitted now, whatever its state: a gate, the disk, the budget."""
        spec = self.spec(run_id)
        return self._gate(run_id) or (self._hold(run_id, spec) if spec else "") or self.purse.over()

    def verdicts(self) -> list[gates.Verdict]:
        return self._judged(self.plan.gates)

    def progresses(self, run_id: str) -> bool:
        """Whether somebody or something can still bring it on without a person."""
        decision = self.decision(run_id)
        held = decision.held == "budget" and decision.state != "running"
        return decision.state not in (*TERMINAL, "blocked") and not held

    @property
    def unreachable(self) -> str:
        """Why the engine does not answer."""
        return self._engine[2]

    # ---- money
    def lifetimes(self, run: RunDir) -> list[Span]:
        if run.run_id not in self._lifetimes:
            self._lifetimes[run.run_id] = lifetimes(run)
        return self._lifetimes[run.run_id]

    @cached_property
    def spent_hours(self) -> float:
        return spent_hours(self.plan, self.lifetimes)

    @property
    def spent(self) -> float | None:
        """Money so far; None where the plan names no price."""
        per_hour = self.plan.content["budget"].get("per_hour")
        return None if per_hour is None else self.spent_hours * per_hour

    def share(self, run: RunDir) -> float | None:
        """The run's share of the box: its hours, by the price per hour, over the slots that share it."""
        per_hour = self.plan.content["budget"].get("per_hour")
        hours = total_seconds(self.lifetimes(run)) / 3600
        return None if per_hour is None else round(hours * per_hour / self.slots, 4)

    @cached_property
    def purse(self) -> Purse:
        """What runs comes first; what waits keeps its place only while it fits. Gates and the disk decide neither."""
        if self.plan.budget().get("cap") is None:
            return Purse(self.plan, (), self.slots)
        specs = [(self.plan.home.run(i), spec) for i in self._rows if (spec := self.spec(i)) is not None]
        purse = Purse(self.plan, specs, self.slots, self.spent)
        facts = {spec.run_id: self._fact(spec.run_id) for _, spec in specs}
        lost = [i for i, f in facts.items() if f.away and (f.silent_s or 0.0) > f.stall_limit_s]
        states = {i: "queued" if i in lost else decide(f).state for i, f in facts.items()}
        for run_id in (i for i, state in states.items() if state == "running"):
            purse.reserve(run_id)
        for run_id in (i for i, state in states.items() if state == "queued" and not purse.refusal(i)):
            purse.reserve(run_id)
        return purse

    def count_money(self) -> None:
        """Again, of all runs."""
        for name in ("purse", "spent_hours"):
            self.__dict__.pop(name, None)
        self._lifetimes.clear()
        self._facts.clear()
        self._seen.clear()

    # ---- one run
    def _look(self, run_id: str) -> tuple[Facts, Decision]:
        spec, facts = self.spec(run_id) if run_id not in self._done else None, self._fact(run_id)
        if facts.has_result:
            return facts, Decision("done")
        if spec is None:
            message = self._unreadable[run_id]
            return facts, Decision("failed", message, error={"class": "data", "message": message})
        facts = dataclasses.replace(
            facts,
            gate=self._gate(run_id),
            hold=self._hold(run_id, spec) if self.request is not None else "",
            over_budget=self.purse.over(),
        )
        return facts, decide(facts)

    def _fact(self, run_id: str) -> Facts:
        """What its directory and the engine say; not yet what gates, the disk and money say."""
        if run_id not in self._facts:
            self._facts[run_id] = self._observed(run_id)
        return self._facts[run_id]

    def _observed(self, run_id: str) -> Facts:
        if run_id in self._done:
            return Facts(has_result=True)
        numbers, words, _ = self._engine  # before the files
        spec, run = self.spec(run_id), self.plan.home.run(run_id)
        if spec is None:
            return Facts(has_result=run.has_result())
        return observe(run, spec, words.get(run_id, UNKNOWN), numbers.get(run_id, 0), self.request is not None)

    def _gate(self, run_id: str) -> str:
        if self._engine[0].get(run_id):
            return ""  # it was submitted: gates only hold back what has not begun
        row = self._rows[run_id]
        verdicts = self._judged([gate for gate in self.plan.gates if run_id in gate["before_runs"]])
        return gates.blocked_by(verdicts, row) or gates.waiting_for(self.plan, row, self.state)

    def _judged(self, wanted: Iterable[dict[str, Any]]) -> list[gates.Verdict]:
        return [gates.judge(self.plan, gate, self.result(gate["run_id"]), self.state) for gate in wanted]

    def _hold(self, run_id: str, spec: RunSpec) -> str:
        """Submitting into a full disk or over the cap would only burn retries."""
        floor = spec.config.disk_floor_gb
        if floor not in self._no_room:
            free = shutil.disk_usage(self.plan.home.runs).free / 1e9
            room = free >= floor
            self._no_room[floor] = "" if room else f"disk: {free:.2f} GB free, it wants {floor:g}; goes on with room"
        return self._no_room[floor] or self.purse.refusal(run_id)

    # ---- the engine
    @cached_property
    def _engine(self) -> tuple[dict[str, int], dict[str, str], str]:
        """Last submission and the engine's word by run id, and why the engine does not answer."""
        numbers = {i: self._last_number(i) for i in self._rows if i not in self._done}
        runs = [run for i, n in numbers.items() if n and not (run := self.plan.home.run(i)).has_result()]
        if not runs:
            return numbers, {}, ""
        try:
            return numbers, self.backend.states(runs), ""
        except Unreachable as error:
            return numbers, {run.run_id: UNREACHABLE for run in runs}, str(error)

    def _last_number(self, run_id: str) -> int:
        submissions = self.plan.home.run(run_id).submissions()
        return submissions[-1].number if submissions else 0


def gate_rows(observed: ObservedPlan, run_id: str | None = None) -> list[dict[str, Any]]:
    """All gates, or those in front of one run."""
    verdicts = observed.verdicts()
    return [v.row() for v in verdicts if run_id is None or run_id in v.gate["before_runs"]]
