"""Which problems a step asks: functions of seed and step, so that a resumed run has nothing to restore."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def drawn(items: Sequence[T], number: int, order: str, seed: int, step: int) -> list[T]:
    """`number` of the items for step 1, 2, ...: a draw of the step's own, or the next ones of the epoch."""
    if order == "draws":
        return random.Random(f"tasks {seed} {step}").sample(items, number)
    per_epoch = len(items) // number  # as verl: the rest of an epoch that fills no step is dropped
    epoch, place = divmod(step - 1, per_epoch)
    shuffled = random.Random(f"epoch {seed} {epoch}").sample(items, len(items))
    return shuffled[place * number : (place + 1) * number]
