"""SIGKILL at random instants of a real worker's own life: a share of the way to its first row, or of a later step.

What a share is worth in seconds is measured on the launch before, and rows are counted as they come, so an instant
falls into a worker's life on a busy machine as on an idle one. Nobody is signalled by a number alone: the process is
held (pidfd) before its command line is read.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

from core.runs.run_dir import RunDir
from orchestrator.backends.worker_process import worker_command
from support.real_run import HANGS_S

MOST_ROWS = 24  # that a launch makes before it dies


@dataclass(frozen=True)
class Instant:
    rows: int  # 0: on the way to the first
    share: float  # of that way, or of the step after that row; the next row ends it if it comes earlier


@dataclass
class Pace:
    """Of this machine, these minutes."""

    first_row_s: float  # from the launch
    row_s: float = 0.0


@dataclass
class Victim:
    run: RunDir
    due: list[Instant]
    pace: Pace
    deaths: list[str] = field(default_factory=list)
    number: int = 0  # of the launch that is watched, or that was killed last
    handle: int | None = None  # pidfd of its process
    launched: float = 0.0  # monotonic, as are the next two
    first_row: float = 0.0
    last_row: float = 0.0
    rows: int = 0

    def look(self) -> None:
        if self.handle is None:
            self._find()
            return
        self._count(_whole_lines(self.run.attempt(self.number) / "metrics.jsonl"))
        if self._has_come(self.due[0]):
            self._kill()

    def _find(self) -> None:
        number = self.run.newest_number()
        assert not self.run.has_result(), f"{self.run.run_id} is done before {self.due}"
        if number == self.number:
            return
        self.handle = _held(self.run, number)
        if self.handle is not None:
            self.number, self.rows, self.launched = number, 0, time.monotonic()

    def _count(self, rows: int) -> None:
        if rows == self.rows:
            return
        self.last_row = time.monotonic()
        if self.rows == 0:
            self.first_row = self.last_row
            self.pace.first_row_s = self.first_row - self.launched
        else:
            self.pace.row_s = (self.last_row - self.first_row) / (rows - 1)
        self.rows = rows

    def _has_come(self, instant: Instant) -> bool:
        since, way = (self.last_row, self.pace.row_s) if instant.rows else (self.launched, self.pace.first_row_s)
        there = self.rows == instant.rows and time.monotonic() - since >= instant.share * way
        return there or self.rows > instant.rows

    def _kill(self) -> None:
        assert self.handle is not None
        signal.pidfd_send_signal(self.handle, signal.SIGKILL)
        os.close(self.handle)
        self.handle = None
        ended = self.run.has_result() or self.run.has_ended(self.number)
        assert not ended, f"#{self.number} of {self.run.run_id} ended by itself before {self.due[0]}"
        beat = self.run.heartbeat(self.number) or {}
        where = f"{self.rows} rows, {beat.get('phase', 'claimed')}" if beat else "before its claim"
        self.deaths.append(f"#{self.number} {self.due.pop(0)}: {where}")


def kill_each(runs: list[RunDir], dice: random.Random, times: int, first_row_s: float) -> list[Victim]:
    """Every run `times` times, a launch each, by turns before its first row and after it: three deaths in a row
    without one would, as they should, end it."""
    pace = Pace(first_row_s)
    victims = [Victim(run, [_instant(dice, n) for n in range(times)], pace) for run in runs]
    deadline = time.monotonic() + HANGS_S
    while left := [victim for victim in victims if victim.due]:
        assert time.monotonic() < deadline, f"never launched again: {[v.run.run_id for v in left]}"
        for victim in left:
            victim.look()
        time.sleep(0.002)
    return victims


def _instant(dice: random.Random, place: int) -> Instant:
    return Instant(dice.randint(1, MOST_ROWS) if place % 2 else 0, dice.random())


def _held(run: RunDir, number: int) -> int | None:
    """A pidfd of the process that the embedded queue started for this submission; None: there is none."""
    engine_id = next((s.engine_id for s in run.submissions() if s.number == number), None)
    if engine_id is None:
        return None
    assert engine_id.startswith("pid:"), f"{engine_id!r} was given by another engine"
    pid = int(engine_id.split()[0].removeprefix("pid:"))
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return None
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        if words[1:-1] == worker_command(run, number)[1:]:
            return handle
    os.close(handle)
    return None


def _whole_lines(path: Path) -> int:
    try:
        return path.read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0
