"""Real runs of the real worker, small enough for a test: two layers of random weights, twelve steps."""

import json
import os
import subprocess
import sys
from pathlib import Path

from core.runs.compare import comparable
from core.runs.run_dir import RunDir
from support import command
from support.paths import REPO

HANGS_S = 3600.0  # a limit that only tells a worker that hangs from one on a busy machine
SMALL = ("steps=12", "checkpoint_every=4", "eval_every=6", "eval_problems=2", "max_new=12", "disk_floor_gb=0.01")


def planned(home: Path, *sets: str, arm: str = "vanilla", preset: str = "smoke") -> RunDir:
    """A planned run in a fresh home."""
    flags = [f"--set={item}" for item in (*SMALL, *sets)]
    words = ("--home", str(home), "plan", preset, "--arms", arm, "--seeds", "7", "--slots", "2", *flags)
    done = command.grpoq(*words, cwd=REPO)
    assert done.returncode == 0, done.stderr
    return RunDir(next((home / "runs").iterdir()))


def worker(run: RunDir, *flags: str, cwd: Path = REPO, **environment: str) -> subprocess.Popen[bytes]:
    log = (run.path / "test-worker.log").open("ab")
    words = [sys.executable, "-m", "worker", str(run.path), *flags]
    return subprocess.Popen(words, cwd=cwd, env=os.environ | environment, stdout=log, stderr=log)


def finish(run: RunDir) -> dict:
    """Run attempts until one ends by itself; the result."""
    assert worker(run).wait(HANGS_S) == 0, (run.path / "test-worker.log").read_text()[-3000:]
    return json.loads(run.result_path.read_text())


def assert_equal_runs(one: RunDir, twin: RunDir) -> None:
    """The same bytes of weights, every metrics row once and alike, the same evaluations and completions."""
    results = [json.loads(run.result_path.read_text()) for run in (one, twin)]
    for name in ("adapter_sha256", "quarantine_sha256"):  # the second where the arm deploys without it
        assert results[0].get(name) == results[1].get(name)
    assert [row["step"] for row in one.metrics()] == list(range(1, results[0]["steps"] + 1))
    assert comparable(one.metrics()) == comparable(twin.metrics())
    assert comparable(one.evals()) == comparable(twin.evals())
    assert one.rollouts() == twin.rollouts()
