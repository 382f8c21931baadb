"""Engines that can run a submission, behind four verbs. Adding one is a module and an entry here.

An engine is a disposable executor: what is to run stands in run directories, and whether a worker lives is asked of
its lease. An engine's word only tells what the files cannot: whether a submission still waits for its turn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from core.runs.run_dir import RunDir
from orchestrator.refusal import Refused
from orchestrator.store.home import Home


class Unreachable(RuntimeError):
    """The engine does not answer: nothing is known, so nothing is concluded."""


@dataclass(frozen=True)
class Order:
    """One run to be queued."""

    run: RunDir
    threads: int
    place: int = 0  # in its plan, from 0: earlier ones go first
    take_over: bool = False  # an older attempt, on a host out of reach, may still live


class Backend(Protocol):
    name: str

    def ensure(self, slots: int) -> None:
        """Its daemon is up and our group runs with so many slots. Raises Unreachable, with what to do about it."""

    def submit(self, order: Order) -> int:
        """Record the intent in the run directory, then hand it over; returns the submission's number.

        Raises Unreachable; the number is spent then, and the submission counts as lost.
        """

    def states(self, runs: list[RunDir]) -> dict[str, str]:
        """By run id, of each last submission: facts.WAITING, RUNNING, ENDED, UNKNOWN, or the engine's own word.

        UNKNOWN: it does not know the submission. Raises Unreachable.
        """

    def cancel(self, run: RunDir) -> None:
        """Take the last submission away if it waits, else ask its process to stop (SIGTERM). Raises Unreachable."""


def _local(home: Home) -> Backend:
    from orchestrator.backends.local import LocalQueue

    return LocalQueue(home)


def _pueue(home: Home) -> Backend:
    from orchestrator.backends.pueue import PueueQueue

    return PueueQueue(home)


BACKENDS: dict[str, Callable[[Home], Backend]] = {"local": _local, "pueue": _pueue}


def default_backend() -> str:
    """pueue where it is installed, else the embedded queue."""
    from orchestrator.backends.pueue_daemon import is_installed

    return "pueue" if is_installed() else "local"


def require_known(name: str) -> None:
    if name not in BACKENDS:
        raise Refused(f"unknown backend {name!r}; choose from {', '.join(BACKENDS)}")
