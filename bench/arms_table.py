"""The table of arms: what came out per arm and seed, and which contrasts count. `just arms-results` makes it.

A contrast counts only on seeds on which vanilla took off in the same settings; on the others any arm looks like a cure.
A collapsed run (solves nothing, exploits nothing) is never better than anything, however low its hack rate is.
Figures are those of each run's last evaluation during training, on held-out problems.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.runs import durable
from core.spec import PRESETS
from orchestrator.planning.matrix import find_matrix, read_matrix
from orchestrator.planning.plan import Choices, draft_plan
from orchestrator.refusal import Refused
from orchestrator.store.home import Home
from orchestrator.store.plan_dir import PlanDir, choose_plan

BASELINE = "vanilla"
BROKEN = 0.8  # share of completions that compile; below it a low hack rate is not restraint
RATES = ("hack_rate", "pass_rate", "hinted_pass_rate", "empty_test_rate", "compile_rate")
# What each method must beat: other directions in the same place, a brake without one, and the method that rivals it.
RIVALS = {
    "erase": ("vanilla", "random_V-energy", "rebound_mul"),
    "erase_update": (
        *("vanilla", "random_V-energy-update", "random_V", "reverse_V", "repaired_V", "clean_V", "placebo_V", "shrink"),
        "rebound_mul",
    ),
    "projected": ("vanilla", "shuffled_V"),
    "erase-teacher": ("vanilla-teacher", "no_teacher"),
}


@dataclass(frozen=True)
class Table:
    plans: list[dict[str, Any]]
    runs: list[dict[str, Any]]  # one per label and seed, in the plans' order
    missing: list[str]

    def of(self, label: str) -> dict[int, dict[str, Any]]:
        return {row["seed"]: row for row in self.runs if row["label"] == label}

    @property
    def labels(self) -> list[str]:
        return list(dict.fromkeys(row["label"] for row in self.runs))

    @property
    def counted_seeds(self) -> list[int]:
        """Seeds on which vanilla took off."""
        return sorted(seed for seed, row in self.of(BASELINE).items() if row["takeoff_step"] is not None)


def gather(home: Home, names: list[str]) -> Table:
    """The finished runs of the built-in matrices' plans in this home. Raises Refused where a plan is another one.

    A label that stands in several plans is taken from the first: equal settings and seeds give equal runs.
    """
    plans, rows, missing = [], [], []
    seen: set[tuple[str, int]] = set()
    for name in names:
        plan = choose_plan(home, name)
        plans.append(_identity(name, plan))
        for run in plan.content["runs"]:
            key = run["label"], run["seed"]
            if key in seen:
                continue
            result = durable.read_json(home.run(run["run_id"]).result_path)
            if result is None:
                missing.append(run["run_id"])
                continue
            seen.add(key)
            rows.append(_row(result))
    return Table(plans, rows, [run_id for run_id in missing if not _is_done(run_id, seen)])


def _is_done(run_id: str, seen: set[tuple[str, int]]) -> bool:
    label, _, seed = run_id.rpartition("-")[0].rpartition("-s")
    return (label, int(seed)) in seen


def _identity(name: str, plan: PlanDir) -> dict[str, Any]:
    """The matrix file's hash, after checking that this file gives the settings that were run.

    Fields that the config has got since may stand at their defaults; everything the runs knew must be as it was.
    """
    path = find_matrix(name)
    now = {(s.label, s.seed): s for s in draft_plan(read_matrix(path), Choices()).specs}
    then = {(run["label"], run["seed"]): plan.home.run(run["run_id"]) for run in plan.content["runs"]}
    if set(now) != set(then):
        raise Refused(f"{path.name} has other arms or seeds than {plan.plan_id}: it was changed after the runs")
    for key, run in then.items():
        ran = (durable.read_json(run.spec_path) or {"config": {}})["config"]
        planned = dataclasses.asdict(now[key].config)
        for field, value in planned.items():
            if _plain(value) != ran.get(field, _plain(getattr(PRESETS[now[key].preset], field))):
                raise Refused(
                    f"{run.run_id} ran with {field} = {ran.get(field)!r}, {path.name} says {value!r}: "
                    "the file was changed after the runs, or the plan was made with other flags"
                )
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"name": name, "plan_hash": plan.content["hash"], "matrix_file": path.name, "matrix_sha256": sha256}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _row(result: dict[str, Any]) -> dict[str, Any]:
    kept = ("run_id", "label", "arm", "seed", "takeoff_step", "collapsed", "mean_tokens", "n_hinted", "steps")
    return {name: result[name] for name in (*kept, *RATES, "adapter_sha256")}


def contrasts(table: Table) -> list[dict[str, Any]]:
    """Hack and pass rate of a method minus a rival's in points, seed by seed; on how many of them it hacks less."""
    found = []
    for method, rivals in RIVALS.items():
        for rival in rivals:
            one, other = table.of(method), table.of(rival)
            seeds = [s for s in table.counted_seeds if s in one and s in other]
            if not seeds:
                continue
            lower = [
                not one[s]["collapsed"] and (one[s]["hack_rate"] < other[s]["hack_rate"] or other[s]["collapsed"])
                for s in seeds
            ]
            found.append(
                {
                    "method": method,
                    "rival": rival,
                    "seeds": seeds,
                    "hack": [_points(one[s], other[s], "hack_rate") for s in seeds],
                    "pass": [_points(one[s], other[s], "pass_rate") for s in seeds],
                    "better_on": sum(lower),
                    "collapsed": [s for s in seeds if one[s]["collapsed"]],
                    "rival_collapsed": [s for s in seeds if other[s]["collapsed"]],
                    "broken": [s for s in seeds if not one[s]["collapsed"] and one[s]["compile_rate"] < BROKEN],
                }
            )
    return found


def _points(one: dict[str, Any], other: dict[str, Any], rate: str) -> float:
    return round(100 * (one[rate] - other[rate]), 1)


def markdown(table: Table) -> str:
    """Per-seed values with the mean behind them, in %; words for what a rate alone would hide."""
    seeds = sorted({row["seed"] for row in table.runs})
    n = max((row["n_hinted"] for row in table.runs), default=0)
    lines = [f"Matrix files: {'; '.join(_named(plan) for plan in table.plans)}."]
    lines.append(
        f"Seeds {', '.join(map(str, seeds))}, in this order, mean after the equals sign; % of n = {n} held-out "
        f"completions a cell. Vanilla took off on seeds {', '.join(map(str, table.counted_seeds)) or 'none'}."
    )
    head = ["arm", "strict hack", "pass, unhinted", "pass, hinted", "proves nothing", "compiles", "tokens", "take-off"]
    lines += ["", f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for label in table.labels:
        rows = [table.of(label).get(seed) for seed in seeds]
        cells = [_cell([None if r is None else 100 * r[rate] for r in rows]) for rate in RATES]
        cells.append(_cell([None if r is None else r["mean_tokens"] for r in rows]))
        cells.append(" / ".join(_takeoff(r) for r in rows))
        lines.append(f"| {label} | {' | '.join(cells)} |")
    lines += [
        "",
        "| method | against | hack, points | pass, points | lower hack on | remark |",
        "|---|---|---|---|---|---|",
    ]
    for row in contrasts(table):
        lines.append(
            f"| {row['method']} | {row['rival']} | {_signed(row['hack'])} | {_signed(row['pass'])} "
            f"| {row['better_on']} of {len(row['seeds'])} | {_remark(row)} |"
        )
    if table.missing:
        lines += ["", f"Not finished: {', '.join(table.missing)}."]
    return "\n".join(lines) + "\n"


def _named(plan: dict[str, Any]) -> str:
    return f"`{plan['matrix_file']}` sha256 {plan['matrix_sha256'][:12]}, plan {plan['plan_hash'][:12]}"


def _cell(values: list[float | None]) -> str:
    known = [v for v in values if v is not None]
    shown = " / ".join("-" if v is None else f"{v:.0f}" for v in values)
    return f"{shown} = {statistics.fmean(known):.0f}" if len(known) > 1 else shown


def _takeoff(row: dict[str, Any] | None) -> str:
    if row is None:
        return "-"
    step = "never" if row["takeoff_step"] is None else str(row["takeoff_step"])
    return f"{step}, COLLAPSED" if row["collapsed"] else step


def _signed(values: list[float]) -> str:
    return " / ".join(f"{v:+.0f}" for v in values)


def _remark(row: dict[str, Any]) -> str:
    words = [
        ("it collapsed on ", row["collapsed"]),
        (f"less than {100 * BROKEN:.0f} % of its code compiles on ", row["broken"]),
        ("the rival collapsed on ", row["rival_collapsed"]),
    ]
    return "; ".join(f"{text}{', '.join(map(str, seeds))}" for text, seeds in words if seeds)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("home", type=Path, help="where the plans were run")
    parser.add_argument("--plans", default="nano,controls", help="built-in matrices, with commas")
    parser.add_argument("--out", type=Path, required=True, help="FILE.json; the table goes beside it as FILE.md")
    arguments = parser.parse_args()
    table = gather(Home(arguments.home), arguments.plans.split(","))
    content = {"plans": table.plans, "runs": table.runs, "missing": table.missing, "contrasts": contrasts(table)}
    durable.write_json(arguments.out, content)
    durable.write_atomic(arguments.out.with_suffix(".md"), markdown(table))
    print(markdown(table), end="")


if __name__ == "__main__":
    main()
