"""The processes of a visit: started one after another, watched from one that holds no card, and killed when they hang.

Phases share a process, so that the model is loaded once. Where one dies the phases after it get a new process.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from bench.gpu.phase import Phase

START_S = 60.0  # that a process may take until torch is there
GRACE_S = 5.0  # beyond a budget, before the process is killed

Line = dict[str, Any]  # what a phase leaves
Command = Callable[[Sequence[Phase], float], list[str]]  # (phases, seconds that are left for all) -> argv


def visited(phases: Sequence[Phase], command: Command, folder: Path, total_s: float) -> Iterator[Line]:
    """One line a phase, in order."""
    end = time.monotonic() + total_s
    for group in _groups(phases):
        while group:
            for found in _lines_of(group, command, folder, end):
                yield found
                group = group[1:]


def _groups(phases: Sequence[Phase]) -> list[list[Phase]]:
    """Neighbours that may share a process."""
    found: list[list[Phase]] = []
    for phase in phases:
        if not found or phase.alone or found[-1][-1].alone:
            found.append([])
        found[-1].append(phase)
    return found


def _lines_of(group: Sequence[Phase], command: Command, folder: Path, end: float) -> Iterator[Line]:
    """Of one process: up to the first phase that takes it along, and that one's."""
    with _started(command(group, max(0.0, end - time.monotonic())), folder) as (process, lines):
        waits = START_S
        for phase in group:
            began = time.monotonic()
            limit = max(0.0, min(phase.budget_s, end - began)) + GRACE_S + waits
            try:
                text = lines.get(timeout=limit)
            except queue.Empty:
                yield line(phase, False, f"killed: nothing was heard for {limit:.0f} s", limit, _stderr(folder))
                return
            if text is None:
                says = f"its process ended with exit code {process.wait()}"
                yield line(phase, False, says, time.monotonic() - began, _stderr(folder))
                return
            yield json.loads(text)
            waits = 0.0


@contextlib.contextmanager
def _started(argv: Sequence[str], folder: Path) -> Iterator[tuple[subprocess.Popen[str], queue.Queue[str | None]]]:
    """A process of its own session, which ends with all of its children; and its lines."""
    with (folder / "stderr").open("w") as errors:
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True)
    assert process.stdout is not None
    try:
        yield process, _read(process.stdout)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _read(stream: TextIO) -> queue.Queue[str | None]:
    """Lines of JSON as they come; None: there will be no more."""
    found: queue.Queue[str | None] = queue.Queue()

    def pump() -> None:
        for text in stream:
            if text.startswith("{"):  # libraries print other things
                found.put(text)
        found.put(None)

    threading.Thread(target=pump, daemon=True).start()
    return found


def _stderr(folder: Path) -> dict[str, str]:
    return {"stderr": (folder / "stderr").read_text(errors="replace")[-1500:]}


def line(phase: Phase, passed: bool | None, says: str, seconds: float, figures: dict[str, Any]) -> Line:
    return {
        "phase": phase.name,
        "passed": passed,
        "seconds": round(seconds, 2),
        "budget_s": phase.budget_s,
        "passes_if": phase.passes_if,
        "says": says,
        "figures": figures,
    }
