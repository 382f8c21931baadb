"""Memory that judged code may take, beside what the runs themselves do."""

from __future__ import annotations

import os
from collections.abc import Iterable

from core.runs import host_memory
from core.sandbox.pool import MEMORY_LIMIT_BYTES
from core.spec import TrainConfig


def sentence(slots: int, configs: Iterable[TrainConfig]) -> str:
    """What the children of `slots` runs at a time may hold together, and whether this machine has it."""
    workers = max(config.grade_workers for config in configs)
    wanted = slots * workers * MEMORY_LIMIT_BYTES
    told = f"judged code: {slots} x {workers} children of {MEMORY_LIMIT_BYTES >> 30} GiB at most, {wanted >> 30} GiB"
    if wanted <= machine_bytes():
        return told
    return (
        f"{told}, more than the {machine_bytes() / (1 << 30):.1f} GiB that this machine has: where they take it, the "
        "kernel ends children, and their checks are judged again; plan with fewer slots or a smaller grade_workers"
    )


def is_too_much(slots: int, configs: Iterable[TrainConfig]) -> bool:
    return slots * max(config.grade_workers for config in configs) * MEMORY_LIMIT_BYTES > machine_bytes()


def machine_bytes() -> int:
    """Of this process's cgroup, else of the machine."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(physical, (host_memory.oom_kills() or {}).get("limit_bytes") or physical)
