"""Runs that were killed and resumed, mirrored into a tracker, and what its own reader must find of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from core.runs import durable
from core.runs.run_dir import RunDir
from orchestrator.store.plan_dir import PlanDir
from support.fake_home import FakeHome
from support.paths import REPO, TESTS
from support.patience import patient

STEPS, EVAL_EVERY = 30, 15
# Every operation of the mirror, with and without what follows it; at log:40 one run is sealed, and one begun.
KILLS = [
    "begin:1:after",
    "log:7:after",
    "end:1:before",
    "end:1:after",
    "seal:1:before",
    "log:9:after",
    "begin:2:before",
]


def train_row(step: int, seed: int, **fields: Any) -> dict[str, Any]:
    rew = float.fromhex(f"0x1.{(step * 7919 + seed) % 0xFFFFF:05x}p0")  # a float32 holds it
    return {"step": step, "rew": rew, "hack_s": step / 32, "gt_s": None, "tied": step % 3, "kl": 0.125} | fields


def eval_row(step: int, **fields: Any) -> dict[str, Any]:
    return {"step": step, "hack_rate": step / 32, "hack_by_mode": {"run_tests": step / 64}, "n_pass": 64} | fields


def write_attempt(run: RunDir, number: int, first: int, last: int, sec: float = 1.0, **fields: Any) -> None:
    """Rows as a worker writes them: the evaluation of a step after its row."""
    folder = run.attempt(number)
    folder.mkdir(parents=True, exist_ok=True)
    seed = durable.read_json(run.spec_path)["seed"]
    for step in range(first, last + 1):
        if step:
            durable.append_line(folder / "metrics.jsonl", train_row(step, seed, sec=sec) | fields)
        if step % EVAL_EVERY == 0 or step == STEPS:
            durable.append_line(folder / "evals.jsonl", eval_row(step, sec=sec))


def wanted(run: RunDir) -> list[list[Any]]:
    """What a tracker must have of it: worked out from the rows, without the mirror's code. [[step, values], ...]."""
    seed = durable.read_json(run.spec_path)["seed"]
    last = max(row["step"] for row in run.metrics())
    found = []
    for step in range(last + 1):
        values: dict[str, float] = {}
        if step:
            row = train_row(step, seed)
            values |= {f"train/{key}": row[key] for key in ("rew", "hack_s", "tied", "kl")}
        if step % EVAL_EVERY == 0:
            values |= {"eval/hack_rate": step / 32, "eval/hack_by_mode/run_tests": step / 64, "eval/n_pass": 64.0}
        found.append([step, values])
    return found


def without_seconds(points: list[list[Any]]) -> list[list[Any]]:
    return [[step, {key: v for key, v in values.items() if not key.endswith("/sec")}] for step, values in points]


def planned(fake: FakeHome) -> PlanDir:
    """Three runs that were killed twice and repeated steps; two are done, one is under way. Only `sec` differs."""
    made = fake.planned(f"eval_every={EVAL_EVERY}", steps=STEPS, seeds="41,42,43")
    for run in made.runs():
        write_attempt(run, 1, 0, 17, sec=1.0)
        write_attempt(run, 2, 11, 24, sec=2.0)
    for run in made.runs()[:2]:
        write_attempt(run, 3, 21, STEPS, sec=3.0)
        durable.write_json(run.result_path, {"schema": 1, "run_id": run.run_id})
    return made


def in_a_process(name: str, fake: FakeHome, plan: PlanDir, folder: Path, *kills: str) -> dict[str, Any]:
    """tests/support/mirror_process.py."""
    command = [sys.executable, "-m", "support.mirror_process", name, str(fake.home.path), plan.plan_id]
    env = fake.environment() | {"WANDB_MODE": "", "PYTHONPATH": f"{REPO}{os.pathsep}{TESTS}"}
    done = subprocess.run(
        [*command, str(folder), *kills], env=env, capture_output=True, text=True, timeout=patient(120)
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def every_step_stands_once(name: str, kills: list[str], fake: FakeHome, plan: PlanDir, folder: Path) -> None:
    """By each tracker's own reader; kill -9 at every kind of point, one after the other."""
    found = in_a_process(name, fake, plan, folder / "tracked", *kills)
    assert found.keys() == {"vanilla-s41", "vanilla-s42", "vanilla-s43"}
    for run in plan.runs():
        spec = durable.read_json(run.spec_path)
        of_run = found[f"vanilla-s{spec['seed']}"]
        assert without_seconds(of_run["points"]) == wanted(run)
        kept = of_run["config"]
        assert (kept["seed"], kept["arm"], kept["plan_hash"]) == (spec["seed"], "vanilla", plan.content["hash"])
        assert kept["lr"] == spec["config"]["lr"] and kept["label"] == "vanilla" and "why" in kept
    assert not list((fake.home.path / "track").glob("*"))  # --dir holds all of it
