"""A GPU that somebody holds is named with who holds it, before torch is there; a slot gets its own GPU.

A fake nvidia-smi on PATH says what the real one prints with --format=csv,noheader,nounits.
"""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.runs.run_dir import RunDir
from support import real_run
from support.patience import patient
from worker import gpu
from worker.arithmetic import CannotHonour
from worker.failures import classify

FAKE = """#!/bin/sh
case "$1" in
    --query-gpu=driver_version) echo "580.65.06"; echo "580.65.06" ;;
    --query-gpu=*) cat "$0.gpus" ;;
    --query-compute-apps=*) cat "$0.apps"; if [ -e "$0.next" ]; then mv "$0.next" "$0.apps"; fi ;;
    *) exit 2 ;;
esac
"""
UUIDS = ("GPU-11111111-aaaa", "GPU-22222222-bbbb")


def fake_nvidia_smi(folder: Path, apps: str, gpus: int = 1, later: str | None = None, used: int = 3) -> str:
    """The PATH with it in front. `later`: what it says of processes from the second time on."""
    tool = folder / "nvidia-smi"
    tool.write_text(FAKE)
    tool.chmod(0o755)
    (folder / "nvidia-smi.gpus").write_text("".join(f"{i}, {UUIDS[i]}, {used}\n" for i in range(gpus)))
    (folder / "nvidia-smi.apps").write_text(apps)
    if later is not None:
        (folder / "nvidia-smi.next").write_text(later)
    return f"{folder}:{os.environ['PATH']}"


@pytest.fixture
def holder() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "input()", "forgotten-notebook"], stdin=subprocess.PIPE)
    yield process
    process.communicate(b"\n")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Of this process, with nothing in it that chooses a GPU, and as it was afterwards."""
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", *gpu.SLOT_VARIABLES):
        monkeypatch.setenv(name, "")  # so that it is restored, whatever `take` sets
        monkeypatch.delenv(name)
    monkeypatch.setenv("GRPOQ_GPU_GRACE_S", "0")
    return monkeypatch


def take(environment: pytest.MonkeyPatch, path: str) -> str | None:
    """What CUDA will see after `take`."""
    environment.setenv("PATH", path)
    gpu.take(lambda: None)
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def imported_torch(run: RunDir) -> bool:
    """By PYTHONPROFILEIMPORTTIME, which lists every import of a process."""
    lines = (run.path / "test-worker.log").read_text().splitlines()
    return any(line.startswith("import time:") and line.split("|")[-1].strip() == "torch" for line in lines)


def test_the_driver_is_what_nvidia_smi_says_or_a_question_mark(tmp_path: Path, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PATH", fake_nvidia_smi(tmp_path, "", gpus=2))
    assert gpu.driver() == "580.65.06"
    environment.setenv("PATH", str(tmp_path / "nothing"))
    assert gpu.driver() == "?"


def test_a_held_gpu_is_refused_before_torch_is_imported(tmp_path: Path, holder: subprocess.Popen[bytes]) -> None:
    run = real_run.planned(tmp_path / "home", "device=cuda")
    path = fake_nvidia_smi(tmp_path, f"{holder.pid}, 70123, {UUIDS[0]}\n")
    environment = {"PATH": path, "GRPOQ_GPU_GRACE_S": "0", "PYTHONPROFILEIMPORTTIME": "1"}
    assert real_run.worker(run, **environment).wait(patient(60)) == 1
    error = json.loads((run.attempt(1) / "error.json").read_text())
    assert error["class"] == "gpu_busy" and error["exit_code"] == 1
    for part in (f"pid {holder.pid} ", "forgotten-notebook", "70123 MiB", UUIDS[0], "end it or wait for it"):
        assert part in error["message"]
    assert not imported_torch(run)
    fake_nvidia_smi(tmp_path, "")
    # free, and this torch has no CUDA: the next thing to say
    assert real_run.worker(run, **environment).wait(patient(60)) == 78
    assert imported_torch(run)


def test_a_gpu_that_is_let_go_in_time_is_taken(tmp_path: Path, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("GRPOQ_GPU_GRACE_S", "60")
    ticks: list[int] = []
    environment.setenv("PATH", fake_nvidia_smi(tmp_path, f"4194305, 70123, {UUIDS[0]}\n", later=""))
    gpu.take(lambda: ticks.append(1))
    assert ticks == [1]


@pytest.mark.parametrize(
    "apps, busy",
    [
        ("", False),
        ("No running processes found\n", False),
        (f"4194305, 499, {UUIDS[0]}\n", False),  # a desktop
        (f"4194305, 501, {UUIDS[0]}\n", True),
        (f"4194305, [N/A], {UUIDS[0]}\n", True),
        (f"4194305, 70123, {UUIDS[1]}\n", False),  # another GPU
        ("OURS, 70123, GPU-11111111-aaaa\n", False),
    ],
)
def test_what_counts_as_holding_a_gpu(tmp_path: Path, environment: pytest.MonkeyPatch, apps: str, busy: bool) -> None:
    environment.setenv("PATH", fake_nvidia_smi(tmp_path, apps.replace("OURS", str(os.getpid()))))
    try:
        gpu.take(lambda: None)
    except gpu.GpuBusy as error:
        assert busy and "not in this machine's or container's /proc" in str(error)  # above any pid of Linux
        assert classify(error).error_class == "gpu_busy"
    else:
        assert not busy


@pytest.mark.parametrize(
    "variables, expected",
    [
        ({}, UUIDS[0]),
        ({"GRPOQ_SLOT": "1"}, UUIDS[1]),
        ({"PUEUE_WORKER_ID": "1"}, UUIDS[1]),
        ({"GRPOQ_SLOT": "0", "PUEUE_WORKER_ID": "1"}, UUIDS[0]),
        ({"GRPOQ_SLOT": "3"}, UUIDS[1]),
        ({"GRPOQ_SLOT": "1", "CUDA_VISIBLE_DEVICES": "0"}, "0"),  # the user's word stands
        ({"GRPOQ_SLOT": "1", "CUDA_VISIBLE_DEVICES": "1,0"}, UUIDS[0]),  # the slot's of those that are ours
        ({"CUDA_VISIBLE_DEVICES": ""}, ""),
    ],
)
def test_each_slot_gets_its_own_gpu(
    tmp_path: Path, environment: pytest.MonkeyPatch, variables: dict[str, str], expected: str
) -> None:
    for name, value in variables.items():
        environment.setenv(name, value)
    assert take(environment, fake_nvidia_smi(tmp_path, "", gpus=2)) == expected


def test_a_named_gpu_is_checked_though_another_is_free(tmp_path: Path, environment: pytest.MonkeyPatch) -> None:
    path = fake_nvidia_smi(tmp_path, f"4194305, 70123, {UUIDS[1]}\n", gpus=2)
    for name in ("1", UUIDS[1], "GPU-2222"):
        environment.setenv("CUDA_VISIBLE_DEVICES", name)
        with pytest.raises(gpu.GpuBusy, match="GPU 1"):
            take(environment, path)
    environment.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert take(environment, path) == "0"


def test_a_single_gpu_is_left_to_cuda(tmp_path: Path, environment: pytest.MonkeyPatch) -> None:
    assert take(environment, fake_nvidia_smi(tmp_path, "")) is None


def test_a_slot_that_is_no_number_is_refused(tmp_path: Path, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("GRPOQ_SLOT", "first")
    with pytest.raises(CannotHonour, match="GRPOQ_SLOT = 'first'"):
        take(environment, fake_nvidia_smi(tmp_path, "", gpus=2))


@pytest.mark.parametrize("tool", ["missing", "failing"])
def test_what_cannot_be_checked_is_said_and_stops_nothing(
    tmp_path: Path, environment: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tool: str
) -> None:
    if tool == "failing":
        (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho 'Failed to initialize NVML'\nexit 18\n")
        (tmp_path / "nvidia-smi").chmod(0o755)
    with caplog.at_level(logging.INFO):
        assert take(environment, str(tmp_path)) is None
    assert "could not be checked" in caplog.text


def test_memory_that_nobody_answers_for_is_only_warned_of(
    tmp_path: Path, environment: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    take(environment, fake_nvidia_smi(tmp_path, "", used=40_000))
    assert "40000 MiB are in use by no process that can be seen" in caplog.text


def test_a_card_smaller_than_the_planned_one_is_refused(tmp_path: Path, environment: pytest.MonkeyPatch) -> None:
    """The fake's last column stands for memory.total too."""
    environment.setenv("PATH", fake_nvidia_smi(tmp_path, "", used=81_559))  # an H100 of 80 GB
    gpu.take(lambda: None, 80.0)
    with pytest.raises(CannotHonour, match=r"has 85\.5 GB, the plan's sizes are for a card of 96 GB") as refused:
        gpu.take(lambda: None, 96.0)
    assert classify(refused.value).exit_code == 78
