"""The disk fills while a run trains: it says so, tears nothing, and goes on where there is room again.

A real tmpfs of a few megabytes, real workers, and a file that takes what is left while the worker stands still.
"""

import contextlib
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.runs import durable
from core.runs.run_dir import BALLAST, BALLAST_BYTES, RunDir
from core.training import checkpoint
from support import real_run
from support.patience import patient
from worker import last_words

FLOOR = "disk_floor_gb=0.001"
CHECKPOINT_BYTES = 415_000  # at least, of these runs


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=24m,huge=never", "tmpfs", str(place)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture(scope="module")
def planned_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("planned") / "home"
    home.mkdir()
    real_run.planned(home, FLOOR, "steps=24")
    return home


def run_of(home: Path, target: Path) -> RunDir:
    """A copy of a planned home that has not run; its only run."""
    shutil.copytree(home, target, dirs_exist_ok=True)
    return RunDir(next((target / "runs").iterdir()))


@pytest.fixture(scope="module")
def twin(planned_home: Path, tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """The same run on a disk with room."""
    run = run_of(planned_home, tmp_path_factory.mktemp("twin"))
    real_run.finish(run)
    return run


def fill(place: Path, leave: int) -> Path:
    """Take all of a disk but `leave` bytes."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as handle:
        with contextlib.suppress(OSError):
            while True:
                handle.write(bytes(4096))
        handle.truncate(handle.tell() - leave)
    return filler


def stopped_after(run: RunDir, attempt: int, rows: int, log: Path) -> subprocess.Popen[bytes]:
    """A worker that stands still after some rows of that attempt. Its output goes to a disk with room."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "worker", str(run.path)], cwd=real_run.REPO, stdout=output, stderr=output
        )
    deadline = time.monotonic() + patient(90)
    while len(durable.read_lines(run.attempt(attempt) / "metrics.jsonl")) < rows and process.poll() is None:
        assert time.monotonic() < deadline, log.read_text()[-2000:]
        time.sleep(0.002)
    process.send_signal(signal.SIGSTOP)
    assert os.WIFSTOPPED(os.waitpid(process.pid, os.WUNTRACED)[1])
    return process


def assert_ended_for_want_of_disk(run: RunDir, attempt: int) -> None:
    error = json.loads((run.attempt(attempt) / "error.json").read_text())
    assert (error["class"], error["exit_code"]) == ("disk", 80)
    assert "GB free under" in error["message"] and "the plan's floor is 0.001 GB; make room" in error["message"]
    assert not list(run.path.rglob(".*")) and not (run.attempt(attempt) / BALLAST).exists()
    checkpoint.latest(run)  # raises where what is published cannot be believed
    for folder in run.checkpoints.glob("*"):
        assert checkpoint._problem(folder) is None


def test_a_disk_that_fills_ends_the_attempt_and_the_next_one_ends_like_the_unbroken_run(
    planned_home: Path, twin: RunDir, small_disk: Path, tmp_path: Path
) -> None:
    run = run_of(planned_home, small_disk)
    process = stopped_after(run, 1, 6, tmp_path / "log")
    filler = fill(small_disk, 0)
    with pytest.raises(OSError, match="No space left"):
        (small_disk / "another").write_bytes(b"x")
    process.send_signal(signal.SIGCONT)
    assert process.wait(patient(60)) == 80
    assert_ended_for_want_of_disk(run, 1)
    said = (tmp_path / "log").read_text()
    assert said.count("Traceback") == 1 and "Logging error" not in said and "Exception ignored" not in said

    assert (
        real_run.worker(run).wait(patient(60)) == 80
    )  # still full: not even a claim fits, and nothing is left of the try
    assert run.attempts() == [1] and not list(run.path.rglob(".*"))

    filler.unlink()
    real_run.finish(run)
    real_run.assert_equal_runs(run, twin)


def test_whatever_write_finds_the_disk_full_the_run_ends_like_the_unbroken_one(
    planned_home: Path, twin: RunDir, small_disk: Path, tmp_path: Path
) -> None:
    """Room for a beat, for a row, for some steps, for half a checkpoint, for all but its last file."""
    run = run_of(planned_home, small_disk)
    rooms = (0, 4096, 8192, 20_000, 60_000, 200_000, 300_000, CHECKPOINT_BYTES - 4096)
    for number, room in enumerate(rooms, 1):
        process = stopped_after(run, number, 1, tmp_path / "log")
        filler = fill(small_disk, room)
        process.send_signal(signal.SIGCONT)
        assert process.wait(patient(60)) == 80, (room, (tmp_path / "log").read_text()[-2000:])
        assert run.attempts() == list(range(1, number + 1))
        assert_ended_for_want_of_disk(run, number)
        filler.unlink()
    real_run.finish(run)
    real_run.assert_equal_runs(run, twin)


def test_output_on_a_full_disk_does_not_change_the_exit_code(
    planned_home: Path, small_disk: Path, tmp_path: Path
) -> None:
    """Python ends with 120 where it cannot flush what it buffers; the queue reads 80 as "make room"."""
    run = run_of(planned_home, tmp_path / "roomy")
    spec = json.loads(run.spec_path.read_text())
    spec["config"]["disk_floor_gb"] = 1e9
    durable.write_json(run.spec_path, spec)
    with (small_disk / "output").open("wb") as output:
        fill(small_disk, 0)
        command = [sys.executable, "-m", "worker", str(run.path)]
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
        done = subprocess.run(
            command, cwd=real_run.REPO, env=environment, stdout=output, stderr=output, timeout=patient(60)
        )
    assert done.returncode == 80
    assert json.loads((run.attempt(1) / "error.json").read_text())["class"] == "disk"


def test_last_words_need_no_free_block(small_disk: Path) -> None:
    run = RunDir(small_disk)
    claim = run.claim(None)
    assert (claim.path / BALLAST).stat().st_blocks * 512 >= BALLAST_BYTES
    fill(small_disk, 0)
    row = {"class": "disk", "exit_code": 80, "traceback": "ü" * 100_000}
    last_words.write(claim.path, "error.json", row)
    found = json.loads((claim.path / "error.json").read_text())
    assert found == row | {"traceback": "ü" * last_words.TRACEBACK_CHARACTERS}
    assert not (claim.path / BALLAST).exists()
    os.close(claim.lock)


def test_last_words_without_a_ballast_are_written_all_the_same(tmp_path: Path) -> None:
    last_words.write(tmp_path, "exit.json", {"exit_code": 0})
    assert json.loads((tmp_path / "exit.json").read_text()) == {"exit_code": 0}


def test_a_killed_attempts_ballast_goes_with_the_next_claim(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    for number in (1, 2):
        os.close(run.claim(None).lock)  # dies without a word
        assert [n for n in run.attempts() if (run.attempt(n) / BALLAST).exists()] == [number]


def test_a_half_made_directory_is_removed(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="full"), durable.building(tmp_path / "half") as folder:
        (folder / "part").write_bytes(b"x")
        raise OSError(errno.ENOSPC, "full")
    assert not list(tmp_path.iterdir())
