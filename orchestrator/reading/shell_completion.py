"""What the shell offers after <TAB>: names of plans, runs and gates of the home. Reads only, and never complains."""

from __future__ import annotations

from collections.abc import Iterator

import typer

from orchestrator.refusal import Refused
from orchestrator.store.home import Home
from orchestrator.store.plan_dir import PlanDir, choose_plan


def complete_run(ctx: typer.Context, incomplete: str) -> list[str]:
    names = [run_id.rpartition("-")[0] for plan in _plan(ctx) for run_id in plan.run_ids]
    return [name for name in names if name.startswith(incomplete)]


def complete_gate(ctx: typer.Context, incomplete: str) -> list[str]:
    return [gate["name"] for plan in _plan(ctx) for gate in plan.gates if gate["name"].startswith(incomplete)]


def complete_plan(ctx: typer.Context, incomplete: str) -> list[str]:
    return sorted(p.parent.name for p in _home(ctx).plans.glob(f"{incomplete}*/plan.json"))


def complete_matrix(ctx: typer.Context, incomplete: str) -> list[str]:
    from orchestrator.planning.matrix import built_in_names

    return [name for name in built_in_names() if name.startswith(incomplete)]


def complete_tracker(ctx: typer.Context, incomplete: str) -> list[str]:
    from orchestrator.trackers import TRACKERS

    return [name for name in TRACKERS if name.startswith(incomplete)]


def _plan(ctx: typer.Context) -> Iterator[PlanDir]:
    try:
        yield choose_plan(_home(ctx), ctx.params.get("plan"))
    except Refused:
        return


def _home(ctx: typer.Context) -> Home:
    above = ctx.parent.params.get("home") if ctx.parent else None
    return Home.locate(ctx.params.get("home") or above)
