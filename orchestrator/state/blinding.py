"""Which arms' outcomes may be shown: those of a contrast whose runs have all ended.

A look at half a matrix is a choice to stop. So `status` and `report` show health until then, and a look that is wanted
all the same (--peek) stands in the plan's peeks.jsonl before anything is shown, and in every report. It guards against
accidents, not against intent: logs, metrics and rollouts stay readable. Standard library only.
"""

from __future__ import annotations

import getpass
import time
from collections.abc import Container, Iterable
from typing import Any

from core.runs import durable
from orchestrator.state.decide import TERMINAL
from orchestrator.state.observed_plan import ObservedPlan
from orchestrator.store.plan_dir import PlanDir, all_plans
from orchestrator.store.preregistration import Registered

PEEKS = "peeks.jsonl"


def hidden_labels(observed: ObservedPlan) -> set[str]:
    """Labels of training runs whose outcomes are not to be shown yet. None in a plan that supports no claim."""
    plan = observed.plan
    if not plan.content.get("preregistered", True):
        return set()
    planned = [row for row in plan.content["runs"] if row["kind"] == "train"]
    labels = {row["label"] for row in planned}
    groups = contrast_groups(Registered.of_plan(plan.content), labels)
    label_of = {row["run_id"]: row["label"] for row in planned}
    open_labels = {row["label"] for row in planned if not has_ended(observed, row["run_id"])}
    for row in plan.content["runs"]:  # the evaluation of a finished run is its outcome
        finished = [i for i in row.get("after", ()) if i in label_of and observed.state(i) == "done"]
        if finished and not has_ended(observed, row["run_id"]):
            open_labels |= {label_of[run_id] for run_id in finished}
    open_labels |= _evaluated_elsewhere(plan, label_of)
    complete = [group for group in groups if not group & open_labels]
    return labels - set().union(*complete)


def _evaluated_elsewhere(plan: PlanDir, label_of: dict[str, str]) -> set[str]:
    """Labels of runs that a plan of `grpoq eval` is still at."""
    if not any(plan.home.plans.glob("*-eval-*/plan.json")):  # which `status` can afford to ask
        return set()
    labels = set()
    for other in (p for p in all_plans(plan.home) if p.content.get("evaluates") == plan.content["hash"]):
        observed = ObservedPlan(other)
        for row in other.content["runs"]:
            if row.get("of") in label_of and not has_ended(observed, row["run_id"]):
                labels.add(label_of[row["of"]])
    return labels


def without_hidden(observed: ObservedPlan, gates: list[dict[str, Any]], hidden: Container[str]) -> list[dict[str, Any]]:
    """The figure by which a gate passed is an outcome as well. One that failed, or asks a person, must show it."""
    rows = observed.plan.rows()

    def label(run_id: str) -> str:
        row = rows.get(run_id, {})
        return label(row["after"][0]) if row.get("after") else row.get("label", "")

    return [
        gate | {"value": None} if gate["state"] == "passed" and label(gate["run_id"]) in hidden else gate
        for gate in gates
    ]


def contrast_groups(registered: Registered, labels: Iterable[str]) -> list[set[str]]:
    """The arms of each registered comparison; where none is registered, all arms are one."""
    known = set(labels)
    if not registered.hypotheses:
        return [known]
    groups = [{h.treatment, h.baseline} & known for h in registered.hypotheses]
    groups += [{treatment, control} & known for _, treatment, control in registered.contrasts()]
    return groups + [{label} for label in known - set().union(*groups)]


def has_ended(observed: ObservedPlan, run_id: str) -> bool:
    """Done, failed or cancelled; or behind a gate that has failed for good."""
    if observed.state(run_id) in TERMINAL:
        return True
    return observed.state(run_id) == "blocked" and any(
        verdict.state in ("failed", "void") for verdict in observed.verdicts() if run_id in verdict.gate["before_runs"]
    )


def record_if_hidden(observed: ObservedPlan, command: str) -> None:
    """Before the look is granted; where all contrasts are complete it is none."""
    hidden = hidden_labels(observed)
    if hidden:
        _record(observed.plan, f"grpoq {command} --peek", hidden)


def _record(plan: PlanDir, command: str, labels: Iterable[str]) -> None:
    row = {"time": time.time(), "by": _who(), "command": command, "labels": sorted(labels)}
    durable.append_line(plan.path / PEEKS, row)


def record_reopening(observed: ObservedPlan, run_id: str) -> None:
    """A retry hides again what anybody could see while its run counted as ended: that look is kept."""
    row = observed.plan.rows()[run_id]
    if row["kind"] == "train" and row["label"] not in hidden_labels(observed):
        _record(observed.plan, f"grpoq retry {run_id}: its contrast was open before", {row["label"]})


def peeks(plan: PlanDir) -> list[dict[str, Any]]:
    return durable.read_lines(plan.path / PEEKS)


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        return "unknown"
