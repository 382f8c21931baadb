"""Hidden states of prompts with completions, at the layers and tokens that directions and scores are read from."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from core.model.logprobs import TokenBatch


def layer_band(layers: int, low: float, high: float) -> list[int]:
    """Layers, counted from 0, whose output lies in [low, high] of the depth; where none does, the one nearest above."""
    band = [i for i in range(layers) if low <= (i + 1) / layers <= high + 1e-9]
    return band or [min(layers, math.ceil(low * layers) or 1) - 1]


@contextlib.contextmanager
def _captured(model: Any, layers: Sequence[int]) -> Iterator[dict[int, Tensor]]:
    """The residual stream as each of these layers leaves it, filled by the next forward."""
    outputs: dict[int, Tensor] = {}

    def keep(i: int) -> Callable[..., None]:
        def hook(layer: Any, inputs: Any, output: Any) -> None:
            outputs[i] = output[0] if isinstance(output, tuple) else output

        return hook

    handles = [model.model.layers[i].register_forward_hook(keep(i)) for i in layers]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def run(model: Any, batch: TokenBatch) -> None:
    """A forward of whole sequences, prompt and completion in one row, for hooks to look at."""
    ids = torch.cat([batch.prompt_ids[batch.group], batch.completion_ids], 1)
    mask = torch.cat([batch.prompt_mask[batch.group], batch.completion_mask], 1)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    model.model(input_ids=ids, attention_mask=mask.long(), position_ids=positions, use_cache=False)


def completion_weights(batch: TokenBatch) -> Tensor:
    """(N, Lc) that make a sum over completion tokens their mean."""
    weights = batch.completion_mask.float()
    return weights / weights.sum(1, keepdim=True)


def pooled_states(model: Any, batch: TokenBatch, layers: Sequence[int], token: str) -> Tensor:
    """(N, layers, H) in float32, differentiable.

    token: rollout_last, the completion's last token (its end token, where it ended); response_mean, the mean over
    completion tokens; prompt_last, the same for all completions of a prompt.
    """
    width = batch.prompt_ids.shape[1]
    with _captured(model, layers) as outputs:
        run(model, batch)
    states = torch.stack([outputs[i].float() for i in layers], 1)  # (N, layers, T, H)
    if token == "response_mean":
        return torch.einsum("nlth,nt->nlh", states[:, :, width:], completion_weights(batch))
    last = torch.full_like(batch.group, width - 1)
    if token == "rollout_last":
        last = last + batch.completion_mask.sum(1)
    return states[torch.arange(len(last), device=last.device), :, last]
