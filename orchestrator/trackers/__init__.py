"""Experiment trackers by name: TensorBoard, Weights & Biases, trackio, each through its own library.

A tracker is fed by `mirror` from the files of runs, in a process of its own: one that hangs or dies touches no run.
It stands for the files, never beside them: whatever it shows of a run can be thrown away and made again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from orchestrator.refusal import Refused
from orchestrator.store.home import Home
from orchestrator.store.plan_dir import PlanDir


@dataclass(frozen=True)
class Card:
    """What a tracker is told of a run beside its curve."""

    run_id: str
    name: str  # LABEL-sSEED
    label: str
    plan_id: str
    why: str
    config: Mapping[str, Any]  # every field of the run's config; plan, plan_hash, arm, label, seed, why, resolve


class TrackerError(RuntimeError):
    """The library did not do what it was asked, and said so in no other way."""


class Tracker(Protocol):
    """One library, writing into one directory. Several runs may be open at a time."""

    @property
    def rewinds(self) -> bool:
        """Whether a run can be begun anew; where not, what was logged stays."""

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """What its library raises when something is wrong with the world."""

    def holds(self, card: Card) -> bool:
        """Whether what `end` left of the run is still there."""

    def begin(self, card: Card) -> int:
        """Open the run with an empty curve, whatever it had; where it cannot be rewound, with what it has. Returns the
        first step that it takes."""

    def log(self, run_id: str, step: int, values: Mapping[str, float]) -> None:
        """All of a step at once; steps ascend."""

    def flush(self, run_id: str) -> None:
        """Show what was logged to whoever looks now, as far as the library does that."""

    def end(self, run_id: str, failed: bool = False) -> None:
        """Close the run. Returns when all of it is on disk."""

    def view(self, plan_id: str) -> str:
        """The command to look at it with."""


@dataclass(frozen=True)
class Entry:
    open: Callable[[Path], Tracker]  # into this directory
    require: Callable[[], Any] = lambda: None  # raises Refused where the environment asks for what cannot be


def _named(module: str, name: str) -> Callable[..., Any]:
    """What a module of this package holds, imported when it is called: its library is slow to load, or missing."""
    return lambda *arguments: getattr(import_module(f"{__name__}.{module}"), name)(*arguments)


# By the name of the library, which is also its distribution's and that of grpoq's extra.
TRACKERS: dict[str, Entry] = {
    "tensorboard": Entry(_named("tensorboard", "TensorBoard")),
    "wandb": Entry(_named("wandb", "WandB"), _named("wandb", "wanted_mode")),
    "trackio": Entry(_named("trackio", "Trackio")),
}


def require(name: str) -> None:
    """Raises Refused where there is no such tracker, its library is missing, or the environment forbids it."""
    if name not in TRACKERS:
        raise Refused(f"unknown tracker {name!r}; choose from {', '.join(TRACKERS)}")
    if find_spec(name) is None:
        raise Refused(f"tracker {name}: its library is not installed; pip install 'grpoq[{name}]'")
    TRACKERS[name].require()


def named(names: str | None) -> list[str]:
    """Of a comma-separated list; each can be had. Raises Refused."""
    found = list(dict.fromkeys(name.strip() for name in names.split(","))) if names is not None else []
    for name in found:
        require(name)
    return found


def start_followers(home: Home, plan: PlanDir, names: Sequence[str]) -> Iterator[str]:
    """A detached mirror for each, and a line about it."""
    for name in names:
        from orchestrator.trackers import follow

        follow.start_detached(home, plan, name)
        yield f"mirrored into {name}: {follow.place(home, name, None)}"
