"""One command of the user's on what they want to be woken for: a finish, a failure, a gate, the budget.

The watch runs it with the event in its environment (GRPOQ_EVENT, GRPOQ_PLAN, GRPOQ_RUN, GRPOQ_MESSAGE) and as JSON on
its standard input. What was told stands beside the plan, so a new watch tells nothing twice; an event is kept after
the command was started, so a crash in between tells it again rather than never.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from core.runs import durable
from orchestrator.state.decide import TERMINAL
from orchestrator.state.observed_plan import ObservedPlan
from orchestrator.store.home import Home

TIMEOUT_S = 60.0
GATE_EVENTS = ("passed", "failed", "needs approval", "void")


@dataclass(frozen=True)
class Notice:
    key: str  # told once for each
    event: str  # finish | failure | gate | budget
    message: str
    run_id: str = ""


def read_command(home: Home) -> str:
    return (durable.read_json(home.path / "notify.json") or {}).get("command", "")


def write_command(home: Home, command: str) -> None:
    home.require_writable()
    home.path.mkdir(parents=True, exist_ok=True)
    durable.write_json(home.path / "notify.json", {"command": command})


def notices(observed: ObservedPlan) -> Iterator[Notice]:
    """All that could be told of a plan now, told before or not."""
    plan = observed.plan
    decisions = {run_id: observed.decision(run_id) for run_id in plan.run_ids}
    for run_id, decision in decisions.items():
        if decision.state == "failed":
            error = decision.error or {}
            message = f"{run_id} failed: {error.get('class', decision.note)}: {error.get('message', '')}"
            yield Notice(f"failure {run_id} {observed.look(run_id)[0].attempt}", "failure", message, run_id)
        if decision.held == "budget" or (decision.error or {}).get("class") == "budget":
            yield Notice(f"budget {plan.budget().get('cap')}", "budget", f"{plan.plan_id}: {decision.note}", run_id)
    for verdict in observed.verdicts():
        if verdict.state in GATE_EVENTS:
            name = verdict.gate["name"]
            message = f"{plan.plan_id}: gate {name} {verdict.state}" + (f": {verdict.note}" if verdict.note else "")
            yield Notice(f"gate {name} {verdict.state}", "gate", message, verdict.gate["run_id"])
    if all(decision.state in TERMINAL for decision in decisions.values()):
        states = [decision.state for decision in decisions.values()]
        counts = ", ".join(f"{states.count(state)} {state}" for state in TERMINAL if state in states)
        tries = sum(observed.look(run_id)[0].attempt for run_id in decisions)
        yield Notice(f"finish {counts} {tries}", "finish", f"{plan.plan_id} has ended: {counts}")


@dataclass
class Notifier:
    home: Home
    say: Callable[[str], None]
    _told: dict[str, set[str]] = field(default_factory=dict)  # by plan
    _children: list[tuple[subprocess.Popen[bytes], float, str]] = field(default_factory=list)

    def tell(self, observed: ObservedPlan) -> None:
        self._reap()
        command = read_command(self.home)
        if not command:
            return
        ledger = observed.plan.path / "notified.jsonl"
        plan_id = observed.plan.plan_id
        if plan_id not in self._told:
            self._told[plan_id] = {row["key"] for row in durable.read_lines(ledger) if "key" in row}
        for notice in notices(observed):
            if notice.key not in self._told[plan_id]:
                self._told[plan_id].add(notice.key)
                self.run(command, notice, plan_id)
                durable.append_line(ledger, {"key": notice.key, "event": notice.event, "time": time.time()})

    def run(self, command: str, notice: Notice, plan_id: str) -> subprocess.Popen[bytes] | None:
        """Started and left to itself: whoever is slow to notify holds up no run."""
        row = {"event": notice.event, "plan": plan_id, "run": notice.run_id, "message": notice.message}
        variables = {f"GRPOQ_{name.upper()}": value for name, value in row.items()}
        try:
            child = subprocess.Popen(
                ["sh", "-c", command],
                cwd=self.home.path,
                env=os.environ | variables,
                stdin=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            self.say(f"notify: {error}")
            return None
        assert child.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it need not read
            child.stdin.write(json.dumps(row).encode() + b"\n")
            child.stdin.close()
        self._children.append((child, time.monotonic(), notice.key))
        return child

    def _reap(self) -> None:
        left: list[tuple[subprocess.Popen[bytes], float, str]] = []
        for child, since, key in self._children:
            code = child.poll()
            if code is None and time.monotonic() - since > TIMEOUT_S:
                child.kill()
                self.say(f"notify: the command for {key!r} took more than {TIMEOUT_S:.0f} s and was killed")
            elif code is None:
                left.append((child, since, key))
            elif code:
                self.say(f"notify: the command for {key!r} ended with {code}")
        self._children = left
