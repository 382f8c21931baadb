"""Processes of this machine that belong to a home, found by their command lines. Reads /proc only."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.runs.run_dir import RunDir
from orchestrator.store.home import Home


@dataclass(frozen=True)
class WorkerProcess:
    pid: int
    run: RunDir
    attempt: int | None  # as its command line names it


def workers(home: Home) -> Iterator[WorkerProcess]:
    """`python -m worker RUN_DIR ...` of this home, whether they have claimed anything or not."""
    for pid, words in _command_lines():
        if "worker" not in words or "-m" not in words:
            continue
        paths = [Path(word) for word in words if word.startswith(str(home.runs) + "/")]
        if paths and words[words.index("-m") + 1] == "worker":
            number = words[words.index("--attempt") + 1] if "--attempt" in words[:-1] else ""
            yield WorkerProcess(pid, RunDir(paths[0]), int(number) if number.isdigit() else None)


def watch_pid(home: Home) -> int | None:
    """The watch of this very home."""
    for pid, words in _command_lines():
        if "watch" in words and "--home" in words and words[words.index("--home") + 1] == str(home.path):
            return pid
    return None


def pueued_pid(home: Home) -> int | None:
    """The home's own daemon."""
    for pid, words in _command_lines():
        if words[0].endswith("pueued") and str(home.path / "pueue" / "pueue.yml") in words:
            return pid
    return None


def _command_lines() -> Iterator[tuple[int, list[str]]]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().decode(errors="replace").rstrip("\0").split("\0")
            yield int(path.parent.name), words
