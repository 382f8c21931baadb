"""What the files say now, as data: the JSON of `grpoq status`. Reads only; standard library only."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from core import durable
from core.run_dir import RunDir
from core.spec import RunSpec
from orchestrator.backends import BACKENDS, Backend, default_backend
from orchestrator.decide import Decision
from orchestrator.facts import Facts, exit_code
from orchestrator.home import Home
from orchestrator.look import look
from orchestrator.plan_dir import PlanDir, read_spec
from orchestrator.watch import is_running

SCHEMA = 1


def plan_status(home: Home, plan: PlanDir, all_kinds: bool = False) -> dict[str, Any]:
    wish = plan.wish()
    rows = []
    for run in plan.runs():
        spec = read_spec(run)
        if all_kinds or spec.kind == "train":
            rows.append(_row(plan, wish, run, spec)[0])
    return {
        "schema": SCHEMA,
        "plan": {"name": plan.content["name"], "hash": plan.content["hash"]},
        "backend": wish["backend"] if wish else None,
        "counts": dict(Counter(row["state"] for row in rows)),
        "runs": rows,
        "slots": wish["slots"] if wish else plan.slots,
        "watch": is_running(home),
    }


def run_status(home: Home, plan: PlanDir, run: RunDir) -> dict[str, Any]:
    wish = plan.wish()
    row, decision = _row(plan, wish, run, read_spec(run))
    history = [_attempt(run, number) for number in run.attempts()]
    sha256 = _adapter_sha256(run)
    return {
        **row,
        "attempts": history,
        "gates": [],
        "next": next_command(decision.state, row["label"], row["seed"], wish is not None, is_running(home)),
        **({"adapter_sha256": sha256} if sha256 else {}),
    }


def next_command(state: str, label: str, seed: int, submitted: bool, watched: bool) -> str:
    name = f"{label}-s{seed}"
    if state == "done":
        return "grpoq report"
    if state in ("failed", "cancelled"):
        return f"grpoq retry {name}"
    if not submitted:
        return "grpoq submit"
    if not watched:
        return "grpoq resume"
    return f"grpoq logs {name} -f" if state == "running" else "grpoq wait"


def states(plan: PlanDir, run_ids: set[str] | None = None) -> dict[str, Decision]:
    """Only what was decided, for whoever polls."""
    wish = plan.wish()
    backend = _backend(plan, wish)
    wanted = [run for run in plan.runs() if run_ids is None or run.run_id in run_ids]
    return {run.run_id: look(run, read_spec(run), backend, wish is not None)[1] for run in wanted}


def _backend(plan: PlanDir, wish: dict[str, Any] | None) -> Backend:
    name = wish["backend"] if wish else default_backend()
    return BACKENDS[name](plan.home)


def _row(plan: PlanDir, wish: dict[str, Any] | None, run: RunDir, spec: RunSpec) -> tuple[dict[str, Any], Decision]:
    facts, decision = look(run, spec, _backend(plan, wish), wish is not None)
    beat = (run.heartbeat(facts.attempt) or {}) if facts.attempt else {}
    checkpoint = newest_checkpoint(run)
    steps = spec.config.steps
    step = _step(decision.state, facts, beat, checkpoint, steps)
    running = facts.alive and decision.state == "running"  # a finished one may take a moment to leave
    pace = beat.get("seconds_per_step") if running else None
    row = {
        "run_id": spec.run_id,
        "kind": spec.kind,
        "label": spec.label,
        "arm": spec.arm,
        "seed": spec.seed,
        "state": decision.state,
        "step": step,
        "steps": steps,
        "attempt": facts.attempt,
        "pid": beat.get("pid") if running else None,
        "heartbeat_age_s": round(facts.silent_s, 1) if running and facts.silent_s is not None else None,
        "checkpoint_step": checkpoint,
        "eta_s": round((steps - step) * pace, 1) if pace else None,
        "cost": _cost(plan, run),
        "note": decision.note,
        "error": {key: decision.error.get(key) for key in ("class", "message")} if decision.error else None,
        "seconds_per_step": pace,
    }
    return row, decision


def _step(state: str, facts: Facts, beat: dict[str, Any], checkpoint: int | None, steps: int) -> int:
    """Steps that count: of a run that will be resumed only what its checkpoint holds."""
    if state == "done":
        return steps
    kept = checkpoint or 0
    return beat.get("step") or kept if facts.alive or state in ("failed", "cancelled") else kept


def newest_checkpoint(run: RunDir) -> int | None:
    steps = [int(p.parent.name[5:]) for p in run.checkpoints.glob("step_*/state.json") if p.parent.name[5:].isdigit()]
    return max(steps, default=None)


def _adapter_sha256(run: RunDir) -> str | None:
    result = durable.read_json(run.result_path)
    if result is not None:
        return result.get("adapter_sha256")
    step = newest_checkpoint(run)
    state = durable.read_json(run.checkpoints / f"step_{step:06d}" / "state.json") if step is not None else None
    return state.get("adapter_sha256") if state else None


def _attempt(run: RunDir, number: int) -> dict[str, Any]:
    started, ended = _lifetime(run, number)
    steps = [row["step"] for row in durable.read_lines(run.attempt(number) / "metrics.jsonl") if "step" in row]
    return {
        "number": number,
        "started": started,
        "ended": ended,
        "exit_code": exit_code(run, number),
        "error_class": (run.error(number) or {}).get("class"),
        "first_step": min(steps, default=None),
        "last_step": max(steps, default=None),
    }


def _lifetime(run: RunDir, number: int) -> tuple[float | None, float | None]:
    """Unix seconds of claim and end; the end is null while it lives, and of a killed one its last beat."""
    path = run.attempt(number)
    try:
        started = (path / "lock").stat().st_mtime
    except FileNotFoundError:
        started = None
    if run.is_alive(number):
        return started, None
    for name in ("exit.json", "error.json"):
        row = durable.read_json(path / name)
        if row is not None and "time" in row:
            return started, row["time"]
    return started, (run.heartbeat(number) or {}).get("beat")


def _cost(plan: PlanDir, run: RunDir) -> float | None:
    """The run's share of the box: its hours, by the price per hour, over the slots that share it."""
    per_hour = plan.content["budget"].get("per_hour")
    if per_hour is None:
        return None
    wish = plan.wish()
    seconds = 0.0
    for number in run.attempts():
        started, ended = _lifetime(run, number)
        if started is not None:
            seconds += max(0.0, (ended or time.time()) - started)
    return round(seconds / 3600 * per_hour / (wish["slots"] if wish else plan.slots), 4)
