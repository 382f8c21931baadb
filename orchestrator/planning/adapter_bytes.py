"""What each adapter adds to a forward and a backward, in bytes; the code that it counts is in core.model.adapters.

e is the bytes of a number of the weights. `e * I` a token is one tensor of the MLP's width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from core.spec import TrainConfig
from core.weights.shapes import Linear, Shape

WIDE = 4  # bytes of a float32, which adapters, gradients, moments and probabilities are in


@dataclass(frozen=True)
class AdapterBytes:
    trained: Callable[[Linear, TrainConfig], int]  # numbers of one projection
    frozen: Callable[[Linear, TrainConfig, int], int]  # bytes beside one projection
    kept: Callable[[Shape, TrainConfig, int], int]  # bytes a token and layer that the backward needs
    forward: Callable[[Shape, int], int]  # bytes a token at the height of a layer's forward
    backward: Callable[[Shape, int], int]  # bytes a token of gradients at the height of a layer's backward
    beside: Callable[[Shape, TrainConfig], int]  # numbers that the sampler keeps beside bfloat16 weights
    branch: Callable[[Shape, int], int]  # bytes a token of what is added there to gate and up
    masks_rollouts: bool = False  # its arms run whole sequences, for a mask by rollout cannot hold for a shared prompt


def _factors(linear: Linear, config: TrainConfig) -> int:
    return config.lora_r * (linear.d_in + linear.d_out)


def _read(shape: Shape) -> int:
    """Widths of what the seven projections read, each by itself."""
    return 5 * shape.hidden + shape.q + shape.intermediate


def _knobs(shape: Shape) -> int:
    """Of a layer's seven projections."""
    H = shape.hidden
    return 2 * min(H, shape.q) + 2 * min(H, shape.kv) + 3 * min(H, shape.intermediate)


def _side_by_side(shape: Shape, rank: int) -> int:
    """q, k, v as one and gate, up as one: a row of factors for each, and on the other side a block for each."""
    H, q, kv, inner = shape.hidden, shape.q, shape.kv, shape.intermediate
    attention = 3 * H + 3 * (q + 2 * kv) + q + H
    mlp = 2 * H + 2 * 2 * inner + inner + H
    return rank * (shape.attention_layers * attention + shape.layers * mlp)


def _peft_forward(shape: Shape, e: int) -> int:
    """peft's branch is float32: the MLP's gate and base output, and the branch before and after it was scaled."""
    return (2 * e + 2 * WIDE) * shape.intermediate + (2 * e + WIDE) * shape.hidden


ADAPTER_BYTES: dict[str, AdapterBytes] = {
    "lora": AdapterBytes(
        trained=_factors,
        frozen=lambda linear, config, e: 0,
        kept=lambda s, config, e: WIDE * (_read(s) + 7 * config.lora_r),  # the input in float32, once a projection
        forward=_peft_forward,
        backward=lambda s, e: (e + WIDE) * s.intermediate,
        beside=lambda s, config: _side_by_side(s, config.lora_r),
        branch=lambda s, e: 2 * WIDE * s.intermediate,
    ),
    "lora_frozen_a": AdapterBytes(
        trained=lambda linear, config: config.lora_r * linear.d_out,
        frozen=lambda linear, config, e: WIDE * config.lora_r * linear.d_in,
        kept=lambda s, config, e: WIDE * 7 * config.lora_r,  # without a gradient for A its input is not needed
        forward=_peft_forward,
        backward=lambda s, e: (2 * e + 2 * WIDE) * s.intermediate,
        beside=lambda s, config: _side_by_side(s, config.lora_r),
        branch=lambda s, e: 2 * WIDE * s.intermediate,
    ),
    "lora_blocks": AdapterBytes(
        trained=lambda linear, config: 2 * _factors(linear, config),
        frozen=lambda linear, config, e: 2 * WIDE * _factors(linear, config),  # where the offsets start
        kept=lambda s, config, e: WIDE * (_read(s) + 14 * config.lora_r),  # the input in float32, for both blocks
        forward=lambda s, e: (2 * e + 5 * WIDE) * s.intermediate + (2 * e + WIDE) * s.hidden,
        backward=lambda s, e: 4 * WIDE * s.intermediate + (2 * e + WIDE) * s.hidden,
        beside=lambda s, config: _side_by_side(s, 4 * config.lora_r),
        branch=lambda s, e: 2 * WIDE * s.intermediate,
        masks_rollouts=True,
    ),
    "svd": AdapterBytes(
        trained=lambda linear, config: 2 * linear.rank,
        frozen=lambda linear, config, e: e * linear.rank * (linear.d_in + linear.d_out),  # the basis, U and Vh
        kept=lambda s, config, e: e * _knobs(s),
        forward=lambda s, e: 4 * e * s.intermediate + 3 * e * s.hidden,
        backward=lambda s, e: 3 * e * s.intermediate,
        beside=lambda s, config: 0,  # the basis is the adapter's own
        branch=lambda s, e: e * s.intermediate,
    ),
}
