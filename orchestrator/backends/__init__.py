"""Engines that can run a submission, behind four verbs. Adding one is a module and an entry here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from core.run_dir import RunDir
from orchestrator.home import Home
from orchestrator.refusal import Refused


class Unreachable(RuntimeError):
    """The engine does not answer: nothing is known, so nothing is concluded."""


class Backend(Protocol):
    name: str

    def ensure(self) -> None:
        """Its daemon is up and our group runs. Raises Unreachable."""

    def submit(self, run: RunDir) -> int:
        """Record the intent, hand it over; returns the submission's number. Raises Unreachable."""

    def states(self, runs: list[RunDir]) -> dict[str, str]:
        """By run id, of each last submission: facts.WAITING, RUNNING, ENDED, UNKNOWN, or the engine's own word.

        Raises Unreachable.
        """

    def cancel(self, run: RunDir) -> None:
        """Take the waiting submission away; a living worker is stopped by whoever reconciles."""


def _local(home: Home) -> Backend:
    from orchestrator.backends.local import LocalQueue

    return LocalQueue(home)


BACKENDS: dict[str, Callable[[Home], Backend]] = {"local": _local}
DEFAULT = "local"
LATER = ("pueue", "slurm")


def require_known(name: str) -> None:
    if name in LATER:
        raise Refused(f"backend {name!r} is not available in this version; choose from {', '.join(BACKENDS)}")
    if name not in BACKENDS:
        raise Refused(f"unknown backend {name!r}; choose from {', '.join(BACKENDS)}")
