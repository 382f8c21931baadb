"""What the kernel's out-of-memory killer did in a process's cgroup: it ends a worker without a word, and counts.

The worker leaves `oom_kills()` in its heartbeat, anew with every beat: whoever beats afterwards was not the one killed.
After a silent death `killed_since(beat["oom"])` compares the counter. It speaks of the cgroup, not of one process: it
also rises where a neighbour in the same cgroup was killed between this worker's last beat and its own, other end.

Version 2: memory.events, which includes the cgroups below. Version 1: memory.oom_control. Standard library only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

COUNTERS = ("memory.events", "memory.oom_control")
LIMITS = ("memory.max", "memory.limit_in_bytes")
UNLIMITED_BYTES = 1 << 60  # version 1 says "none" by a number near 2**63


def oom_kills() -> dict[str, Any] | None:
    """Of this process's cgroup: {"path": of the counter's file, "count", "limit_bytes" | None, "boot_id"}.

    None where there is no such counter: no memory controller, a kernel before 4.13, the root of version 2.
    """
    for folder in _memory_cgroups(Path("/proc/self/cgroup").read_text(), Path("/proc/self/mountinfo").read_text()):
        for name in COUNTERS:
            count = count_at(folder / name)
            if count is not None:
                path = str(folder / name)
                return {"path": path, "count": count, "limit_bytes": _limit(folder), "boot_id": _boot_id()}
    return None


def count_at(path: str | Path) -> int | None:
    """Kills so far, of a counter's file; None where it is gone or counts none."""
    try:
        fields = dict(line.split() for line in Path(path).read_text().splitlines())
        return int(fields["oom_kill"])
    except (OSError, ValueError, KeyError):
        return None


def killed_since(record: dict[str, Any] | None) -> bool | None:
    """Whether the killer struck in the cgroup of a record of `oom_kills` after it was made.

    None: it cannot be told, for want of a record, after a reboot, on another host, or where the cgroup is gone.
    """
    now = _count_now(record)
    return None if now is None or record is None else now > record["count"]


def in_words(record: dict[str, Any]) -> str:
    """The sentence for error.json, where `killed_since` is true."""
    limit = record.get("limit_bytes")
    held = f", which may hold {limit / 1e9:.1f} GB" if limit else ""
    return (
        f"the kernel's out-of-memory killer struck in this worker's cgroup{held}, after its last beat: "
        f"{record['count']} -> {_count_now(record)} kills ({record['path']}); give the cgroup more memory or run fewer "
        "slots, or plan anew with a smaller batch, decode_rows or grade_workers"
    )


def _count_now(record: dict[str, Any] | None) -> int | None:
    """None too where the counter fell: another cgroup has taken the name."""
    if not record or record.get("boot_id") != _boot_id():
        return None
    now = count_at(record["path"])
    return None if now is None or now < record["count"] else now


def _memory_cgroups(memberships: str, mountinfo: str) -> list[Path]:
    """Where a counter of this process may be, best first. In version 2 a cgroup without a memory controller of its own
    is counted in the nearest one above that has it."""
    mounts = [_mount(line) for line in mountinfo.splitlines()]
    found = []
    for kind, controller in (("cgroup2", ""), ("cgroup", "memory")):
        paths = [p for _, c, p in (m.split(":", 2) for m in memberships.splitlines()) if controller in c.split(",")]
        for root, point, found_kind, options in mounts:
            if paths and found_kind == kind and (not controller or controller in options):
                own = point / _below(root, paths[0])
                above = [p for p in own.parents if p.is_relative_to(point)] if kind == "cgroup2" else []
                found += [own, *above]
    return found


def _mount(line: str) -> tuple[str, Path, str, list[str]]:
    """Root, mount point, file system and options of a line of mountinfo (proc(5))."""
    left, _, right = line.partition(" - ")
    kind, _, options = right.split(" ", 2)
    return left.split()[3], Path(left.split()[4]), kind, options.split(",")


def _below(root: str, path: str) -> str:
    """A container may see its own cgroup as the mount's root, and be told the host's path to it."""
    if path == root:
        return ""
    return path.removeprefix(root.rstrip("/") + "/").lstrip("/")


def _limit(folder: Path) -> int | None:
    for name in LIMITS:
        try:
            limit = int((folder / name).read_text())
        except (OSError, ValueError):  # "max"
            continue
        return limit if limit < UNLIMITED_BYTES else None
    return None


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
