"""What the files say now, as data: the JSON of `grpoq status`. Reads only; standard library only."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Container, Sequence
from typing import Any

from core.runs import durable
from core.runs.run_dir import RunDir
from orchestrator.queue.watch import is_running
from orchestrator.refusal import Refused
from orchestrator.state.blinding import hidden_labels, without_hidden
from orchestrator.state.decide import TERMINAL, Decision
from orchestrator.state.lifetimes import lifetime
from orchestrator.state.observed_plan import ObservedPlan, gate_rows
from orchestrator.state.observed_run import Facts, exit_code
from orchestrator.state.progress import newest_checkpoint
from orchestrator.store.plan_dir import PlanDir, choose_plan, evaluated_plan

SCHEMA = 1


def plan_status(observed: ObservedPlan, all_kinds: bool = False, show_hidden: bool = False) -> dict[str, Any]:
    """`show_hidden`: a look at outcomes of contrasts that are not complete, which whoever asks has recorded."""
    plan = observed.plan
    all_kinds = all_kinds or all(row["kind"] != "train" for row in plan.content["runs"])  # a plan of evaluations
    wanted = [row for row in plan.content["runs"] if all_kinds or row["kind"] == "train"]
    hidden = set() if show_hidden else hidden_labels(observed)
    rows = [_row(observed, row) | _outcome(observed, row, hidden) for row in wanted]
    answer = {
        "schema": SCHEMA,
        "plan": {"name": plan.content["name"], "hash": plan.content["hash"]},
        "backend": observed.request["backend"] if observed.request else None,
        "counts": dict(Counter(row["state"] for row in rows)),
        "runs": rows,
        "slots": observed.slots,
        "watch": is_running(plan.home),
        "unreachable": observed.unreachable,
        "gates": without_hidden(observed, gate_rows(observed), hidden),
        "hidden": sorted(hidden),
        "others": [] if all_kinds else _others(observed),
        "cost": None if observed.spent is None else {"spent": round(observed.spent, 4), **plan.budget()},
        "amendments": len(plan.ledger()),
    }
    return answer | {"next": _for_plan(plan, next_of_plan(answer))}


def _others(observed: ObservedPlan) -> list[dict[str, Any]]:
    """Runs of other kinds, in short: what is wrong with one of them must not go unseen."""
    rows = [row for row in observed.plan.content["runs"] if row["kind"] != "train"]
    found = []
    for row in rows:
        decision = observed.decision(row["run_id"])
        found.append({**{k: row[k] for k in ("run_id", "kind", "label", "seed")}, "state": decision.state})
    return found


def run_status(observed: ObservedPlan, run: RunDir, show_hidden: bool = False) -> dict[str, Any]:
    plan = observed.plan
    planned = plan.rows()[run.run_id]
    hidden = set() if show_hidden else hidden_labels(observed)
    row = _row(observed, planned) | _outcome(observed, planned, hidden)
    sha256 = _adapter_sha256(observed, run)
    spec = observed.spec(run.run_id)
    gates = without_hidden(observed, gate_rows(observed, run.run_id), hidden)
    return {
        **row,
        "attempts": [_attempt(run, number) for number in run.attempts()],
        "gates": gates,
        "next": _for_plan(plan, _next_command(observed, row, gates)),
        "why": spec.why if spec else "",
        "resolve": spec.resolve if spec else "",
        "snapshot": run.snapshot(),
        **({"adapter_sha256": sha256} if sha256 else {}),
    }


def _for_plan(plan: PlanDir, command: str) -> str:
    """Commands mean the newest plan; `resume` is for the whole home. A report is of what was trained."""
    if command == "grpoq report" and plan.content.get("evaluates"):
        with contextlib.suppress(Refused):
            return f"{command} --plan {evaluated_plan(plan).plan_id}"
    newest = choose_plan(plan.home, None).plan_id == plan.plan_id
    return command if newest or command == "grpoq resume" else f"{command} --plan {plan.plan_id}"


def next_of_plan(status: dict[str, Any]) -> str:
    """The one command to type now."""
    rows = [*status["runs"], *status["others"]]
    failed = [row for row in rows if row["state"] == "failed"]
    if not status["backend"]:
        return "grpoq submit"
    for gate in status["gates"]:
        if command := _command_of_gate(gate):
            return command
    if not all_ended(rows):
        return "grpoq status --watch" if status["watch"] else "grpoq resume"
    if failed:
        return f"grpoq status {failed[0]['label']}-s{failed[0]['seed']}"
    if rows and not any(row["state"] == "done" for row in rows):
        return f"grpoq retry {rows[0]['label']}-s{rows[0]['seed']}"
    return "grpoq report"


def all_ended(rows: Sequence[dict[str, Any]]) -> bool:
    return all(row["state"] in TERMINAL for row in rows)


def _next_command(observed: ObservedPlan, row: dict[str, Any], gates: list[dict[str, Any]]) -> str:
    state, name = row["state"], f"{row['label']}-s{row['seed']}"
    if state == "done":
        return "grpoq report"
    if state in ("failed", "cancelled"):
        return f"grpoq retry {name}"
    for gate in gates:
        if state == "blocked" and (command := _command_of_gate(gate)):
            return command
    if observed.decision(row["run_id"]).held == "budget":
        return "grpoq cost"
    if observed.request is None:
        return "grpoq submit"
    if not is_running(observed.plan.home):
        return "grpoq resume"
    return f"grpoq logs {name} -f" if state == "running" else "grpoq wait"


COMMAND_OF_GATE = {
    "needs approval": "grpoq approve {gate}",
    "failed": "grpoq plan --fallback {gate}",
    "void": "grpoq retry {run}",
}


def _command_of_gate(gate: dict[str, Any]) -> str:
    """What a person can do about a gate's row; empty: nothing, or nothing is needed."""
    if gate["state"] == "failed" and not gate["fallback"]:
        return ""
    return COMMAND_OF_GATE.get(gate["state"], "").format(gate=gate["name"], run=gate["run_id"])


def states(plan: PlanDir, run_ids: set[str]) -> dict[str, Decision]:
    """Only what was decided, for whoever polls."""
    observed = ObservedPlan(plan)
    return {run_id: observed.decision(run_id) for run_id in plan.run_ids if run_id in run_ids}


def _row(observed: ObservedPlan, planned: dict[str, Any]) -> dict[str, Any]:
    run_id = planned["run_id"]
    run, spec = observed.plan.home.run(run_id), observed.spec(run_id)
    facts, decision = observed.look(run_id)
    beat = (run.heartbeat(facts.attempt) or {}) if facts.attempt else {}
    checkpoint = newest_checkpoint(run)
    steps = spec.config.steps if spec and spec.kind == "train" else None
    step = _step(decision.state, facts, beat, checkpoint, steps)
    running = (facts.alive or bool(facts.away)) and decision.state == "running"  # a finished one may still be leaving
    pace = beat.get("seconds_per_step") if running else None
    return {
        "run_id": run_id,
        "kind": planned["kind"],
        "label": planned["label"],
        "arm": planned["arm"],
        "seed": planned["seed"],
        "state": decision.state,
        "step": step,
        "steps": steps,
        "attempt": facts.attempt,
        "pid": beat.get("pid") if running else None,
        "heartbeat_age_s": round(facts.silent_s, 1) if running and facts.silent_s is not None else None,
        "checkpoint_step": checkpoint,
        "eta_s": round((steps - step) * pace, 1) if pace and steps else None,
        "cost": observed.share(run),
        "note": decision.note,
        "error": _error(decision),
        "seconds_per_step": pace,
    }


def _outcome(observed: ObservedPlan, planned: dict[str, Any], hidden: Container[str]) -> dict[str, Any]:
    """Of a training run's newest evaluation in training; null while its contrast is not complete."""
    if planned["kind"] != "train":
        return {}
    run = observed.plan.home.run(planned["run_id"])
    newest: dict[str, Any] = {}
    if planned["label"] not in hidden:
        newest = observed.result(run.run_id) or next(reversed(run.evals()), {})
    return {name: newest.get(name) for name in ("hack_rate", "pass_rate")}


def _error(decision: Decision) -> dict[str, Any] | None:
    if decision.error is None or decision.due == "end":  # then it is what it will end with
        return None
    return {key: decision.error.get(key) for key in ("class", "message")}


def _step(state: str, facts: Facts, beat: dict[str, Any], checkpoint: int | None, steps: int | None) -> int:
    """Steps that count: of a run that will be resumed only what its checkpoint holds."""
    if state == "done":
        return steps or 0
    kept = checkpoint or 0
    return beat.get("step") or kept if facts.alive or facts.away or state in ("failed", "cancelled") else kept


def _adapter_sha256(observed: ObservedPlan, run: RunDir) -> str | None:
    result = observed.result(run.run_id)
    if result is not None:
        return result.get("adapter_sha256")
    step = newest_checkpoint(run)
    state = durable.read_json(run.checkpoints / f"step_{step:06d}" / "state.json") if step is not None else None
    return state.get("adapter_sha256") if state else None


def _attempt(run: RunDir, number: int) -> dict[str, Any]:
    started, ended = lifetime(run, number) or (None, None)
    steps = [row["step"] for row in durable.read_lines(run.attempt(number) / "metrics.jsonl") if "step" in row]
    return {
        "number": number,
        "started": started,
        "ended": ended,
        "exit_code": exit_code(run, number),
        "error_class": (run.error(number) or {}).get("class"),
        "first_step": min(steps, default=None),
        "last_step": max(steps, default=None),
        "host": (run.heartbeat(number) or {}).get("host"),
    }
