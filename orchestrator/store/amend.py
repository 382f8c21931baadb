"""A change to a locked plan, with its reason, in a ledger that every later reader sees. Nothing is unlocked.

Three things can change: the cap, the code of runs that have not begun, and the record (a reason alone: what was done
otherwise than planned). Arms, seeds, configs and gates cannot: that is another plan.
"""

from __future__ import annotations

import time
from typing import Any

from core.runs import durable
from core.runs.code_hash import content_hash
from orchestrator.refusal import Refused
from orchestrator.store import snapshot
from orchestrator.store.home import Home
from orchestrator.store.plan_dir import PlanDir


def amend(home: Home, plan: PlanDir, reason: str, cap: float | None, code: bool) -> dict[str, Any]:
    """Append the row to the ledger and return it. Raises Refused."""
    if not reason.strip():
        raise Refused("--reason is empty; say why, it stands in every report of this plan")
    if cap is not None and not (plan.content["budget"].get("per_hour") and 0 <= cap < float("inf")):
        raise Refused(f"--cap {cap}: the plan names no price per hour, or the cap is no amount")
    home.require_writable()
    with home.applying():
        row: dict[str, Any] = {"time": time.time(), "reason": reason.strip()}
        if cap is not None:
            row |= {"cap": cap, "cap_before": plan.budget().get("cap")}
        if code:
            row |= _new_code(home, plan)
        durable.append_line(plan.path / "ledger.jsonl", row)
        for run_id in row.get("runs", ()):  # after the ledger: a run whose code changed without a reason would be worse
            run = home.run(run_id)
            durable.append_line(run.amendments_path, {key: row[key] for key in ("time", "reason", "snapshot")})
    return row


def _new_code(home: Home, plan: PlanDir) -> dict[str, Any]:
    """The code as it is now, for every run that no worker has begun."""
    source = snapshot.source_root()
    name = content_hash(source)
    runs = [run for run in plan.runs() if not run.attempts() and not run.has_result() and run.snapshot() != name]
    if not runs:
        raise Refused("--code: every run has begun, or has this code already; a begun run keeps its code to the end")
    try:
        snapshot.freeze(source, home.snapshots, name)
    except RuntimeError as error:
        raise Refused(str(error)) from None
    return {"snapshot": name, "runs": [run.run_id for run in runs]}
