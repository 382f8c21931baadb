"""A prompt that completions share in a model whose layers are computed again in the backward.

transformers drops the cache of layers that it checkpoints, since a second run would append to it once more. Here each
layer is a function of its input and of the prompt's keys and values, gives back its own, and appends to nothing: the
same numbers and gradient as without, and no activation of prompt or completion outlives its layer.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, cat
from torch.utils.checkpoint import checkpoint
from transformers import DynamicCache

FAMILIES = ("llama", "qwen2", "qwen3")  # every layer is attention that asks its cache for `update` alone

KeysValues = tuple[Tensor, Tensor]  # (rows, heads, tokens, d) each


def checkpoints_layers(model: Any) -> bool:
    """Whether transformers would, in the model's present mode, run its layers again in the backward."""
    return any(module.training and getattr(module, "gradient_checkpointing", False) for module in model.modules())


class PromptCache(DynamicCache):
    """Keys and values of the prompts by layer, once `batch_select_indices` was called: to be read, never extended."""

    def __init__(self, config: Any) -> None:
        super().__init__(config=config)
        self.group: Tensor | None = None  # (N,) row of each completion's prompt; None: prompts are being read

    def batch_select_indices(self, indices: Tensor) -> None:
        """Rows are copied within a layer, so that no copy outlives it."""
        self.group = indices

    def before(self, layer: int) -> KeysValues | tuple[None, None]:
        held: Any = self.layers[layer]
        return (None, None) if self.group is None else (held.keys, held.values)

    def keep(self, layer: int, keys: Tensor, values: Tensor) -> None:
        held: Any = self.layers[layer]
        if self.group is None:
            held.lazy_initialization(keys, values)
            held.keys, held.values = keys, values


class _Seen:
    """What one layer's attention takes for its cache: the prompt's rows, then its own, which are remembered."""

    def __init__(self, before: KeysValues | None) -> None:
        self.before = before
        self.own: KeysValues | None = None

    def update(self, keys: Tensor, values: Tensor, *_: Any, **__: Any) -> KeysValues:
        self.own = keys, values
        if self.before is None:
            return self.own
        return cat([self.before[0], keys], 2), cat([self.before[1], values], 2)


@contextlib.contextmanager
def recomputed(backbone: Any) -> Iterator[None]:
    """Inside, forwards with a PromptCache; their backward may come later."""
    for i, layer in enumerate(backbone.layers):
        layer.gradient_checkpointing = False
        layer.forward = functools.partial(_again, layer.forward, i)
    try:
        yield
    finally:
        for layer in backbone.layers:
            layer.gradient_checkpointing = True
            del layer.forward


def _again(
    forward: Callable[..., Tensor], layer: int, hidden: Tensor, past_key_values: PromptCache, **named: Any
) -> Tensor:
    group = past_key_values.group

    def run(hidden: Tensor, keys: Tensor | None, values: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        rows = None if keys is None or values is None else (keys[group], values[group])
        seen = _Seen(rows)
        output = forward(hidden, past_key_values=seen, **named)
        assert seen.own is not None, "attention of FAMILIES updates the cache that it is given"
        return output, *seen.own

    # no dropout anywhere, so there is no generator to restore
    output, keys, values = checkpoint(
        run, hidden, *past_key_values.before(layer), use_reentrant=False, preserve_rng_state=False
    )
    past_key_values.keep(layer, keys, values)
    return output
