"""The one job: `full` from the benchmark's files to its report, every run of it, on a model that a CPU can train."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from orchestrator.planning.matrix import find_matrix
from support.paths import REPO
from support.patience import patient
from support.shared_data import ROWS, shared_file
from support.tiny_qwen3 import write_tiny_qwen3

SETS = (
    *("steps=2", "checkpoint_every=1", "eval_every=2", "eval_problems=2", "eval_samples=1", "max_new=16"),
    *("batch=8", "completions=4", "loss_ranks=1", "loss_micro_batch=4", "check_problems=1", "steer_samples=1"),
    *("device=cpu", "dtype=float32", "grade_workers=1", "require_solves=false", "collapse_evals=0"),
    *("disk_floor_gb=0.1", "reward_variety=1.0", "threads=1"),
)
KINDS = {"train": 15, "check": 1, "fit": 1, "extract": 1, "steer": 1, "eval": 16}


def grpoq(home: Path, *words: str, expect: int | None = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "orchestrator.cli", "--home", str(home), *words]
    environment = os.environ | {"PYTHONPATH": str(REPO), "COLUMNS": "100"}
    done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, timeout=patient(1200))
    assert expect is None or done.returncode == expect, done.stdout + done.stderr
    return done


def toy_matrix(path: Path) -> Path:
    """`full` as it is built in, but that its gates let through whatever random weights say."""
    before, *gates = re.split(r"(?=\[\[gate\]\])", find_matrix("full").read_text())
    opened = [re.sub(r"^at_least = \S+", "at_least = 0", g.partition("[[hypothesis]]")[0], flags=re.M) for g in gates]
    rest = gates[-1].partition("[[hypothesis]]")
    path.write_text("".join([before, *opened, rest[1], rest[2]]))
    return path


def test_full_from_the_benchmarks_files_to_its_report(tmp_path: Path) -> None:
    rows = shared_file(ROWS).read_text().splitlines(keepends=True)
    train, test = tmp_path / "train.jsonl", tmp_path / "test.jsonl"
    train.write_text("".join(rows[:60]))
    test.write_text("".join(rows[60:]))
    data, model = tmp_path / "data", write_tiny_qwen3(tmp_path / "model")
    grpoq(tmp_path, "data", "leetcode", "--train", str(train), "--test", str(test), "--out", str(data))
    files = ("--problems", str(data / "train.jsonl"), "--held-out", str(data / "held_out.jsonl"))
    sets = [f"--set={item}" for item in (*SETS, f"model={model}")]
    planned = grpoq(tmp_path, "plan", str(toy_matrix(tmp_path / "toy.toml")), *files, "--slots", "2", *sets)
    assert "gate" in planned.stdout
    grpoq(tmp_path, "submit", "--backend", "local")
    waited = grpoq(tmp_path, "wait", expect=1)
    assert "grpoq approve steers" in waited.stdout + waited.stderr
    grpoq(tmp_path, "approve", "steers")
    grpoq(tmp_path, "wait")
    status = json.loads(grpoq(tmp_path, "status", "--json", "--all-kinds").stdout)
    kinds = [run["kind"] for run in status["runs"]]
    assert {kind: kinds.count(kind) for kind in KINDS} == KINDS
    assert {run["state"] for run in status["runs"]} == {"done"}
    report = json.loads(grpoq(tmp_path, "report", "--json").stdout)
    assert {verdict["name"] for verdict in report["verdicts"]} == {"H1", "H2", "H3", "H4"}
    assert report["protocol"]["source"] == "evaluation runs"
