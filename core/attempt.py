"""What the work on a run needs of the process around it, and how it ends early."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.run_dir import RunDir
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


def stopping_tick(attempt: Attempt) -> Callable[[], None]:
    """A tick that also ends the work where that is wanted: a unit can take longer than a preemption's notice."""
    asked = time.monotonic()

    def tick() -> None:
        nonlocal asked
        attempt.tick()
        if time.monotonic() - asked >= STOP_CHECK_S:
            asked = time.monotonic()
            attempt.stop_if_asked()

    return tick
