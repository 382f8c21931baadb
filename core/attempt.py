"""What the work on a run needs of the process around it, and how it ends early."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from core.runs.run_dir import RunDir
from core.spec import RunSpec

STOP_CHECK_S = 0.25  # a check reads files; a tick comes with every token


class Preempted(Exception):
    """Somebody wants this process to end, and what is worth keeping is kept. Worker exit code 75."""


@dataclass(frozen=True)
class Attempt:
    run: RunDir
    spec: RunSpec
    number: int
    machine: dict[str, str]
    beat: Callable[[int, str], None]  # (last finished step, phase); kinds without steps say step 0
    tick: Callable[[], None]  # within a phase: still at it
    wants_stop: Callable[[], bool]
    require_disk: Callable[[], None]  # raises below the plan's floor

    @property
    def folder(self) -> Path:
        return self.run.attempt(self.number)

    def stop_if_asked(self) -> None:
        """Raises Preempted. For work that changes nothing between two units, wherever it stands."""
        if self.wants_stop():
            raise Preempted("stopped; finished units of work are kept, the one under way begins anew")


class Notice:
    """A tick that also ends the work where that is wanted and where it may end: a step of a large model takes longer
    than a preempted box is given."""

    def __init__(self, attempt: Attempt, everywhere: bool = False) -> None:
        self._attempt, self._open, self._asked = attempt, everywhere, time.monotonic()

    def tick(self) -> None:
        self._attempt.tick()
        if self._open and time.monotonic() - self._asked >= STOP_CHECK_S:
            self._asked = time.monotonic()
            self._attempt.stop_if_asked()

    @contextlib.contextmanager
    def may_stop(self) -> Iterator[None]:
        """Within: nothing is changed that would have to be put back."""
        self._open = True
        try:
            yield
        finally:
            self._open = False


def stopping_tick(attempt: Attempt) -> Callable[[], None]:
    """For work that changes nothing between two units, wherever it stands."""
    return Notice(attempt, everywhere=True).tick
