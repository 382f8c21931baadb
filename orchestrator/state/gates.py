"""Gates: what a run waits for is an outcome, not an exit code.

A gate reads one figure of one finished run. It passes, fails, or waits: for the run, or for a person. A failed gate
stays failed until the plan is amended, because a threshold that moves after the measurement decides nothing.
Reads only; standard library only.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from core.runs import durable
from orchestrator.store.plan_dir import PlanDir

GateState = Literal["waits", "needs approval", "passed", "failed", "void"]  # void: its run will give no figure
StateOf = Callable[[str], str]  # of a run, by its id


@dataclass(frozen=True)
class Verdict:
    """What a gate says now."""

    gate: dict[str, Any]  # as in plan.json: name, run_id, metric, at_least, at_most, before, approve, fallback
    state: GateState
    value: float | None
    note: str

    def row(self) -> dict[str, Any]:
        shown = ("name", "run_id", "metric", "at_least", "at_most", "approve", "before")
        return {key: self.gate.get(key) for key in shown} | {
            "state": self.state,
            "value": self.value,
            "note": self.note,
            "fallback": "--fallback" in self.note,
        }


def judge(plan: PlanDir, gate: dict[str, Any], result: dict[str, Any] | None, states: StateOf) -> Verdict:
    """`result`: of the gate's run."""
    name = gate["name"]
    if result is None:
        state = states(gate["run_id"])
        if state in ("failed", "cancelled"):
            run = short_name(plan, gate["run_id"])
            note = f"gate {name} cannot be judged: {run} is {state}; `grpoq retry {run}`"
            return Verdict(gate, "void", None, note)
        return Verdict(gate, "waits", None, f"waits for gate {name}: {_wanted(plan, gate)}")
    value = figure(result, gate["metric"]) if gate.get("metric") else None
    if gate.get("metric"):
        wrong = _shortfall(plan, gate, value)
        if wrong:
            way_out = f"; `grpoq plan --fallback {name}`" if fallback_is_left(plan, gate) else ""
            return Verdict(gate, "failed", value, f"gate {name} failed: {wrong}{way_out}")
    if gate["approve"] == "human" and approval(plan, name) is None:
        found = f": {gate['metric']} {value:.4g}" if value is not None else ""
        return Verdict(gate, "needs approval", value, f"gate {name} waits for `grpoq approve {name}`{found}")
    return Verdict(gate, "passed", value, "")


def fallback_is_left(plan: PlanDir, gate: dict[str, Any]) -> bool:
    """It names one, and the plan is not it already."""
    wanted = gate.get("fallback") or {}
    taken = dict(plan.content.get("source", {}).get("choices", {}).get("overrides", []))
    return bool(wanted) and any(taken.get(key) != value for key, value in wanted.items())


def figure(result: dict[str, Any], metric: str) -> float | None:
    """From a training run's result.json its own key, from other kinds' the key under `metrics`. None: no number."""
    value = result.get("metrics", {}).get(metric, result.get(metric))
    number = isinstance(value, int | float) and math.isfinite(value)
    return float(value) if number else None


def blocked_by(verdicts: Sequence[Verdict], row: dict[str, Any]) -> str:
    """Why the run of this plan.json row may not start yet; empty: nothing in front of it."""
    for verdict in verdicts:
        if verdict.state != "passed" and row["run_id"] in verdict.gate["before_runs"]:
            return verdict.note
    return ""


def waiting_for(plan: PlanDir, row: dict[str, Any], states: StateOf) -> str:
    """Runs that must be done first: an evaluation's training run."""
    for run_id in row.get("after", ()):
        if plan.home.run(run_id).has_result():
            continue
        state, name = states(run_id), short_name(plan, run_id)
        if state in ("failed", "cancelled"):
            return f"waits for {name}, which is {state}; `grpoq retry {name}`"
        return f"waits for {name}"
    return ""


def approve(plan: PlanDir, name: str, who: str) -> None:
    """Kept beside the plan, with the figure that was approved."""
    durable.append_line(plan.path / "approvals.jsonl", {"gate": name, "by": who, "time": time.time()})


def approval(plan: PlanDir, name: str) -> dict[str, Any] | None:
    rows = [row for row in durable.read_lines(plan.path / "approvals.jsonl") if row.get("gate") == name]
    return rows[-1] if rows else None


def short_name(plan: PlanDir, run_id: str) -> str:
    """LABEL-sSEED where that is unique in the plan."""
    name = run_id.rpartition("-")[0]
    return name if sum(other.rpartition("-")[0] == name for other in plan.run_ids) == 1 else run_id


def _wanted(plan: PlanDir, gate: dict[str, Any]) -> str:
    run = short_name(plan, gate["run_id"])
    return f"{run} {_bounds(gate)}" if gate.get("metric") else f"{run}, then approval"


def _bounds(gate: dict[str, Any]) -> str:
    words = [
        f"{gate['metric']} {sign} {gate[key]:g}"
        for key, sign in (("at_least", ">="), ("at_most", "<="))
        if gate.get(key) is not None
    ]
    return " and ".join(words)


def _shortfall(plan: PlanDir, gate: dict[str, Any], value: float | None) -> str:
    run = short_name(plan, gate["run_id"])
    if value is None:
        return f"{run} gave no {gate['metric']}"
    low, high = gate.get("at_least"), gate.get("at_most")
    if (low is not None and value < low) or (high is not None and value > high):
        return f"{run} {gate['metric']} {value:.4g}, wanted {_bounds(gate)}"
    return ""
