"""`grpoq eval`: what a plan lacks is planned and submitted once; the answer as data and as lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestrator.planning import plan as planning
from orchestrator.planning.evaluation_plan import agenda
from orchestrator.queue import actions
from orchestrator.store.home import Home
from orchestrator.store.plan_dir import SCHEMA, choose_plan


def evaluate(
    home: Home,
    wanted_plan: str | None,
    names: Sequence[str],
    overrides: Sequence[str],
    backend: str | None,
) -> dict[str, Any]:
    """Plan and submit; what the command says. A second call adds nothing."""
    found = agenda(home, choose_plan(home, wanted_plan), names, overrides)
    plans = list(found.open)
    is_new = False
    if found.draft is not None:
        planning.require_room(home, found.draft)
        locked, is_new = planning.write_plan(home, found.draft)
        plans.append(locked)
    before = found.plan.request() or {"backend": None, "slots": None}  # as the training runs were submitted
    submitted = []
    for p in plans:
        engine = backend or (None if p.request() else before["backend"])
        submitted.append((p, *actions.submit(home, p, engine, before["slots"])))
    return {
        "schema": SCHEMA,
        "evaluates": {"plan_id": found.plan.plan_id, "hash": found.plan.content["hash"]},
        "is_new": is_new,
        "plans": [
            {"plan_id": p.plan_id, "backend": name, "slots": slots, "runs": p.content["runs"]}
            for p, name, slots in submitted
        ],
        "notes": list(found.notes),
    }


def lines(answer: dict[str, Any]) -> list[str]:
    found = []
    for p in answer["plans"]:
        many = f"{len(p['runs'])} evaluations, {p['slots']} at a time"
        found.append(f"submitted {p['plan_id']} to {p['backend']}: {many}")
        found += [f"  {row['run_id']}  of {row['of'] or 'the base model'}" for row in p["runs"]]
    if not answer["is_new"]:
        found.append("planned before; nothing was added")
    return [*found, "next: grpoq status --watch"]
