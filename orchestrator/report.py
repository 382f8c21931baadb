"""The first report: what came out of the finished runs, per arm and seed, and what is still missing.

Figures come from the last in-training evaluation on held-out problems. Means stand beside their n, and a run that has
not finished is named: a table of the survivors alone would flatter the arm that collapses.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

from core import durable
from core.plots import Curve, save_figure, terminal_plot
from core.run_dir import RunDir
from orchestrator.decide import in_words
from orchestrator.home import Home
from orchestrator.plan_dir import PlanDir
from orchestrator.refusal import FAILED, Refused
from orchestrator.status import states
from orchestrator.status_text import columns

SCHEMA = 1
RATES = ("pass_rate", "hinted_pass_rate", "hack_rate", "empty_test_rate")


def write_report(home: Home, plan: PlanDir, out: str | None, as_json: bool, width: int) -> None:
    """Table, figure and terminal curves. Raises Refused where no run has finished."""
    report = gather(plan)
    if not report["runs"]:
        waiting = ", ".join(f"{row['run_id']} {row['state']}" for row in report["unfinished"])
        raise Refused(f"nothing to report yet: no run of {plan.plan_id} is done ({waiting})", FAILED)
    curves = [curve for row in report["runs"] if (curve := read_curve(home.run(row["run_id"]), row)) is not None]
    figure = _figure_path(home, plan, out)
    if curves:
        try:
            save_figure(curves, figure, f"{plan.plan_id}: {plan.content['preset']}, n = {len(curves)} runs")
        except OSError as error:
            raise Refused(f"--out: {figure} cannot be written: {error}") from None
        report["figure"] = str(figure)
    if as_json:
        print(json.dumps(report))
        return
    print("\n".join(report_lines(report, plan.plan_id, width)))
    for name, words in (("hack_rate", "strict hack rate"), ("pass_rate", "pass rate")):
        if curves:
            print("\n" + terminal_plot(curves, name, f"{words}, % of held-out completions", width))
    if curves:
        print(f"\nfigure: {figure}")


def gather(plan: PlanDir) -> dict[str, Any]:
    """One row per finished run, sorted by arm and seed; means per arm; the rest by name."""
    planned = {row["run_id"]: row for row in plan.content["runs"] if row["kind"] == "train"}
    decisions = states(plan, set(planned))
    labels = list(dict.fromkeys(row["label"] for row in planned.values()))
    rows, unfinished = [], []
    for run_id, spec in sorted(planned.items(), key=lambda item: (labels.index(item[1]["label"]), item[1]["seed"])):
        result = durable.read_json(plan.home.run(run_id).result_path)
        if result is None:
            unfinished.append({"run_id": run_id, "state": decisions[run_id].state, "note": decisions[run_id].note})
        else:
            rows.append({**result, "label": spec["label"]})
    means = []
    for label in labels:
        of_arm = [row for row in rows if row["label"] == label]
        if of_arm:
            n_planned = sum(spec["label"] == label for spec in planned.values())
            average = {name: _mean([row.get(name) for row in of_arm]) for name in RATES}
            means.append({"label": label, "n": len(of_arm), "n_planned": n_planned, **average})
    return {
        "schema": SCHEMA,
        "plan": {"name": plan.content["name"], "hash": plan.content["hash"]},
        "source": "result.json: last in-training evaluation on held-out problems",
        "runs": rows,
        "means": means,
        "unfinished": unfinished,
        "figure": None,
    }


def read_curve(run: RunDir, row: dict[str, Any]) -> Curve | None:
    """None where the run kept no evaluations by step."""
    evals = run.evals()
    if not evals:
        return None
    return Curve(
        label=row["label"],
        seed=row["seed"],
        steps=tuple(e["step"] for e in evals),
        hack_rate=tuple(e.get("hack_rate") for e in evals),
        pass_rate=tuple(e.get("pass_rate") for e in evals),
        n_hinted=evals[-1].get("n_hinted", 0),
        n_pass=evals[-1].get("n_pass", 0),
    )


def report_lines(report: dict[str, Any], plan_id: str, width: int) -> list[str]:
    head = ["run", "pass", "hinted", "hack", "empty", "takeoff", "n", "steps", "att", "wall"]
    table = [head]
    for row in report["runs"]:
        table.append(
            [
                f"{row['label']}-s{row['seed']}",
                *(_percent(row.get(name)) for name in RATES),
                _takeoff(row),
                str(row.get("n_hinted", "?")),
                str(row["steps"]),
                str(row["attempts"]),
                in_words(row["wall_s"]),
            ]
        )
    for mean in report["means"]:
        rates = [_percent(mean[name]) for name in RATES]
        runs = f"{mean['n']}/{mean['n_planned']} runs"
        table.append([f"mean {mean['label']}", *rates, "", "", "", "", runs])
    collapsed = any(row.get("collapsed") for row in report["runs"])
    lines = [
        f"plan {plan_id}, hash {report['plan']['hash'][:12]}",
        "% of held-out completions, last in-training evaluation; n completions per rate",
        *columns(table, width),
        "pass: prompts without the loophole. hinted, hack, empty (tests that prove",
        "nothing): prompts with it. takeoff: first step with > 50 % such tests.",
        *(["COLLAPSED: it solves nothing and exploits nothing; its hack rate is no success."] if collapsed else []),
    ]
    for row in report["unfinished"]:
        lines.append(f"not finished: {row['run_id']}  {row['state']}  {row['note']}".rstrip())
    return lines


def _figure_path(home: Home, plan: PlanDir, out: str | None) -> Path:
    if out is None:
        return home.report / f"{plan.plan_id}.png"
    path = Path(out).expanduser()
    if path.suffix == ".png":
        return path
    if path.suffix:
        raise Refused(f"--out {out!r}; give a directory or a file that ends in .png")
    return path / f"{plan.plan_id}.png"


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _takeoff(row: dict[str, Any]) -> str:
    if row.get("collapsed"):
        return "COLLAPSED"
    return "never" if row.get("takeoff_step") is None else str(row["takeoff_step"])


def _percent(rate: float | None) -> str:
    return "-" if rate is None else f"{100 * rate:.1f}"
