"""Prompts and completions of given lengths, drawn from the whole vocabulary."""

from __future__ import annotations

import random

from bench.gpu.phase import Visit


def prompts(visit: Visit, count: int, length: int) -> list[list[int]]:
    rng = random.Random(f"prompts {count} {length}")
    return [_tokens(visit, rng, length) for _ in range(count)]


def completions(visit: Visit, rows: int) -> list[list[int]]:
    """Those of the first group as long as may be; the others so long that the mean is about `mean_new`."""
    s, rng = visit.sizes, random.Random(f"completions {rows}")
    longest = min(s.members, rows)
    usual = max(1, (rows * s.mean_new - longest * s.max_new) // max(1, rows - longest))
    return [_tokens(visit, rng, s.max_new if row < longest else usual) for row in range(rows)]


def _tokens(visit: Visit, rng: random.Random, length: int) -> list[int]:
    return [rng.randrange(visit.sizes.model["vocab_size"]) for _ in range(length)]
