"""How a run can end badly: the error's class, which decides about retries, the exit code, and the sentence."""

from __future__ import annotations

import errno
import resource
import shutil
import sys
from dataclasses import dataclass
from typing import Any

from core.runs import durable, host_memory
from core.runs.run_dir import RunDir

NEVER_SILENTLY = "these are in the plan, and a worker never changes them"


class DiskFloor(RuntimeError):
    """Less free space than the plan's floor."""


@dataclass(frozen=True)
class Failure:
    error_class: str
    exit_code: int
    quiet: bool = False  # the checkpoint is saved and nothing is wrong


def classify(error: BaseException) -> Failure:
    """By type; by errno; by the words of libraries that have no type for it. Modules never imported raised nothing."""
    for module, name, failure in _TABLE:
        kind = getattr(sys.modules.get(module), name, None)
        if kind is not None and isinstance(error, kind):
            return failure
    if isinstance(error, OSError) and error.errno in _BY_ERRNO:
        return _BY_ERRNO[error.errno]
    return next((failure for words, failure in _BY_WORDS if words in str(error)), Failure("code", 1))


DISK, HOST_OOM, CUDA_OOM = Failure("disk", 80), Failure("host_oom", 1), Failure("cuda_oom", 77)
_TABLE = (
    ("core.attempt", "Preempted", Failure("preempted", 75, quiet=True)),
    ("torch", "OutOfMemoryError", CUDA_OOM),
    ("worker.arithmetic", "CannotHonour", Failure("plan", 78)),
    ("worker.gpu", "GpuBusy", Failure("gpu_busy", 1)),
    ("worker.secrets", "SecretsRefused", Failure("data", 1)),
    ("core.training.checkpoint", "MachineMismatch", Failure("plan", 78)),
    ("worker.failures", "DiskFloor", DISK),
    ("core.training.checkpoint", "NoValidCheckpoint", Failure("checkpoints", 81)),
    ("core.tripwires", "Tripwire", Failure("tripwire", 82)),
    ("core.model.load", "DataError", Failure("data", 1)),
    ("core.sandbox.pool", "GraderFault", Failure("grader", 83)),
    ("builtins", "MemoryError", HOST_OOM),
)
_BY_ERRNO = {errno.ENOSPC: DISK, errno.EDQUOT: DISK, errno.ENOMEM: HOST_OOM}
_BY_WORDS = (
    ("No space left", DISK),  # safetensors has an exception of its own for it
    ("CUDA error: out of memory", CUDA_OOM),  # outside torch's allocator: a context, a library's workspace
    ("CUBLAS_STATUS_ALLOC_FAILED", CUDA_OOM),
    ("DefaultCPUAllocator: can't allocate memory", HOST_OOM),
)


def sentence(error: BaseException, failure: Failure, run: RunDir) -> str:
    """What error.json says: what is wrong, with the figures, and the way out."""
    said = str(error) or type(error).__name__
    if failure is DISK:
        return said if isinstance(error, DiskFloor) else f"{said}; {disk_in_words(run, planned_floor_gb(run))}"
    if failure is HOST_OOM:
        return host_oom_in_words(said)
    if failure is CUDA_OOM:
        return cuda_oom_in_words(said, *_cuda_memory())
    return said


def require_disk(run: RunDir, floor_gb: float) -> None:
    """Raises DiskFloor where the run's disk has less free than the plan's floor."""
    if shutil.disk_usage(run.path).free / 1e9 < floor_gb:
        raise DiskFloor(disk_in_words(run, floor_gb))


def planned_floor_gb(run: RunDir) -> float | None:
    spec = durable.read_json(run.spec_path)
    return spec["config"].get("disk_floor_gb") if isinstance(spec, dict) and "config" in spec else None


def disk_in_words(run: RunDir, floor_gb: float | None) -> str:
    free = shutil.disk_usage(run.path).free / 1e9
    return f"{free:.3f} GB free under {run.path}, the plan's floor is {floor_gb} GB; make room and resume"


def host_oom_in_words(said: str) -> str:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    limit = (host_memory.oom_kills() or {}).get("limit_bytes")
    held = f", its cgroup may hold {limit / 1e9:.2f} GB" if limit else ""
    return (
        f"out of host memory ({said}): this process peaked at {peak:.2f} GB{held}; free some or run fewer slots, or "
        f"plan anew with a smaller batch, micro_batch, decode_rows or grade_workers: {NEVER_SILENTLY}"
    )


def cuda_oom_in_words(said: str, peak: float | None, free: float | None, total: float | None) -> str:
    """Bytes, or None where CUDA did not answer."""
    figures = [f"{name} {value / 1e9:.2f} GB" for name, value in _named(peak, free, total) if value is not None]
    return (
        f"out of GPU memory: {', '.join(figures) or 'CUDA gives no figures'} ({said}); "
        "plan anew with a smaller micro_batch or decode_rows (the same batch in smaller parts), then batch or max_new, "
        f"or take a larger GPU: {NEVER_SILENTLY}"
    )


def _named(peak: float | None, free: float | None, total: float | None) -> tuple[tuple[str, float | None], ...]:
    return ("peak of this run", peak), ("free now", free), ("the GPU's own", total)


def _cuda_memory() -> tuple[float | None, float | None, float | None]:
    """Peak allocated, free and total; asked of a device that may have lost its mind."""
    torch: Any = sys.modules.get("torch")
    try:
        return (torch.cuda.max_memory_allocated(), *torch.cuda.mem_get_info())
    except Exception:
        return None, None, None
