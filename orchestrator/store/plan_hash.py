"""A plan's hash: over what the experiment registers, by the rule of the plan's schema version.

    1   every number of every run, and how many run at a time; a model's directory by its path
    2   every number of every run; a model's directory by its contents. Slots, cores and paths are in no hash, so that a
        plan has one hash wherever it is made

A rule never changes once plans were made by it: `difference` computes a stored plan's hash again from plan.json and
the specs of its runs, of whatever version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.runs import durable
from core.spec import digest, registered, run_id
from orchestrator.store.plan_dir import PlanDir

HEAD = (
    *("schema", "name", "preset", "why", "resolve", "preregistered", "budget", "rules", "fallback_of"),
    *("hypotheses", "claim"),  # where it registers any
    *("evaluates", "instead_of"),  # of a plan of evaluations
)
GATE = ("name", "run", "metric", "at_least", "at_most", "before", "approve", "fallback")
HEAD_BY_SCHEMA = {1: (*HEAD, "slots"), 2: HEAD}


def hash_of(content: Mapping[str, Any], runs: Sequence[Sequence[Any]], gates: Sequence[Mapping[str, Any]]) -> str:
    """Of a plan's content without its runs and gates, and these: (kind, label, arm, seed, of, config's fields) each.

    `of` is the name of the training run that an evaluation measures, or its run id where another plan trained it.
    """
    identity = {key: content[key] for key in HEAD_BY_SCHEMA[content["schema"]] if key in content}
    identity["runs"] = [[*run[:-1], registered(run[-1])] for run in runs]
    if "evaluates" not in content:
        identity["gates"] = [{key: gate[key] for key in GATE} for gate in gates]
    return digest(identity)


def difference(plan: PlanDir) -> str:
    """What of a stored plan is not what its hash was taken over, and the way out; empty: all of it is."""
    specs: dict[str, dict[str, Any]] = {run.run_id: durable.read_json(run.spec_path) or {} for run in plan.runs()}
    torn = [name for name, spec in specs.items() if "config" not in spec]
    if torn:
        return f"plan {plan.plan_id}: spec.json of {torn[0]} is missing or torn; plan again to write it"
    wanted = plan.content["hash"]
    for row in plan.content["runs"]:
        spec = specs[row["run_id"]]
        known = [row[key] for key in ("kind", "label", "arm", "seed")]
        if [spec[key] for key in ("kind", "label", "arm", "seed")] != known or spec["plan_hash"] != wanted:
            return _edited(plan, f"spec.json of {row['run_id']} names another run than plan.json")
        if _run_id(spec) != row["run_id"]:
            return _edited(plan, f"spec.json of {row['run_id']} holds other numbers than the name was made of")
    found = hash_of(plan.content, [_run(plan, row, specs[row["run_id"]]) for row in plan.content["runs"]], plan.gates)
    if found != wanted:
        return _edited(plan, f"plan.json says hash {wanted[:12]}, what it holds has {found[:12]}")
    return ""


def _run(plan: PlanDir, row: Mapping[str, Any], spec: Mapping[str, Any]) -> list[Any]:
    rows = plan.rows()
    after = [f"{rows[name]['label']}-s{rows[name]['seed']}" for name in row.get("after", ())]
    of = row.get("of") or next(iter(after), "")
    return [row["kind"], row["label"], row["arm"], row["seed"], of, spec["config"]]


def _run_id(spec: Mapping[str, Any]) -> str:
    return run_id(spec["label"], spec["seed"], spec["plan_hash"], spec["kind"], spec["arm"], spec["config"])


def _edited(plan: PlanDir, what: str) -> str:
    return (
        f"plan {plan.plan_id}: {what}: somebody edited it after it was locked; put the file back, or plan what was "
        "meant as a plan of its own"
    )
