"""How a run can end badly: the error's class, which decides about retries, and the process's exit code."""

from __future__ import annotations

import errno
import sys
from dataclasses import dataclass


class DiskFloor(RuntimeError):
    """Less free space than the plan's floor."""


@dataclass(frozen=True)
class Failure:
    error_class: str
    exit_code: int
    quiet: bool = False  # the checkpoint is saved and nothing is wrong


def classify(error: BaseException) -> Failure:
    """By type, and for out of memory by torch's own word; modules that were never imported raised nothing."""
    for module, name, failure in _TABLE:
        kind = getattr(sys.modules.get(module), name, None)
        if kind is not None and isinstance(error, kind):
            return failure
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Failure("disk", 80)
    if "No space left" in str(error):  # safetensors has an exception of its own for it
        return Failure("disk", 80)
    return Failure("code", 1)


_TABLE = (
    ("core.attempt", "Preempted", Failure("preempted", 75, quiet=True)),
    ("torch", "OutOfMemoryError", Failure("cuda_oom", 77)),
    ("worker.arithmetic", "CannotHonour", Failure("plan", 78)),
    ("core.checkpoint", "MachineMismatch", Failure("plan", 78)),
    ("worker.failures", "DiskFloor", Failure("disk", 80)),
    ("core.checkpoint", "NoValidCheckpoint", Failure("checkpoints", 81)),
    ("core.metrics", "Tripwire", Failure("tripwire", 82)),
    ("core.models", "DataError", Failure("data", 1)),
    ("builtins", "MemoryError", Failure("host_oom", 1)),
)
