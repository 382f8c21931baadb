"""`grpoq logs`: what every attempt wrote, one after the other, with a seam line between."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from core.runs.run_dir import RunDir

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
    """Chunks of whole lines. With `follow`, until `ended()` says that nothing more will come."""
    offsets: dict[Path, int] = {}
    last: Path | None = None
    while True:
        over = not follow or ended()  # asked before reading, so that the last lines are read after the end
        for seam, path in log_files(run):
            new = _news(run, path, offsets, to_the_end=over)
            if not new:
                continue
            if path != last:
                yield f"--- {run.run_id}, {seam} ---\n"
                last = path
            yield new
        if over:
            return
        time.sleep(POLL_S)


def _news(run: RunDir, path: Path, offsets: dict[Path, int], to_the_end: bool) -> str:
    with path.open("rb") as handle:
        handle.seek(offsets.get(path, 0))
        new = handle.read()
    if not to_the_end:
        new = new[: new.rfind(b"\n") + 1]  # a half line is read when it is whole
    offsets[path] = offsets.get(path, 0) + len(new)
    text = new.decode(errors="replace")
    return _only_here(run, path, text) if path.name.startswith("launch-") else text


def _only_here(run: RunDir, launch: Path, text: str) -> str:
    """A launch log's lines that worker.log has not: crashes before the claim, warnings of libraries.

    The worker writes each line to its own log first, and to what launched it afterwards.
    """
    try:
        own = set((run.attempt(int(launch.stem.removeprefix("launch-"))) / "worker.log").read_text().splitlines())
    except (OSError, ValueError):
        own = set()
    lines = [line for line in text.splitlines() if line not in own and not line.startswith("# ")]
    return "\n".join(lines) + "\n" if lines else ""
