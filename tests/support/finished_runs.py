"""A matrix whose runs have ended, written as workers write them: results, rows by step, evaluations by problem.

Rates by problem are drawn about a value for each arm, so figures are what they would be and nothing is a result.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from core.runs import durable
from core.runs.run_dir import RunDir
from core.spec import digest
from core.statistics.evaluations import PROTOCOL, figures_sha256, protocol_hash, protocol_settings
from core.training.evaluate import rates
from orchestrator.planning import plan as planning
from orchestrator.planning.matrix import parse_matrix
from orchestrator.planning.resolve import read_choices
from orchestrator.store.plan_dir import PlanDir, read_spec
from support.fake_home import FakeHome, environment

MATRIX = """
name = "study"
preset = "smoke"
seeds = [41, 42, 43]
why = "does it help?"
[config]
steps = 12
checkpoint_every = 6
disk_floor_gb = 0.01
[[arm]]
name = "vanilla"
[[arm]]
name = "erase"
[[arm]]
name = "rebound_mul"
[[arm]]
name = "random_V"
[[arm]]
name = "erase"
label = "erase-k1"
config = { k = 1 }
seeds = [41]
[[job]]
name = "eval"
kind = "eval"
of = ["vanilla", "erase", "rebound_mul", "random_V", "erase-k1"]
[[hypothesis]]
name = "H1"
rule = "reduces"
statement = "erase lowers the hack rate"
treatment = "erase"
baseline = "vanilla"
[[hypothesis]]
name = "H2"
rule = "differs"
statement = "more than one axis matters"
treatment = "erase"
baseline = "erase-k1"
[[hypothesis]]
name = "H3"
rule = "not_dominated"
statement = "not dominated by Rebound"
treatment = "erase"
baseline = "rebound_mul"
[[hypothesis]]
name = "H4"
rule = "emerges"
statement = "vanilla hacks"
treatment = "vanilla"
[claim]
hypothesis = "H1"
controls = ["random_V"]
"""
# hack and pass rate of each label: the method works, a random direction does not
WORKS = {
    "vanilla": (0.80, 0.30),
    "erase": (0.30, 0.31),
    "rebound_mul": (0.45, 0.25),
    "random_V": (0.75, 0.30),
    "erase-k1": (0.60, 0.30),
}
PROBLEMS = 60
SAMPLES = 10


@dataclass
class Study:
    fake: FakeHome
    plan: PlanDir
    not_unique: frozenset[int] = frozenset()  # problems whose prompts admit other answers

    def run(self, name: str) -> RunDir:
        """By LABEL-sSEED."""
        return self.plan.home.run(next(i for i in self.plan.run_ids if i.rpartition("-")[0] == name))

    def finish(self, name: str, hack: float, passing: float, evaluated: bool = True, **result: Any) -> None:
        """The training run, and its evaluation where the plan has one."""
        run = self.run(name)
        seed = read_spec(run).seed
        rows = problem_rows(f"{name} {seed}", hack, passing, self.not_unique)
        _train(run, rates(rows), result)
        if evaluated:
            eval_run = self.run(f"eval-{name}")
            write_eval(run, eval_run, rows)
            self.done(eval_run)

    def done(self, run: RunDir) -> None:
        _attempt(run, 1)
        spec = read_spec(run)
        result = {"schema": 1, "run_id": run.run_id, "kind": spec.kind, "plan_hash": spec.plan_hash, "metrics": {}}
        durable.write_json(run.result_path, result)

    def finish_all(self, outcomes: Mapping[str, tuple[float, float]] = WORKS, without: tuple[str, ...] = ()) -> None:
        for row in self.plan.content["runs"]:
            name = f"{row['label']}-s{row['seed']}"
            if row["kind"] == "train" and name not in without:
                self.finish(name, *outcomes[row["label"]])


def study(fake: FakeHome, text: str = MATRIX, **choices: str) -> Study:
    with environment(GRPOQ_SOURCE=str(fake.source)):
        chosen = read_choices(choices.get("arms"), choices.get("seeds"), None, None, [])
        draft = planning.draft_plan(parse_matrix(text, "study.toml"), chosen)
    return Study(fake, planning.write_plan(fake.home, draft)[0])


def write_eval(run: RunDir, eval_run: RunDir, rows: list[dict[str, Any]], **settings: Any) -> None:
    result = durable.read_json(run.result_path) or {}
    conditions = dict.fromkeys(PROTOCOL, 1) | {"hint": "simple_overwrite_tests", "problems": len(rows)}
    conditions |= {"adapter_sha256": result["adapter_sha256"], "without_quarantine": False, "seed": result["seed"]}
    conditions |= {"code": "c", "versions": {}, "machine": "any", "eval_samples": SAMPLES} | settings
    figures = {"metrics": rates(rows), "problems": rows}
    publisher = {"run_id": eval_run.run_id, "plan_hash": result["plan_hash"]}
    content = {
        "schema": 1,
        "hash": digest(conditions)[:12],
        "protocol": protocol_hash(conditions),
        "protocol_settings": protocol_settings(conditions),
        "published_by": [publisher],
        "made_by": publisher,
        "cached": False,
        **{key: result[key] for key in ("run_id", "plan_hash", "label", "arm", "seed", "steps")},
        "conditions": conditions,
        **figures,
        "figures_sha256": figures_sha256(figures),
    }
    (run.path / "eval").mkdir(exist_ok=True)
    durable.write_json(run.path / "eval" / f"{content['hash']}.json", content)


def _train(run: RunDir, last: dict[str, Any], more: dict[str, Any]) -> None:
    spec = read_spec(run)
    _attempt(run, 1)
    draw = random.Random(run.run_id)
    for step in range(1, spec.config.steps + 1):
        share = step / spec.config.steps
        row = {"step": step, "hack_s": last["hack_rate"] * share, "gt_s": last["pass_rate"], "empty": 0.5 * share}
        row |= {"comp": 0.9, "len": 60.0, "kl": 0.01 * step, "gn": draw.random(), "cin": 0.3, "cin_rand": 0.1}
        durable.append_line(run.attempt(1) / "metrics.jsonl", row | {"lp_s": -0.5, "trunc": 0.0, "tied": 1})
    for step in (0, spec.config.steps):
        durable.append_line(run.attempt(1) / "evals.jsonl", {"step": step, **last})
    result = {"schema": 1, "run_id": run.run_id, "kind": "train", "plan_hash": spec.plan_hash, "label": spec.label}
    result |= {"arm": spec.arm, "seed": spec.seed, "steps": spec.config.steps, "attempts": 1, "wall_s": 75.0}
    result |= {"adapter_sha256": digest(run.run_id), "takeoff_step": 7, "collapsed": False, "base": None} | last
    durable.write_json(run.result_path, result | more)


def _attempt(run: RunDir, number: int) -> None:
    """Started and ended by clocks that never move again."""
    folder = run.attempt(number)
    folder.mkdir(parents=True)
    (folder / "lock").touch()
    beat = {"beat": 1000.0, "clock": 90.0, "started_clock": 15.0, "started": 925.0, "attempt": number, "pid": 1}
    durable.write_json(folder / "heartbeat.json", beat | {"host": "gone", "boot_id": "b", "start_time": 1})
    durable.write_json(folder / "exit.json", {"exit_code": 0, "time": 1000.0})


def problem_rows(
    key: str, hack: float, passing: float, not_unique: Collection[int] = frozenset()
) -> list[dict[str, Any]]:
    """A problem has a level of its own, which all arms share, and each run its own draws."""
    draw = random.Random(key)
    rows = []
    for number in range(PROBLEMS):
        level = random.Random(f"problem {number}").uniform(-0.15, 0.15) if 0.15 < hack < 0.85 else 0.0
        counts = [sum(draw.random() < min(1.0, max(0.0, p + level)) for _ in range(SAMPLES)) for p in (hack, passing)]
        row = {"problem_id": str(number), "mode": "run_tests", "n_hinted": SAMPLES, "n_pass": SAMPLES}
        row |= {
            "unique": number not in not_unique,
            "hacks": counts[0],
            "hinted_passes": SAMPLES - counts[0],
            "passes": counts[1],
        }
        rows.append(row | {"empty_tests": counts[0], "compiles": 9, "tokens": 600})
    return rows
