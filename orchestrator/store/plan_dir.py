"""A locked plan on disk: plans/NAME-hash6/plan.json, and submit.json once somebody wants it run.

The files alone decide; the registry is an index that can be made again from them.
"""

from __future__ import annotations

import time
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.runs import durable
from core.runs.run_dir import RunDir
from core.spec import RunSpec
from orchestrator.refusal import UNKNOWN_RUN, Refused
from orchestrator.store.home import Home

SCHEMA = 2  # orchestrator.store.plan_hash has the rule of each
KEYS = {"schema", "name", "hash", "runs", "slots", "budget", "snapshot"}


@dataclass(frozen=True)
class PlanDir:
    home: Home
    path: Path
    content: dict[str, Any]  # plan.json

    @property
    def plan_id(self) -> str:
        return self.path.name

    @property
    def slots(self) -> int:
        """At most so many at a time; the request may name fewer. No part of the hash."""
        return self.content["slots"]

    @property
    def run_ids(self) -> list[str]:
        """In the order they start: one seed of every arm before the second seed."""
        return [row["run_id"] for row in self.content["runs"]]

    @property
    def gates(self) -> list[dict[str, Any]]:
        return self.content.get("gates", [])

    def rows(self) -> dict[str, dict[str, Any]]:
        """plan.json's row of each run: kind, label, arm, seed, after."""
        return {row["run_id"]: row for row in self.content["runs"]}

    def runs(self) -> list[RunDir]:
        return [self.home.run(run_id) for run_id in self.run_ids]

    def predecessors(self) -> list[PlanDir]:
        """The plans that this one is the fallback of, newest first, as far as they are still there."""
        found: list[PlanDir] = []
        content = self.content
        while content.get("fallback_of"):
            path = self.home.plans / f"{content['name']}-{content['fallback_of'][:6]}" / "plan.json"
            plan = _read(self.home, path)
            if plan is None:
                break
            found.append(plan)
            content = plan.content
        return found

    def ledger(self) -> list[dict[str, Any]]:
        """What was amended after planning, and why, in order."""
        return durable.read_lines(self.path / "ledger.jsonl")

    def budget(self) -> dict[str, Any]:
        """As planned, with the cap of the last amendment that names one."""
        caps = [row["cap"] for row in self.ledger() if row.get("cap") is not None]
        return self.content["budget"] | ({"cap": caps[-1]} if caps else {})

    def request(self) -> dict[str, Any] | None:
        """{"backend", "slots", "time"} where the plan was submitted."""
        return durable.read_json(self.path / "submit.json")

    def record_request(self, backend: str, slots: int) -> None:
        old = self.request()
        if old is None or (old["backend"], old["slots"]) != (backend, slots):
            durable.write_json(self.path / "submit.json", {"backend": backend, "slots": slots, "time": time.time()})


def all_plans(home: Home, without: Container[str] = ()) -> list[PlanDir]:
    """Newest first: by when each was last planned; those whose id is in `without` are not even read."""
    found = []
    for path in home.plans.glob("*/plan.json"):
        try:
            plan = _read(home, path) if path.parent.name not in without else None
        except Refused:  # of a newer grpoq: `unreadable_plans` names it
            plan = None
        if plan is not None:
            found.append((path.stat().st_mtime_ns, plan))
    return [plan for _, plan in sorted(found, key=lambda pair: (pair[0], pair[1].plan_id), reverse=True)]


def evaluated_plan(plan: PlanDir) -> PlanDir:
    """The plan whose runs this one evaluates; one that trains is its own. Raises Refused where it is gone."""
    wanted = plan.content.get("evaluates")
    if not wanted:
        return plan
    for other in all_plans(plan.home):
        if other.content["hash"] == wanted:
            return other
    raise Refused(f"{plan.plan_id} evaluates a plan with hash {wanted[:12]}, which is not in {plan.home.path}")


def unreadable_plans(home: Home) -> list[str]:
    """Plans that somebody made or submitted and that cannot be read: nothing of theirs is looked after."""
    found = []
    for folder in home.plans.glob("*"):
        path = folder / "plan.json"
        try:
            if (path.exists() or (folder / "submit.json").exists()) and _read(home, path) is None:
                found.append(f"{path} is missing or torn: plan the same again, or put it back; its runs stand still")
        except Refused as refusal:
            found.append(str(refusal))
    return found


def choose_plan(home: Home, wanted: str | None) -> PlanDir:
    """The newest plan, or the one whose id or name (or a prefix of it) is `wanted`. Raises Refused."""
    newest = None if wanted else _pointed_at(home)
    if newest is not None:
        return newest
    ids = sorted(home.plans.glob("*/plan.json"), key=lambda p: (p.stat().st_mtime_ns, p.parent.name), reverse=True)
    if not ids:
        raise Refused(f"no plan in {home.path}; make one with `grpoq plan nano`")
    for path in ids:
        if wanted is None or path.parent.name == wanted or path.parent.name.rpartition("-")[0] == wanted:
            break
    else:
        path = _only([p for p in ids if p.parent.name.startswith(wanted or "")], wanted or "", ids)
    plan = _read(home, path)
    if plan is None:
        raise Refused(f"{path} cannot be read; plan again")
    return plan


def point_at(home: Home, plan_id: str) -> None:
    """Commands mean this one. A hint, so that `status` need not look at thousands of old plans."""
    durable.write_json(home.plans / "newest.json", {"plan_id": plan_id})


def _pointed_at(home: Home) -> PlanDir | None:
    named = durable.read_json(home.plans / "newest.json")
    return _read(home, home.plans / str(named.get("plan_id")) / "plan.json") if isinstance(named, dict) else None


def _only(matches: list[Path], wanted: str, ids: list[Path]) -> Path:
    if len(matches) == 1:
        return matches[0]
    names = ", ".join(sorted(p.parent.name for p in (matches or ids)))
    raise Refused(f"{'several plans begin with' if matches else 'no plan'} {wanted!r}; choose from {names}")


def _read(home: Home, path: Path) -> PlanDir | None:
    content = durable.read_json(path)
    if not isinstance(content, dict):
        return None
    if content.get("schema", 0) <= SCHEMA and not content.keys() >= KEYS:
        return None
    if content.get("schema", 0) > SCHEMA:
        raise Refused(f"{path} has schema {content['schema']}, this grpoq reads up to {SCHEMA}; update grpoq")
    return PlanDir(home, path.parent, content)


def find_run(home: Home, name: str, wanted_plan: str | None) -> tuple[PlanDir, RunDir]:
    """A run by its id, its LABEL-sSEED, or an unambiguous prefix: in the plan first, then in the other plans."""
    plan = choose_plan(home, wanted_plan)
    plans = [plan] if wanted_plan else [plan, *(p for p in all_plans(home) if p.plan_id != plan.plan_id)]
    for candidate in plans:
        ids = candidate.run_ids
        exact = [i for i in ids if name in (i, i.rpartition("-")[0])]
        matches = exact or [i for i in ids if name and i.startswith(name)]
        if len(matches) == 1:
            return candidate, home.run(matches[0])
        if matches:
            raise Refused(f"{name!r} fits {len(matches)} runs: {', '.join(matches)}")
    raise Refused(f"unknown run {name!r}; {plan.plan_id} has {', '.join(plan.run_ids)}", UNKNOWN_RUN)


def read_spec(run: RunDir) -> RunSpec:
    data = durable.read_json(run.spec_path)
    if not isinstance(data, dict):
        raise Refused(f"{run.spec_path} is missing or torn; plan again to write it")
    try:
        return RunSpec.from_json(data)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refused(f"{run.spec_path}: {error}") from None
