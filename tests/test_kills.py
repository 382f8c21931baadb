"""kill -9 of real workers under the real queue: nobody helps, and every run ends where its unbroken twin ended.

One plan of equal runs under different labels: one is left in peace, some die at a random instant after their launch
(imports and the claim included), some right before one of the checkpoint writer's file operations.
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import real_run

from core.run_dir import RunDir

INSTANTS, OPERATIONS = 20, 25
KILL_AT = Path(__file__).parent / "kill_at" / "sitecustomize.py"


def grpoq(home: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "orchestrator.cli", "--home", str(home), *arguments]
    environment = os.environ | {"GRPOQ_SOURCE": str(home / "source")}
    done = subprocess.run(command, cwd=real_run.REPO, env=environment, capture_output=True, text=True)
    assert not check or done.returncode == 0, done.stderr
    return done


def planned(home: Path) -> dict[str, RunDir]:
    """Runs by label, on code that kills itself where its run directory asks for it."""
    for package in ("core", "worker"):
        shutil.copytree(
            real_run.REPO / package, home / "source" / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(KILL_AT, home / "source" / "worker" / "__init__.py")
    labels = ["twin", *(f"operation{n:02d}" for n in range(OPERATIONS)), *(f"instant{n:02d}" for n in range(INSTANTS))]
    plan = home / "kills.toml"
    arms = "".join(f'[[arm]]\nname = "vanilla"\nlabel = "{label}"\n' for label in labels)
    plan.write_text(f'name = "kills"\npreset = "smoke"\nseeds = [7]\n{arms}')
    grpoq(home, "plan", str(plan), "--slots", "2", *(f"--set={item}" for item in real_run.SMALL))
    runs = {run.name.partition("-s7-")[0]: RunDir(run) for run in (home / "runs").iterdir()}
    for number in range(OPERATIONS):
        (runs[f"operation{number:02d}"].path / "kill-at").write_text(str(number + 1))
    return runs


def launched(run: RunDir) -> tuple[int, float] | None:
    """Pid and time of the first launch."""
    engine = next((s.engine_id for s in run.submissions() if s.engine_id), None)
    log = run.launch_log(1)
    return (int(engine.removeprefix("pid:")), log.stat().st_ctime) if engine and log.exists() else None


def kill_when_due(runs: dict[str, RunDir]) -> int:
    """SIGKILL each `instant` run once in its first attempt; how many were alive to be killed.

    Half of them within three seconds of their launch, half right after a random step.
    """
    rng = random.Random("instants")
    labels = sorted(label for label in runs if label.startswith("instant"))
    due = {label: (rng.randrange(1, 8) if place % 2 else 0, rng.uniform(0, 3)) for place, label in enumerate(labels)}
    hit, deadline = 0, time.monotonic() + 1200
    while due:
        assert time.monotonic() < deadline, f"never launched: {sorted(due)}"
        for label in list(due):
            found, (step, delay) = launched(runs[label]), due[label]
            if found is None or (not step and time.time() < found[1] + delay):
                continue
            if step and len(runs[label].metrics()) < step and not runs[label].has_result():
                continue
            time.sleep(delay / 100 if step else 0)
            del due[label]
            with contextlib.suppress(ProcessLookupError):
                os.kill(found[0], signal.SIGKILL)
                hit += not runs[label].has_result()
        time.sleep(0.02)
    return hit


@pytest.mark.slow
def test_killed_at_any_instant_and_operation_runs_come_back_by_themselves_and_end_as_their_twin(tmp_path: Path) -> None:
    runs = planned(tmp_path)
    grpoq(tmp_path, "submit")
    hit = kill_when_due(runs)
    waited = grpoq(tmp_path, "wait", "--timeout", "1500", check=False)
    assert waited.returncode == 0, waited.stdout + waited.stderr
    for label, run in runs.items():
        real_run.assert_equal_runs(run, runs["twin"])
        assert list(run.path.glob("result*.json")) == [run.result_path]
        assert not list(run.checkpoints.glob(".step*")), label
        assert not (run.path / "kill-at").exists()
        assert len(run.attempts()) >= 2 or label == "twin" or label.startswith("instant"), label
    assert hit >= INSTANTS - 3, f"only {hit} of {INSTANTS} were alive when their moment came"
    assert len(runs["twin"].attempts()) == 1
