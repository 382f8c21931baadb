"""What ran out of memory, and whose: a process's own word, the kernel's counter after a silent death, or the GPU."""

import contextlib
import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from core.runs import host_memory
from core.runs.run_dir import RunDir
from support.paths import REPO
from support.patience import patient
from worker.failures import CUDA_OOM, HOST_OOM, classify, cuda_oom_in_words, sentence
from worker.heartbeat import Heartbeat

LIMIT_BYTES = 128 << 20

# Claims, beats once, then takes more memory than its cgroup may hold, or is killed: two silent deaths.
CLAIMS = """
import os, sys
from pathlib import Path
from core.runs.run_dir import RunDir
from worker.heartbeat import Heartbeat
claim = RunDir(Path(sys.argv[1])).claim(None)
Heartbeat(claim, 10).beat(0, "start")
"""
HUNGRY = CLAIMS + "held = []\nwhile True: held.append(bytearray(1 << 20))"
KILLED = CLAIMS + "os.kill(os.getpid(), 9)"


@contextlib.contextmanager
def small_cgroup() -> Iterator[Path]:
    """A real cgroup of LIMIT_BYTES, whichever version this machine has."""
    name = f"grpoq-test-{os.getpid()}"
    one, two = Path("/sys/fs/cgroup/memory") / name, Path("/sys/fs/cgroup") / name
    folder, file = (one, "memory.limit_in_bytes") if one.parent.is_dir() else (two, "memory.max")
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup can be made here: {error}")
    try:
        try:
            (folder / file).write_text(str(LIMIT_BYTES))
        except OSError as error:
            pytest.skip(f"no memory limit can be set here: {error}")
        with contextlib.suppress(OSError):
            (folder / "memory.swap.max").write_text("0")
        yield folder
    finally:
        folder.rmdir()


def run_inside(folder: Path, *command: str) -> int:
    """Its exit code. The shell joins the cgroup and becomes the command, so nothing of it is outside."""
    joined = ["sh", "-c", f'echo $$ > {folder}/cgroup.procs && exec "$@"', "sh", *command]
    return subprocess.run(joined, cwd=REPO, timeout=patient(60)).returncode


def test_a_worker_killed_by_the_kernel_for_memory_is_told_by_its_last_beat(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    with small_cgroup() as folder:
        assert run_inside(folder, sys.executable, "-c", HUNGRY, str(tmp_path)) == -9
        assert not run.has_ended(1)
        beat = run.heartbeat(1)
        assert beat is not None and beat["oom"]["count"] == 0 and beat["oom"]["limit_bytes"] == LIMIT_BYTES
        assert str(folder) in beat["oom"]["path"]
        assert host_memory.killed_since(beat["oom"]) is True
        words = host_memory.in_words(beat["oom"])
        assert "out-of-memory killer" in words and "0 -> 1 kills" in words and "0.1 GB" in words
        # Killed in the same cgroup after that, and not by the kernel.
        assert run_inside(folder, sys.executable, "-c", KILLED, str(tmp_path)) == -9
        later = run.heartbeat(2)
        assert later is not None and later["oom"]["count"] == 1 and host_memory.killed_since(later["oom"]) is False
    assert host_memory.killed_since(beat["oom"]) is None  # the cgroup is gone


def test_what_cannot_be_told_is_none(tmp_path: Path) -> None:
    counter = tmp_path / "memory.events"
    counter.write_text("low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n")
    boot = (host_memory.oom_kills() or {}).get("boot_id") or host_memory._boot_id()
    record = {"path": str(counter), "count": 2, "limit_bytes": None, "boot_id": boot}
    assert host_memory.killed_since(record) is False
    assert host_memory.killed_since(record | {"count": 1}) is True
    assert host_memory.killed_since(record | {"count": 3}) is None  # another cgroup under the old name
    assert host_memory.killed_since(record | {"boot_id": "another"}) is None
    assert host_memory.killed_since(record | {"path": str(tmp_path / "gone")}) is None
    assert host_memory.killed_since(None) is None


V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = "35 31 0:32 /docker/ab /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
OTHER = "33 31 0:30 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"


@pytest.mark.parametrize(
    "memberships, mounts, expected",
    [
        (
            "0::/user.slice/session-2.scope\n",
            V2,
            ["/sys/fs/cgroup/user.slice/session-2.scope", "/sys/fs/cgroup/user.slice", "/sys/fs/cgroup"],
        ),
        ("0::/\n", V2, ["/sys/fs/cgroup"]),  # a container that sees its own cgroup as the root
        ("4:memory:/docker/ab\n1:cpu:/docker/ab\n", OTHER + V1, ["/sys/fs/cgroup/memory"]),
        ("4:cpuset,memory:/docker/ab/job\n0::/\n", V1, ["/sys/fs/cgroup/memory/job"]),
        ("1:cpu:/\n", OTHER, []),
    ],
)
def test_the_counter_is_looked_for_where_the_kernel_keeps_it(
    memberships: str, mounts: str, expected: list[str]
) -> None:
    assert [str(path) for path in host_memory._memory_cgroups(memberships, mounts)] == expected


def test_every_beat_takes_the_count_anew(tmp_path: Path) -> None:
    claim = RunDir(tmp_path).claim(None)
    heartbeat = Heartbeat(claim, 10)
    counter = tmp_path / "memory.events"
    heartbeat.row["oom"] = {"path": str(counter), "count": 0, "limit_bytes": None, "boot_id": "x"}
    for text, expected in (("oom_kill 4\n", 4), ("", 4)):
        counter.write_text(text)
        heartbeat.beat(0, "train")
        assert json.loads((claim.path / "heartbeat.json").read_text())["oom"]["count"] == expected
    os.close(claim.lock)


def raised(code: str) -> BaseException:
    try:
        exec(code, {"torch": torch})
    except BaseException as error:
        return error
    raise AssertionError(f"{code} raised nothing")


@pytest.mark.parametrize("code", ["bytearray(1 << 62)", "torch.empty(1 << 50)"])
def test_host_memory_that_is_refused_is_host_oom_with_figures(code: str, tmp_path: Path) -> None:
    error = raised(code)
    assert classify(error) is HOST_OOM
    words = sentence(error, HOST_OOM, RunDir(tmp_path))
    assert "this process peaked at" in words and "run fewer slots" in words and "a worker never changes them" in words


def test_a_fork_without_memory_is_host_oom() -> None:
    assert classify(OSError(errno.ENOMEM, "Cannot allocate memory")) is HOST_OOM


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_gpu_memory_is_a_class_of_its_own(error: Exception, tmp_path: Path) -> None:
    assert classify(error) is CUDA_OOM and CUDA_OOM.exit_code == 77
    words = sentence(error, CUDA_OOM, RunDir(tmp_path))
    assert str(error) in words and "a smaller micro_batch" in words


def test_the_gpus_sentence_names_peak_and_free_memory() -> None:
    words = cuda_oom_in_words("CUDA out of memory", 75.25e9, 0.5e9, 80e9)
    assert "peak of this run 75.25 GB, free now 0.50 GB, the GPU's own 80.00 GB" in words
