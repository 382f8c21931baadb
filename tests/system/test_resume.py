"""A run that dies anywhere ends where the unbroken one would have ended. Real workers, real SIGKILL.

A few deaths, each resumed by hand; tests/system/test_kills.py (slow) has many, and nobody helps.
"""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from core.runs.run_dir import RunDir
from support import real_run
from support.paths import TESTS
from support.patience import patient


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    run = real_run.planned(tmp_path_factory.mktemp("twin"))
    real_run.finish(run)
    return run


def wait_for_step(run: RunDir, process, step: int) -> None:
    deadline = time.monotonic() + patient(90)
    while len(run.metrics()) < step and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_killed_run_equals_the_unbroken_one(twin: RunDir, tmp_path: Path) -> None:
    run = real_run.planned(tmp_path)
    for step in (3, 7):
        process = real_run.worker(run)
        wait_for_step(run, process, step)
        process.kill()
        process.wait()
    real_run.finish(run)
    assert len(run.attempts()) == 3
    assert list(run.path.glob("result*.json")) == [run.result_path]
    real_run.assert_equal_runs(run, twin)


def test_sigterm_saves_at_once_and_exits_75(twin: RunDir, tmp_path: Path) -> None:
    run = real_run.planned(tmp_path)
    process = real_run.worker(run)
    wait_for_step(run, process, 5)
    process.send_signal(signal.SIGTERM)
    assert process.wait(patient(60)) == 75
    saved = max(int(p.name[5:]) for p in run.checkpoints.glob("step_*"))
    assert saved == len(run.metrics()) and not (run.attempt(1) / "error.json").exists()
    real_run.finish(run)
    real_run.assert_equal_runs(run, twin)


def test_torn_checkpoint_is_passed_over_for_the_one_before(twin: RunDir, tmp_path: Path) -> None:
    run = real_run.planned(tmp_path)
    process = real_run.worker(run)
    wait_for_step(run, process, 10)
    process.kill()
    process.wait()
    newest = max(run.checkpoints.glob("step_*"))
    with (newest / "adapter.safetensors").open("r+b") as handle:
        handle.seek(-4, os.SEEK_END)
        handle.write(b"\xff\xff\xff\x7f")
    real_run.finish(run)
    assert "passed over" in (run.attempt(2) / "worker.log").read_text()
    real_run.assert_equal_runs(run, twin)


def test_no_valid_checkpoint_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    run = real_run.planned(tmp_path)
    process = real_run.worker(run)
    wait_for_step(run, process, 5)
    process.kill()
    process.wait()
    for folder in run.checkpoints.glob("step_*"):
        (folder / "state.json").write_text("{")
    assert real_run.worker(run).wait(patient(60)) == 81
    error = json.loads((run.attempt(2) / "error.json").read_text())
    assert error["class"] == "checkpoints" and "grpoq retry" in error["message"]


@pytest.mark.parametrize("point", ["save:mkdir:1", "save:fsync:3", "_publish:rename:1"])
def test_kill_inside_the_checkpoint_writer(point: str, twin: RunDir, tmp_path: Path) -> None:
    run = real_run.planned(tmp_path)
    (run.path / "kill-at").write_text(f"checkpoint:{point}\n")
    # Started inside the snapshot the worker need not enter it, so our PYTHONPATH stays in front.
    snapshot = next((tmp_path / "snapshots").iterdir())
    path = os.pathsep.join([str(TESTS / "support" / "kill_at"), str(snapshot)])
    hooks = {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    assert real_run.worker(run, cwd=snapshot, **hooks).wait(patient(90)) == -signal.SIGKILL
    assert len(list(run.checkpoints.glob("step_*"))) <= 3
    real_run.finish(run)
    assert not list(run.checkpoints.glob(".step*"))
    real_run.assert_equal_runs(run, twin)
