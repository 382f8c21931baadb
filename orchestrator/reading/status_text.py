"""The status as lines of text, as wide as the terminal.

Health; outcomes only of contrasts whose runs have all ended, or where somebody asked to peek.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from orchestrator.reading.status import all_ended
from orchestrator.state.decide import STATES
from orchestrator.terminal import columns
from orchestrator.wording import duration, percent


def plan_lines(status: dict[str, Any], plan_id: str, width: int) -> list[str]:
    rows = status["runs"]
    head = ["run", "state", "step", "hack", "pass", "s/step", "eta", "att", "note"]
    costs = any(row["cost"] is not None for row in rows)
    if costs:
        head.insert(-1, "cost")
    body = []
    for row in rows:
        cells = [
            f"{row['label']}-s{row['seed']}",
            row["state"],
            _steps(row),
            percent(row.get("hack_rate"), ""),
            percent(row.get("pass_rate"), ""),
            f"{row['seconds_per_step']:.3g}" if row["seconds_per_step"] else "",
            duration(row["eta_s"]) if row["eta_s"] is not None else "",
            str(row["attempt"] or ""),
            row["note"].removeprefix("waits for ") if row["state"] == "blocked" else row["note"],
        ]
        if costs:
            cells.insert(-1, f"{row['cost']:.2f}" if row["cost"] else "")
        body.append(cells)
    counts = status["counts"]
    words = [f"{counts[state]} {state}" for state in STATES if counts.get(state)]
    engine = f"{status['backend']}, {status['slots']} at a time" if status["backend"] else "not submitted"
    over = all_ended([*rows, *status["others"]])
    watch = "" if status["watch"] or not status["backend"] or over else "  NO WATCH RUNS"
    return [
        f"plan {plan_id}  {engine}{watch}",
        *columns([head, *body], width),
        *_other_kinds(status["others"]),
        *_gate_lines(status["gates"]),
        *([f"backend unreachable: {status['unreachable']}"] if status["unreachable"] else []),
        f"{', '.join(words) or 'no runs'}{_money(status['cost'])}{_amended(status['amendments'])}",
        f"next: {status['next']}",
    ]


def _steps(row: dict[str, Any]) -> str:
    return f"{row['step']}/{row['steps']}" if row["steps"] else ""


def _other_kinds(rows: Sequence[dict[str, Any]]) -> list[str]:
    """One line, which names what failed."""
    if not rows:
        return []
    counts = [f"{sum(row['state'] == state for row in rows)} {state}" for state in STATES]
    failed = [f"{row['label']}-s{row['seed']}" for row in rows if row["state"] == "failed"]
    named = f"; FAILED: {', '.join(failed)}" if failed else ""
    return [f"other kinds: {', '.join(c for c in counts if not c.startswith('0 '))}{named}"]


def _gate_lines(gates: Sequence[dict[str, Any]]) -> list[str]:
    """A gate that has passed needs no line."""
    return [f"gate {gate['name']} {gate['state']}: {gate['note']}" for gate in gates if gate["state"] != "passed"]


def _money(cost: dict[str, Any] | None) -> str:
    if cost is None:
        return ""
    cap = f" of {cost['cap']:g}" if cost.get("cap") is not None else ""
    return f"; spent {cost['spent']:.2f}{cap} {cost.get('currency', '')}".rstrip()


def _amended(count: int) -> str:
    return f"; amended {count} times" if count > 1 else "; amended once" if count else ""


def run_lines(row: dict[str, Any], width: int) -> list[str]:
    lines = [f"{row['run_id']}  {row['state']}  {_steps(row)}" + (f"  {row['note']}" if row["note"] else "")]
    if row["error"]:
        lines.append(f"error {row['error']['class']}: {row['error']['message']}")
    if row["checkpoint_step"] is not None:
        lines.append(f"newest checkpoint: step {row['checkpoint_step']}")
    if row["pid"] is not None:
        lines.append(f"pid {row['pid']}, last beat {duration(row['heartbeat_age_s'] or 0)} ago")
    table = [["attempt", "started (UTC)", "took", "exit", "steps"]]
    for attempt in row["attempts"]:
        steps = f"{attempt['first_step']}-{attempt['last_step']}" if attempt["last_step"] is not None else "none"
        table.append([str(attempt["number"]), *_times(attempt), _ending(attempt), steps])
    if row["attempts"]:
        lines += columns(table, width)
    if row.get("hack_rate") is not None:
        lines.append(f"hack {percent(row['hack_rate'])} %, pass {percent(row['pass_rate'])} % (newest evaluation)")
    lines += [f"gate {gate['name']} {gate['state']}: {gate['note'] or 'ok'}" for gate in row["gates"]]
    lines += [f"{name}: {row[name]}" for name in ("why", "resolve") if row[name]]
    return [*lines, f"next: {row['next']}"]


def _times(attempt: dict[str, Any]) -> tuple[str, str]:
    if attempt["started"] is None:
        return "", ""
    began = time.strftime("%m-%d %H:%M:%S", time.gmtime(attempt["started"]))
    return began, duration(max(0.0, (attempt["ended"] or time.time()) - attempt["started"]))


def _ending(attempt: dict[str, Any]) -> str:
    if attempt["ended"] is None:
        return "lives"
    if attempt["error_class"]:
        return attempt["error_class"]
    return "killed" if attempt["exit_code"] is None else str(attempt["exit_code"])
