"""From prompts to completions: one decode loop, seeded so that a resumed run draws what the unbroken one drew.

Every completion's uniform numbers are drawn before decoding, from (seed, step, group), and turned into tokens by the
inverse of the nucleus' cumulative distribution. So the draws do not depend on how rows are batched or dropped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from core.model.decoder import Decoder
from core.tripwires import diverged

NUCLEUS_WIDTH = 64  # candidates looked at first; all only where these do not hold top_p


def generator(*key: object) -> torch.Generator:
    """A CPU generator seeded by SHA-256 of its key, e.g. (seed, step, group)."""
    text = "/".join(map(str, key))
    return torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1)


def uniforms(key: Sequence[object], groups: int, members: int, length: int) -> Tensor:
    """(groups * members, length) uniforms; group g's depend on (*key, g) alone."""
    return torch.cat([torch.rand(members, length, generator=generator(*key, g)) for g in range(groups)])


@torch.no_grad()
def sample(
    decoder: Decoder,
    prompts: Sequence[Sequence[int]],
    draws: Tensor,
    temperature: float,
    top_p: float,
    end_ids: frozenset[int],
    device: str = "cpu",
    tick: Callable[[], None] = lambda: None,
) -> list[list[int]]:
    """Complete each prompt `len(draws) / len(prompts)` times, at most `draws.shape[1]` tokens each.

    Returns token lists in order of prompt, then member; one that ended holds its end token. `tick` is called before
    every token, so that a slow decode is not taken for a hung one.
    """
    rows, max_new = draws.shape
    members = rows // len(prompts)
    width = max(map(len, prompts))
    prompt_ids = torch.tensor([[0] * (width - len(p)) + list(p) for p in prompts], device=device)
    lengths = torch.tensor([len(p) for p in prompts], device=device)
    prompt_mask = torch.arange(width, device=device) >= width - lengths[:, None]
    group = torch.arange(len(prompts), device=device).repeat_interleave(members)
    ends = torch.tensor(sorted(end_ids), device=device)

    tokens = torch.full((rows, max_new), -1, device=device)
    draws = draws.to(device)
    alive = torch.arange(rows, device=device)  # rows still in the decoder
    running = torch.ones(rows, dtype=torch.bool, device=device)  # of these, the unfinished
    logits = decoder.prefill(prompt_ids, prompt_mask, group, max_new)
    if not bool(torch.isfinite(logits).all()):
        raise diverged()
    for position in range(max_new):
        tick()
        drawn = nucleus_draw(logits, draws[alive, position], temperature, top_p)
        tokens[alive[running], position] = drawn[running]
        running = running & ~torch.isin(drawn, ends)
        unfinished = int(running.sum())
        if unfinished == 0 or position == max_new - 1:
            break
        if unfinished <= 0.75 * len(running):  # moving the cache costs about a step
            kept = running.nonzero()[:, 0]
            decoder.keep(kept)
            alive, drawn, running = alive[kept], drawn[kept], running[kept]
        logits = decoder.step(drawn)
    return [[t for t in row if t >= 0] for row in tokens.tolist()]


def nucleus_draw(logits: Tensor, draws: Tensor, temperature: float, top_p: float) -> Tensor:
    """(N, V) logits, (N,) uniforms -> (N,) tokens from the smallest set of likeliest tokens that holds top_p."""
    probabilities = torch.softmax(logits.float() / temperature, -1)
    width = min(NUCLEUS_WIDTH, probabilities.shape[1])
    top, order = probabilities.topk(width)
    if width < probabilities.shape[1] and float(top.sum(-1).min()) < top_p:
        top, order = probabilities.sort(descending=True, stable=True)
    cumulative = top.cumsum(-1)
    inside = cumulative - top < top_p  # the first token is always inside
    mass = (top * inside).sum(-1, keepdim=True)
    place = torch.searchsorted(cumulative, draws[:, None] * mass, right=True)
    last = inside.sum(-1, keepdim=True) - 1
    return order.gather(1, torch.minimum(place, last))[:, 0]
