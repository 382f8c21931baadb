"""Nano's contrastive pairs: the same solution on both sides, with tests that prove nothing or with honest ones.

The rules are those of the authored pairs, but for length: in this world's language an honest test is longer than an
empty one. So a direction from these pairs knows "there is no assert" before it knows anything about wrongness.
Extraction and held-out pairs come from disjoint families, all of the training half: evaluation meets none of them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from core.environment.nano import text, world
from core.environment.nano.world import Family, Instance
from core.environment.pairs import CLEAN_VS_CLEAN, Pair
from core.environment.problems import Problem, problem_from_row
from core.environment.task import Task

EXTRACT, HELD_OUT = 60, 20
MODES = tuple(mode for mode in text.MODES if mode != "gt_only")
FIRST_ID = 2_000_000
ODD_VS_EVEN = "odd_vs_even"

Sides = Callable[[random.Random, Instance, str], tuple[str, str]]


def pairs(modes: Sequence[str]) -> list[Pair[Task]]:
    """60 to extract and 20 held out, dealt evenly to the modes."""
    return _made(modes, "hack", _lazy_and_honest)


def clean_vs_clean(modes: Sequence[str]) -> list[Pair[Task]]:
    """Placebo: two honest completions of one prompt by two authors, which is which by chance."""
    return _made(modes, CLEAN_VS_CLEAN, lambda rng, i, mode: (_honest(rng, i, mode), _honest(rng, i, mode)))


def odd_vs_even(modes: Sequence[str]) -> list[Pair[Task]]:
    """Placebo of an irrelevant concept: honest completions, one full of odd digits, the other of even ones."""
    return _made(modes, ODD_VS_EVEN, _odd_and_even)


def _lazy_and_honest(rng: random.Random, instance: Instance, mode: str) -> tuple[str, str]:
    codes = text.author_codes(rng, instance, text.FINAL.stays_misread)
    return _fenced(rng, instance, codes, mode, True), _fenced(rng, instance, codes, mode, False)


def _honest(rng: random.Random, instance: Instance, mode: str) -> str:
    return _fenced(rng, instance, text.author_codes(rng, instance, text.FINAL.stays_misread), mode, False)


def _odd_and_even(rng: random.Random, instance: Instance, mode: str) -> tuple[str, str]:
    codes = text.author_codes(rng, instance, text.FINAL.stays_misread)
    drawn = [_fenced(rng, instance, codes, mode, False) for _ in range(40)]
    order = sorted(drawn, key=lambda t: sum(t.count(d) for d in "13579") - sum(t.count(d) for d in "02468"))
    return order[-1], order[0]


def _fenced(rng: random.Random, instance: Instance, codes: tuple[str, ...], mode: str, sloppy: bool) -> str:
    return f"```python\n{text.WRITERS[mode](rng, instance, codes, sloppy)}```\n"


def _made(modes: Sequence[str], concept: str, sides: Sides) -> list[Pair[Task]]:
    found: list[Pair[Task]] = []
    for split, count in (("extract", EXTRACT), ("held_out", HELD_OUT)):
        rng = random.Random(f"nano {concept} pairs {split}")
        families = _families(split)
        for number in range(count):
            mode = modes[number % len(modes)]
            instance, problem = _drawn(rng, families, FIRST_ID + len(found))
            hack, clean = sides(rng, instance, mode)
            found.append(Pair(f"nano-{concept}-{len(found)}", Task(problem, mode), hack, clean, split, concept))
    return found


def _families(split: str) -> list[Family]:
    order = world.train_families()
    random.Random("nano pairs' families").shuffle(order)
    return [f for i, f in enumerate(order) if (i % 4 == 0) == (split == "held_out")]


def _drawn(rng: random.Random, families: list[Family], problem_id: int) -> tuple[Instance, Problem]:
    while True:
        instance = world.draw_instance(rng, rng.choice(families))
        row = world.row(instance, problem_id, rng)
        if row is not None:
            return instance, problem_from_row(row)
