"""One look at a plan: every run's facts and what follows from them, gates and money included. Reads only.

The engine is asked once for all runs, before their files are read, because a run may finish in between.
"""

from __future__ import annotations

import shutil
from collections.abc import Container
from typing import Any

from core.runs.run_dir import RunDir
from core.spec import RunSpec
from orchestrator.backends import BACKENDS, Backend, Unreachable
from orchestrator.backends.words import UNKNOWN, UNREACHABLE
from orchestrator.refusal import Refused
from orchestrator.state import gates
from orchestrator.state.budget import Purse
from orchestrator.state.decide import TERMINAL, Decision, decide
from orchestrator.state.observed_run import Facts, Surroundings, observe
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
        self.wish = plan.wish()
        name = self.wish["backend"] if self.wish else "local"
        self.backend = backend or BACKENDS.get(name, BACKENDS["local"])(plan.home)
        self._rows = plan.rows()
        self._done = done
        self._specs = specs if specs is not None else {}
        self._unreadable: dict[str, str] = {}
        self._seen: dict[str, tuple[Facts, Decision]] = {}
        self._no_room: dict[float, str] = {}
        self.unreachable = ""  # why the engine does not answer
        self._numbers = {i: self._last_number(i) for i in self._rows if i not in done}
        self._words = self._ask([plan.home.run(i) for i, number in self._numbers.items() if number])
        self._over = ""
        self.count_money()

    # ---- answers
    def spec(self, run_id: str) -> RunSpec | None:
        """None where its spec.json is missing or torn: `decision` says so."""
        if run_id not in self._specs and run_id not in self._unreadable:
            try:
                self._specs[run_id] = read_spec(self.plan.home.run(run_id))
            except Refused as refusal:
                self._unreadable[run_id] = str(refusal)
        return self._specs.get(run_id)

    def look(self, run_id: str) -> tuple[Facts, Decision]:
        if run_id not in self._seen:
            self._seen[run_id] = self._look(run_id)
        return self._seen[run_id]

    def again(self, run_id: str) -> tuple[Facts, Decision]:
        """After something was done to it."""
        self._seen.pop(run_id, None)
        return self.look(run_id)

    def decision(self, run_id: str) -> Decision:
        return self.look(run_id)[1]

    def state(self, run_id: str) -> str:
        return self.decision(run_id).state

    def held(self, run_id: str) -> str:
        """What keeps it from being submitted now, whatever its state: a gate, the disk, the budget."""
        spec = self.spec(run_id)
        return self._gate(run_id) or (self._hold(run_id, spec) if spec else "") or self._over

    def verdicts(self) -> list[gates.Verdict]:
        return [gates.judge(self.plan, gate, self.state) for gate in self.plan.gates]

    def progresses(self, run_id: str) -> bool:
        """Whether somebody or something can still bring it on without a person."""
        decision = self.decision(run_id)
        held = decision.held == "budget" and decision.state != "running"
        return decision.state not in (*TERMINAL, "blocked") and not held

    def count_money(self) -> None:
        """What runs comes first; what waits keeps its place only while it fits."""
        readable = [(self.plan.home.run(i), spec) for i in self._rows if (spec := self.spec(i)) is not None]
        self.purse = Purse(self.plan, readable, self.wish["slots"] if self.wish else self.plan.slots)
        if self.purse.cap is None:
            return
        self._over = ""
        looks = {run_id: self.look(run_id) for run_id in self._rows}
        lost = [i for i, (f, _) in looks.items() if f.away and (f.silent_s or 0.0) > f.stall_limit_s]
        waits = [i for i, (_, d) in looks.items() if d.state == "queued" or i in lost]
        for run_id in (i for i, (_, d) in looks.items() if d.state == "running" and i not in waits):
            self.purse.reserve(run_id)
        self._over = self.purse.over()
        for run_id in (i for i in waits if not self.purse.refusal(i)):
            self.purse.reserve(run_id)
        self._seen.clear()  # what was decided before the money was counted

    # ---- one run
    def _look(self, run_id: str) -> tuple[Facts, Decision]:
        if run_id in self._done:
            return Facts(has_result=True), Decision("done")
        spec, run = self.spec(run_id), self.plan.home.run(run_id)
        if spec is None and run.has_result():
            return Facts(has_result=True), Decision("done")
        if spec is None:
            message = self._unreadable[run_id]
            return Facts(), Decision("failed", message, error={"class": "data", "message": message})
        word = self._words.get(run_id, UNKNOWN)
        around = Surroundings(
            word=word,
            of_number=self._numbers.get(run_id, 0),
            plan_submitted=self.wish is not None,
            gate=self._gate(run_id),
            hold=self._hold(run_id, spec) if self.wish is not None else "",
            over_budget=self._over,
        )
        facts = observe(run, spec, around)
        return facts, decide(facts)

    def _gate(self, run_id: str) -> str:
        if self._numbers.get(run_id):
            return ""  # it was submitted: gates only hold back what has not begun
        row = self._rows[run_id]
        held = [gate for gate in self.plan.gates if run_id in gate["before_runs"]]
        verdicts = [gates.judge(self.plan, gate, self.state) for gate in held]
        return gates.blocked_by(verdicts, row) or gates.waiting_for(self.plan, row, self.state)

    def _hold(self, run_id: str, spec: RunSpec) -> str:
        """Submitting into a full disk or over the cap would only burn retries."""
        floor = spec.config.disk_floor_gb
        if floor not in self._no_room:
            free = shutil.disk_usage(self.plan.home.runs).free / 1e9
            room = free >= floor
            self._no_room[floor] = "" if room else f"disk: {free:.2f} GB free, it wants {floor:g}; goes on with room"
        return self._no_room[floor] or self.purse.refusal(run_id)

    # ---- the engine
    def _ask(self, runs: list[RunDir]) -> dict[str, str]:
        if not runs:
            return {}
        try:
            return self.backend.states(runs)
        except Unreachable as error:
            self.unreachable = str(error)
            return {run.run_id: UNREACHABLE for run in runs}

    def _last_number(self, run_id: str) -> int:
        submissions = self.plan.home.run(run_id).submissions()
        return submissions[-1].number if submissions else 0


def gate_rows(observed: ObservedPlan, run_id: str | None = None) -> list[dict[str, Any]]:
    """All gates, or those in front of one run."""
    verdicts = observed.verdicts()
    return [v.row() for v in verdicts if run_id is None or run_id in v.gate["before_runs"]]
