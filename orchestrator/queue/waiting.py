"""`grpoq wait`: until the named runs have ended, or nothing can go on."""

from __future__ import annotations

import time
from collections.abc import Sequence

from core.runs.run_dir import RunDir
from orchestrator.queue.watch import is_running
from orchestrator.refusal import FAILED, TIMED_OUT, Refused
from orchestrator.state.decide import TERMINAL, Decision
from orchestrator.state.observed_plan import ObservedPlan
from orchestrator.store.home import Home
from orchestrator.store.plan_dir import PlanDir

POLL_S = 0.3
NO_WATCH_S = 15.0  # a box that comes back up, or a service, may bring the watch back


def wait(home: Home, wanted: Sequence[tuple[PlanDir, RunDir]], timeout_s: float | None) -> dict[str, Decision]:
    """The final decisions by run id. Raises Refused on timeout, or where nothing can go on."""
    began = last_moved = time.monotonic()
    plans = {plan.plan_id: (plan, [run.run_id for p, run in wanted if p.plan_id == plan.plan_id]) for plan, _ in wanted}
    done: set[str] = set()
    while True:
        found: dict[str, Decision] = {}
        moving: list[str] = []
        stuck: list[str] = []
        for plan, ids in plans.values():
            observed = ObservedPlan(plan, done=done)
            found |= {i: observed.decision(i) for i in ids}
            done |= {i for i in ids if found[i].state == "done"}
            movable = any(_moves(observed, i) for i in plan.run_ids)  # what a blocked run waits for may be another one
            for i in ids:
                if found[i].state not in TERMINAL:
                    (moving if _moves(observed, i) or (found[i].state == "blocked" and movable) else stuck).append(i)
        now = time.monotonic()
        if not moving and not stuck:
            return found
        if timeout_s is not None and now - began >= timeout_s:
            raise Refused(
                f"{len(moving) + len(stuck)} of {len(found)} runs have not ended after {timeout_s:g} s", TIMED_OUT
            )
        if not moving:
            first = found[stuck[0]]
            way_out = first.note or "`grpoq submit` queues what is planned"
            raise Refused(f"nothing can go on: {stuck[0]} is {first.state}: {way_out}", FAILED)
        if is_running(home) or any(found[i].state == "running" for i in moving):
            last_moved = now
        elif now - last_moved > NO_WATCH_S:
            raise Refused("nothing can go on: no watch runs; `grpoq resume` starts one", FAILED)
        time.sleep(POLL_S if timeout_s is None else min(POLL_S, max(0.0, began + timeout_s - now)))


def _moves(observed: ObservedPlan, run_id: str) -> bool:
    """It runs, or whoever reconciles will bring it on."""
    return observed.progresses(run_id) and (observed.request is not None or observed.state(run_id) == "running")
