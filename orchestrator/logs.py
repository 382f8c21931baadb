"""`grpoq logs`: what every attempt wrote, one after the other, with a seam line between."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from core.run_dir import RunDir

POLL_S = 0.3


def log_files(run: RunDir) -> list[tuple[str, Path]]:
    """(seam, file) in order: per submission what the engine saw of it, then what its worker wrote."""
    numbers = sorted({s.number for s in run.submissions()} | set(run.attempts()))
    found = []
    for number in numbers:
        found.append((f"submission {number}, output of the process", run.launch_log(number)))
        found.append((f"attempt {number}", run.attempt(number) / "worker.log"))
    return [(seam, path) for seam, path in found if path.is_file()]


def read_logs(run: RunDir, follow: bool, ended: Callable[[], bool]) -> Iterator[str]:
    """Chunks of text. With `follow`, until `ended()` says that nothing more will come."""
    offsets: dict[Path, int] = {}
    last: Path | None = None
    while True:
        over = not follow or ended()  # asked before reading, so that the last lines are read after the end
        for seam, path in log_files(run):
            with path.open("rb") as handle:
                handle.seek(offsets.get(path, 0))
                new = handle.read()
            if not new or _only_header(path, new, offsets):
                continue
            if path != last:
                yield f"--- {run.run_id}, {seam} ---\n"
                last = path
            offsets[path] = offsets.get(path, 0) + len(new)
            yield new.decode(errors="replace")
        if over:
            return
        time.sleep(POLL_S)


def _only_header(path: Path, new: bytes, offsets: dict[Path, int]) -> bool:
    """A launch log with nothing but our own first line says nothing."""
    return path not in offsets and path.name.startswith("launch-") and new.count(b"\n") <= 1
