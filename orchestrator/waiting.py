"""`grpoq wait`: until the named runs have ended, or nothing can go on."""

from __future__ import annotations

import time
from collections.abc import Sequence

from core.run_dir import RunDir
from orchestrator.decide import TERMINAL, Decision
from orchestrator.home import Home
from orchestrator.plan_dir import PlanDir
from orchestrator.refusal import FAILED, TIMED_OUT, Refused
from orchestrator.status import states
from orchestrator.watch import is_running

POLL_S = 0.3
NO_WATCH_S = 15.0  # a box that comes back up, or a service, may bring the watch back


def wait(home: Home, wanted: Sequence[tuple[PlanDir, RunDir]], timeout_s: float | None) -> dict[str, Decision]:
    """The final decisions by run id. Raises Refused on timeout, or where nothing can go on."""
    began = last_moved = time.monotonic()
    plans = {plan.plan_id: (plan, {run.run_id for p, run in wanted if p.plan_id == plan.plan_id}) for plan, _ in wanted}
    while True:
        found: dict[str, Decision] = {}
        stuck = []
        for plan, ids in plans.values():
            decisions = states(plan, ids)
            found |= decisions
            submitted = plan.wish() is not None
            stuck += [
                i
                for i, d in decisions.items()
                if d.state == "blocked" or (d.state not in TERMINAL and not submitted and d.state != "running")
            ]
        still_open = [i for i, d in found.items() if d.state not in TERMINAL]
        now = time.monotonic()
        if not still_open:
            return found
        if timeout_s is not None and now - began >= timeout_s:
            raise Refused(f"{len(still_open)} of {len(found)} runs have not ended after {timeout_s:g} s", TIMED_OUT)
        if len(stuck) == len(still_open):
            raise Refused(f"nothing can go on: {found[stuck[0]].state}; `grpoq submit` queues what is planned", FAILED)
        if is_running(home) or any(found[i].state == "running" for i in still_open):
            last_moved = now
        elif now - last_moved > NO_WATCH_S:
            raise Refused("nothing can go on: no watch runs; `grpoq resume` starts one", FAILED)
        time.sleep(POLL_S if timeout_s is None else min(POLL_S, max(0.0, began + timeout_s - now)))
