"""One process, one run: who may run, who is refused, and what a failure leaves behind."""

import errno
import json
import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from core.runs import durable
from core.runs.run_dir import Fenced, RunDir
from orchestrator.state.observed_run import beat_age
from support import real_run
from support.patience import patient
from worker.failures import classify
from worker.heartbeat import Heartbeat


def test_stopped_holder_cannot_commit_after_it_was_overtaken(tmp_path: Path) -> None:
    run = real_run.planned(tmp_path)
    claim = run.claim(None)
    run.submit("hand")
    with pytest.raises(Fenced, match="overtaken by 2"), run.commit(claim.number, "checkpoint", 1):
        pass
    os.close(claim.lock)


def test_nothing_is_committed_to_a_finished_run(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    claim = run.claim(None)
    with run.commit(claim.number, "checkpoint", 1):
        durable.write_json(run.result_path, {})
    with pytest.raises(Fenced, match="is done"), run.commit(claim.number, "checkpoint", 1):
        pass
    with pytest.raises(Fenced, match="is done"):
        run.claim(None, take_over=True)
    os.close(claim.lock)


def test_an_overtaken_attempt_that_hangs_stands_in_nobodys_way(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    hangs, overtakes = run.claim(None), run.claim(None, take_over=True)
    with pytest.raises(Fenced, match=r"attempt 2 .* is alive"):
        run.claim(None)
    os.close(overtakes.lock)  # it dies
    third = run.claim(None)
    assert third.number == 3 and run.is_alive(1)
    with pytest.raises(Fenced), run.commit(1, "checkpoint"):
        pass
    os.close(third.lock)
    os.close(hangs.lock)


def test_a_full_disk_is_the_class_disk() -> None:
    assert classify(OSError(errno.ENOSPC, "full")) == classify(RuntimeError("No space left on device"))
    assert (classify(OSError(errno.ENOSPC, "full")).error_class, classify(ValueError("x")).error_class) == (
        "disk",
        "code",
    )


def test_pace_is_taken_from_step_to_step_whatever_lies_between(tmp_path: Path) -> None:
    claim = RunDir(tmp_path).claim(None)
    heartbeat = Heartbeat(claim, 10)
    for step in range(3):
        heartbeat.beat(step, "generate")
        heartbeat.beat(step + 1, "evaluate")
        heartbeat.beat(step + 1, "saved")
    assert heartbeat.row["seconds_per_step"] is not None and heartbeat.row["checkpoint_step"] == 3
    os.close(claim.lock)


def test_a_wall_clock_that_jumps_changes_neither_pace_nor_age(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wall = iter(range(1_800_000_000, 0, -3600))
    claim = RunDir(tmp_path).claim(None)
    heartbeat = Heartbeat(claim, 10)
    monkeypatch.setattr("worker.heartbeat.time", SimpleNamespace(time=lambda: next(wall), monotonic=time.monotonic))
    for step in range(3):
        heartbeat.beat(step, "generate")
    age = beat_age(heartbeat.row)
    assert 0 <= heartbeat.row["seconds_per_step"] < 60 and age is not None and age < 60
    os.close(claim.lock)


def test_other_library_versions_are_refused_with_78(tmp_path: Path) -> None:
    run = real_run.planned(tmp_path)
    spec = json.loads(run.spec_path.read_text())
    spec["versions"] |= {"torch": "1.0", "python": "3.9"}
    durable.write_json(run.spec_path, spec)
    assert real_run.worker(run).wait(patient(60)) == 78
    error = json.loads((run.attempt(1) / "error.json").read_text())
    assert error["class"] == "plan"
    assert "torch 1.0 was planned" in error["message"] and "python 3.9 was planned" in error["message"]


def test_a_folder_that_is_no_run_is_refused_with_2(tmp_path: Path) -> None:
    assert real_run.worker(RunDir(tmp_path)).wait(patient(60)) == 2
    assert not (tmp_path / "attempts").exists()


def test_missing_snapshot_is_refused_instead_of_running_the_code_on_disk(tmp_path: Path) -> None:
    run = real_run.planned(tmp_path)
    snapshot = next((tmp_path / "snapshots").iterdir())
    snapshot.chmod(0o755)
    snapshot.rename(tmp_path / "elsewhere")
    assert real_run.worker(run).wait(patient(60)) == 78
    error = json.loads((run.attempt(1) / "error.json").read_text())
    assert error["class"] == "plan" and snapshot.name in error["message"]
