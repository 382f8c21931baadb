"""A phase of the visit to a GPU: what it is given, what it says, and how long it may take."""

from __future__ import annotations

import functools
import gc
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.gpu.sizes import FULL, TINY, Sizes
from core.spec import resolve_config
from worker import arithmetic


@dataclass
class Visit:
    """One process of the visit. What is costly to make is made once, for all of its phases."""

    device: str  # cuda | cpu
    tiny: bool
    folder: Path  # the model lies here, and runs are made here; a later process of the visit finds them
    deadline: float = 0.0  # of the present phase, on time.monotonic's clock
    kept: dict[str, Any] = field(default_factory=dict)

    @property
    def sizes(self) -> Sizes:
        return TINY if self.tiny else FULL

    @property
    def on_card(self) -> bool:
        return self.device == "cuda"

    def tidy(self) -> None:
        """What an earlier phase has left over is given back, so that it neither counts nor is in the way."""
        gc.collect()
        if self.on_card and "machine" in self.kept:
            _cuda().empty_cache()

    def left(self) -> float:
        """Seconds that the present phase still has."""
        return self.deadline - time.monotonic()

    def machine(self) -> dict[str, str]:
        """torch as a worker sets it, which a process can do once; the machine as checkpoints record it."""
        return self.once("machine", lambda: arithmetic.prepare_torch(resolve_config("smoke", self.of_the_machine)))

    def flags(self) -> list[str]:
        """Of the command, for another process of this visit."""
        return ["--device", self.device, *["--tiny"] * self.tiny, "--inside", str(self.folder)]

    @property
    def of_the_machine(self) -> dict[str, str]:
        """Config fields of every run here."""
        return {"device": self.device, "dtype": "bfloat16"}

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self.kept:
            self.kept[name] = make()
        return self.kept[name]


@dataclass(frozen=True)
class Finding:
    """`passed` None: not judged, since it says nothing here (times without a GPU)."""

    passed: bool | None
    says: str
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Phase:
    name: str
    budget_s: float
    passes_if: str
    work: Callable[[Visit], Finding]
    alone: bool = False  # needs a card that no process of ours holds


def judged(visit: Visit, passed: bool) -> bool | None:
    """For figures that mean something on a GPU only."""
    return passed if visit.on_card and not visit.tiny else None


@functools.cache
def _cuda() -> Any:
    import torch

    return torch.cuda


def settled(visit: Visit) -> float:
    """Now, in seconds, once the card has done all that it was given."""
    if visit.on_card:
        _cuda().synchronize()
    return time.perf_counter()
