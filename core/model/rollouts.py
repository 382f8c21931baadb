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
    try:
        return _decoded(decoder, prompts, draws, temperature, top_p, end_ids, device, tick)
    finally:  # also where it is stopped: the cache would lie beside the next one, or beside training
        decoder.release()


def _decoded(
    decoder: Decoder,
    prompts: Sequence[Sequence[int]],
    draws: Tensor,
    temperature: float,
    top_p: float,
    end_ids: frozenset[int],
    device: str,
    tick: Callable[[], None],
) -> list[list[int]]:
    """`sample`'s. The host waits for the device once a token: each wait leaves the device without work."""
    rows, max_new = draws.shape
    prompt_ids, prompt_mask = _left_padded(prompts, device)
    group = torch.arange(len(prompts), device=device).repeat_interleave(rows // len(prompts))
    ends = torch.tensor(sorted(end_ids), device=device)

    finished = torch.full((rows, max_new), -1, device=device)
    places = torch.arange(rows, device=device)  # in `finished`, of the rows that are still in the decoder
    tokens, draws = finished.clone(), draws.to(device)  # of these rows
    running = torch.ones(rows, dtype=torch.bool, device=device)  # of these, the unfinished
    logits = decoder.prefill(prompt_ids, prompt_mask, group, max_new)
    if not bool(torch.isfinite(logits).all()):
        raise diverged()
    for position in range(max_new):
        tick()
        probabilities = torch.softmax(logits.float() / temperature, -1)
        drawn, is_short = likely_draw(probabilities, draws[:, position], top_p)
        unfinished = running & ~torch.isin(drawn, ends)
        short, count = torch.stack([(is_short & running).sum(), unfinished.sum()]).tolist()
        if short:
            drawn = with_full_draws(drawn, is_short & running, probabilities, draws[:, position], top_p)
            unfinished = running & ~torch.isin(drawn, ends)
            count = int(unfinished.sum())
        tokens[:, position] = torch.where(running, drawn, -1)
        running = unfinished
        if count == 0 or position == max_new - 1:
            break
        if count <= 0.75 * len(running):  # moving the cache costs about a step
            kept = running.nonzero()[:, 0]
            decoder.keep(kept)
            finished[places] = tokens
            places, tokens, draws, drawn, running = (x[kept] for x in (places, tokens, draws, drawn, running))
        logits = decoder.step(drawn)
    finished[places] = tokens
    return [[t for t in row if t >= 0] for row in finished.tolist()]


def _left_padded(prompts: Sequence[Sequence[int]], device: str) -> tuple[Tensor, Tensor]:
    """(P, L) tokens, and which of them are the prompt's."""
    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(p)) + list(p) for p in prompts], device=device)
    lengths = torch.tensor([len(p) for p in prompts], device=device)
    return ids, torch.arange(width, device=device) >= width - lengths[:, None]


def likely_draw(probabilities: Tensor, draws: Tensor, top_p: float) -> tuple[Tensor, Tensor]:
    """(N, V), (N,) uniforms -> (N,) tokens from the smallest set of likeliest tokens that holds top_p, and (N,) bool:
    where NUCLEUS_WIDTH of them do not hold it, and the token is no draw from the nucleus."""
    width = min(NUCLEUS_WIDTH, probabilities.shape[1])
    top, order = probabilities.topk(width)
    is_short = top.sum(-1) < top_p if width < probabilities.shape[1] else torch.zeros_like(draws, dtype=torch.bool)
    return _drawn(top, order, draws, top_p), is_short


def with_full_draws(drawn: Tensor, is_short: Tensor, probabilities: Tensor, draws: Tensor, top_p: float) -> Tensor:
    """Rows `is_short` drawn from all tokens: a few rows are sorted, never all of them for the sake of one."""
    rows = is_short.nonzero()[:, 0]
    top, order = probabilities[rows].sort(descending=True, stable=True)
    return drawn.index_put((rows,), _drawn(top, order, draws[rows], top_p))


def _drawn(top: Tensor, order: Tensor, draws: Tensor, top_p: float) -> Tensor:
    """(N, W) probabilities in falling order and their tokens -> (N,) tokens of the nucleus by inverse distribution."""
    cumulative = exact_cumsum(top)
    inside = cumulative - top < top_p  # the first token is always inside
    mass = (top * inside).sum(-1, keepdim=True)
    place = torch.searchsorted(cumulative, draws[:, None] * mass, right=True)
    last = inside.sum(-1, keepdim=True) - 1
    return order.gather(1, torch.minimum(place, last))[:, 0]


def exact_cumsum(probabilities: Tensor) -> Tensor:
    """Running sums of integers, in units of 2^-52: those of floats depend on a GPU's order, and torch refuses them."""
    return ((probabilities.double() * 2**52).long().cumsum(-1).double() / 2**52).float()
