"""`grpoq doctor --rebuild`: jobs.sqlite made again from plans and run directories, which are whole without it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from core.runs import durable
from core.runs.run_dir import RunDir
from core.spec import RunSpec
from orchestrator.refusal import Refused
from orchestrator.store.home import Home
from orchestrator.store.plan_dir import PlanDir, all_plans, read_spec
from orchestrator.store.registry import Event, Registry


def rebuild(home: Home) -> tuple[int, int]:
    """Returns how many plans and runs the new registry holds; a present one is moved aside, never deleted."""
    home.require_writable()
    with home.applying():
        plans_there = list(reversed(all_plans(home)))
        specs_there = {plan.plan_id: list(_readable(plan)) for plan in plans_there}  # before the old one is moved
        aside = time.strftime("%Y%m%d-%H%M%S")
        for suffix in ("", "-wal", "-shm"):
            path = home.registry.with_name(home.registry.name + suffix)
            if path.exists():
                path.rename(path.with_name(f"{home.registry.name}.aside-{aside}{suffix}"))
        registry, plans, runs = Registry(home.registry), 0, 0
        events: list[Event] = []
        for plan in plans_there:
            specs = specs_there[plan.plan_id]
            registry.add_plan(plan.plan_id, plan.content, specs)
            plans, runs = plans + 1, runs + len(specs)
            events += [event for run in plan.runs() for event in _events(run)]
        registry.log(sorted(events, key=lambda event: event.time))
    return plans, runs


def _readable(plan: PlanDir) -> Iterator[RunSpec]:
    """A torn spec is doctor's to name; it does not keep the others out."""
    for run in plan.runs():
        with contextlib.suppress(Refused):
            yield read_spec(run)


def _events(run: RunDir) -> Iterator[Event]:
    """What the run's own files still tell; what only the old registry knew is in the file set aside."""
    for submission in run.submissions():
        yield Event(time=submission.time, run_id=run.run_id, what="submitted", attempt=submission.number)
    for row in durable.read_lines(run.events_path):
        detail = f"step {row['step']}" if row.get("step") is not None else ""
        yield Event(time=row["time"], run_id=run.run_id, what=row["event"], attempt=row["attempt"], detail=detail)
