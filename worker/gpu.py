"""Which GPU is this worker's, and whether it is free: asked of nvidia-smi before torch is imported.

CUDA reads CUDA_VISIBLE_DEVICES once; and a run that shares its GPU with a forgotten process does not fail, it hangs.
nvidia-smi sees processes of this container only, or all of the host's under numbers that mean nothing here: a pid that
is not in our /proc is said to be elsewhere. Memory that no process answers for is only warned of: drivers hold some.
"""

from __future__ import annotations

import logging
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from worker.arithmetic import CannotHonour

SMALL_MIB = 500  # what a process may hold and not count: a desktop, a monitor
GRACE_S = 30.0  # a killed process's memory comes back seconds after its pid is gone; GRPOQ_GPU_GRACE_S
NVIDIA_SMI_TIMEOUT_S = 30.0
SLOT_VARIABLES = ("GRPOQ_SLOT", "PUEUE_WORKER_ID")

log = logging.getLogger("worker")


class GpuBusy(RuntimeError):
    """Another process holds the GPU. Worker exit code 1, class gpu_busy."""


@dataclass(frozen=True)
class Gpu:
    index: str
    uuid: str
    used_mib: int


@dataclass(frozen=True)
class Holder:
    pid: int
    used_mib: int | None  # None: the driver does not say

    def __str__(self) -> str:
        memory = "memory unknown" if self.used_mib is None else f"{self.used_mib} MiB"
        return f"pid {self.pid} ({_command(self.pid)}, {memory})"


def take(tick: Callable[[], None], planned_gb: float = 0.0) -> None:
    """Make the slot's GPU the only visible one and wait until it is free. Raises GpuBusy where it stays held,
    CannotHonour where it is smaller than the one that the plan's sizes are for."""
    gpus = _gpus()
    mine = _choose(gpus)
    if mine is None:
        log.warning("it could not be checked whether the GPU is free: nvidia-smi does not know it, or says nothing")
        return
    _require_memory(mine, planned_gb)
    deadline = time.monotonic() + float(os.environ.get("GRPOQ_GPU_GRACE_S", GRACE_S))
    while holders := _holders(mine):
        words = f"GPU {mine.index} ({mine.uuid}) is held by {', '.join(map(str, holders))}"
        if time.monotonic() >= deadline:
            raise GpuBusy(
                f"{words}; end it or wait for it, then `grpoq retry`; one run a GPU: use as many slots as there are "
                "GPUs, or name a free one in CUDA_VISIBLE_DEVICES"
            )
        log.info("%s; waiting for it to let go", words)
        tick()
        time.sleep(1.0)
    unexplained = next((gpu.used_mib for gpu in _gpus() if gpu.uuid == mine.uuid), 0)
    if unexplained > SMALL_MIB:
        log.warning("GPU %s: %d MiB are in use by no process that can be seen from here", mine.index, unexplained)
    log.info("GPU %s (%s) is free", mine.index, mine.uuid)


def driver() -> str:
    """The driver's release, "?" where nvidia-smi does not say. No sum depends on it: kernels come with torch."""
    rows = _nvidia_smi("--query-gpu=driver_version")
    return rows[0][0] if rows and rows[0] and rows[0][0] else "?"


def _choose(gpus: list[Gpu]) -> Gpu | None:
    """The slot's one of those that are ours to use: all, or what CUDA_VISIBLE_DEVICES leaves. None: not known."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [gpu.uuid for gpu in gpus] if visible is None else [name.strip() for name in visible.split(",")]
    if not names:
        return None
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # so that a number means what nvidia-smi shows under it
    name = names[_slot() % len(names)]
    mine = next((gpu for gpu in gpus if name == gpu.index or (name and gpu.uuid.startswith(name))), None)
    if len(names) > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = mine.uuid if mine else name
        log.info("slot %d uses GPU %s", _slot(), os.environ["CUDA_VISIBLE_DEVICES"])
    return mine


def _require_memory(mine: Gpu, planned_gb: float) -> None:
    """A card's nominal GB are fewer bytes than it has: one of 96 GB has 102.6e9."""
    rows = _nvidia_smi("--query-gpu=index,uuid,memory.total") if planned_gb else []
    total = next((_mib(row[2]) for row in rows if len(row) == 3 and row[1] == mine.uuid), None)
    if total is not None and total * 2**20 < planned_gb * 1e9:
        raise CannotHonour(
            f"GPU {mine.index} has {total * 2**20 / 1e9:.1f} GB, the plan's sizes are for a card of {planned_gb:g} GB "
            "(gpu_memory_gb): plan anew with --set gpu_memory_gb=GB for this one, or start it where the other is"
        )


def _slot() -> int:
    name = next((name for name in SLOT_VARIABLES if os.environ.get(name)), None)
    if name is None:
        return 0
    if not os.environ[name].isdecimal():
        raise CannotHonour(f"{name} = {os.environ[name]!r} is no slot; it must be a whole number from 0")
    return int(os.environ[name])


def _gpus() -> list[Gpu]:
    """All of the machine, in the order of their numbers; empty where nvidia-smi is missing or silent."""
    rows = _nvidia_smi("--query-gpu=index,uuid,memory.used")
    return [Gpu(row[0], row[1], _mib(row[2]) or 0) for row in rows if len(row) == 3]


def _holders(mine: Gpu) -> list[Holder]:
    rows = [row for row in _nvidia_smi("--query-compute-apps=pid,used_memory,gpu_uuid") if len(row) == 3]
    listed = [Holder(int(row[0]), _mib(row[1])) for row in rows if row[2] == mine.uuid and row[0].isdecimal()]
    return [h for h in listed if h.pid != os.getpid() and (h.used_mib is None or h.used_mib > SMALL_MIB)]


def _nvidia_smi(query: str) -> list[list[str]]:
    command = ["nvidia-smi", query, "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=NVIDIA_SMI_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [[field.strip() for field in line.split(",")] for line in done.stdout.splitlines()]


def _mib(text: str) -> int | None:
    return int(text) if text.isdecimal() else None  # "[N/A]"


def _command(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return "not in this machine's or container's /proc: of another container, or of the host"
    return words[:200] or "a process without a command line"
