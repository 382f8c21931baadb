"""An evaluation killed and terminated ends with the unbroken one's bytes."""

from __future__ import annotations

import itertools
import signal
import subprocess
import time
from pathlib import Path

import pytest

from core.attempt import SHARDS
from core.runs import durable
from core.runs.run_dir import RunDir
from support import in_process, real_run
from support.evaluated_runs import EVAL, by_hand
from support.kind_runs import finished, log, planned
from support.patience import patient


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of each test its own: what another has evaluated would be served."""
    monkeypatch.setenv("GRPOQ_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "evals"


def wait_for_shards(run: RunDir, process: subprocess.Popen, count: int) -> None:
    deadline = time.monotonic() + patient(90)
    while len(run.merged(SHARDS, ("shard",))) < count:
        assert process.poll() is None and time.monotonic() < deadline, (run.path / "test-worker.log").read_text()[
            -2000:
        ]
        time.sleep(0.002)


def test_a_killed_and_a_terminated_evaluation_ends_with_the_bytes_of_an_unbroken_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deployed and as trained: sixteen shards, so that a signal that comes late still meets one."""
    fields = EVAL | {"eval_problems": 16, "same_machine": False}  # this process names its machine otherwise
    paths = []
    for folder in ("twin", "killed"):
        of = by_hand(tmp_path / folder / "runs", "absorb", 4)
        run = planned(of.path.parent, "eval", "eval", of=of.run_id, **fields)
        if folder == "twin":
            unbroken = in_process.attempt(run)
            assert unbroken is not None
        else:
            monkeypatch.setenv("GRPOQ_CACHE", str(tmp_path / "another"))
            process = real_run.worker(run)
            wait_for_shards(run, process, 2)
            process.kill()
            process.wait()
            process = real_run.worker(run)
            wait_for_shards(run, process, 9)
            process.send_signal(signal.SIGTERM)
            assert process.wait(patient(60)) == 75 and not (run.attempt(2) / "error.json").exists()
            assert not run.has_result() and not (of.path / "eval").exists()
            found = finished(run)
        paths.append(of.path / "eval" / f"{unbroken['eval']}.json")
    made = [[row["shard"] for row in durable.read_lines(run.attempt(n) / SHARDS)] for n in (1, 2, 3)]
    assert list(itertools.chain(*made)) == list(range(16)) and all(made)  # each shard was worked once
    assert found["metrics"] == unbroken["metrics"] and found["eval"] == unbroken["eval"] and found["attempts"] == 3
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert "within 0.15 of training's own last evaluation, 0.000" in log(run, 3)


def test_eval_of_a_run_without_a_result_is_the_class_data_and_says_what_to_wait_for(tmp_path: Path) -> None:
    unfinished = in_process.planned(tmp_path / "runs", "vanilla")
    run = planned(tmp_path / "runs", "eval", "eval", of="vanilla", **EVAL)
    assert real_run.worker(run).wait(patient(120)) == 1
    error = run.error(1)
    assert error is not None and (error["class"], error["exit_code"]) == ("data", 1)
    assert "grpoq wait vanilla" in error["message"] and "grpoq retry eval" in error["message"]
    assert not run.has_result() and not (unfinished.path / "eval").exists()
