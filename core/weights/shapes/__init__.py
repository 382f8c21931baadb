"""How large a model is, from its config.json alone: what bytes and times are counted from before any weight is here.

The files beside this one hold the facts of the published config.json of models that built-in plans name, so that a
machine without weights plans as the rented one does. No torch, no transformers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.weights.places import hub_copy

HERE = Path(__file__).parent
BUILT_IN = {
    "nano": HERE.parents[1] / "environment" / "nano" / "model" / "config.json",
    "smoke": HERE / "smoke.json",
    "smollm2-135m": HERE / "HuggingFaceTB--SmolLM2-135M-Instruct.json",
}
DENSE = ("llama", "qwen2", "qwen3")  # families whose every layer attends; core.model.decoder has its own pass for them


@dataclass(frozen=True)
class Linear:
    """A projection that adapters change; `count` of them in the model."""

    d_in: int
    d_out: int
    count: int

    @property
    def rank(self) -> int:
        return min(self.d_in, self.d_out)


@dataclass(frozen=True)
class Shape:
    model_type: str
    vocab: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    tied: bool
    attention_bias: bool
    gated_attention: bool  # q_proj makes a gate beside the queries
    attention_layers: int  # those that keep keys and values; the others are gated delta rules
    delta_key: int = 0  # key_heads * key_head_dim of a delta layer
    delta_key_dim: int = 0  # of one head
    delta_value: int = 0
    delta_heads: int = 0  # of values
    delta_conv: int = 0  # kernel

    @property
    def q(self) -> int:
        return self.heads * self.head_dim

    @property
    def kv(self) -> int:
        return self.kv_heads * self.head_dim

    @property
    def normed_heads(self) -> bool:
        return self.model_type.startswith("qwen3")

    @property
    def is_dense(self) -> bool:
        return self.model_type in DENSE

    def linears(self) -> tuple[Linear, ...]:
        """q, k, v, o, gate, up, down; of delta layers qkv, z, a and b, out."""
        H, at = self.hidden, self.attention_layers
        delta = self.layers - at
        found = (
            Linear(H, self.q * (2 if self.gated_attention else 1), at),
            Linear(H, self.kv, 2 * at),
            Linear(self.q, H, at),
            Linear(H, self.intermediate, 2 * self.layers),
            Linear(self.intermediate, H, self.layers),
            Linear(H, 2 * self.delta_key + self.delta_value, delta),
            Linear(H, self.delta_value, delta),
            Linear(H, self.delta_heads, 2 * delta),
            Linear(self.delta_value, H, delta),
        )
        return tuple(linear for linear in found if linear.count)

    def adapted(self) -> int:
        """Numbers in the projections that adapters change."""
        return sum(linear.count * linear.d_in * linear.d_out for linear in self.linears())

    def parameters(self) -> int:
        """Numbers in the language model, its head counted once where it is the embedding."""
        H, at = self.hidden, self.attention_layers
        norms = self.layers * 2 * H + H + (at * 2 * self.head_dim if self.normed_heads else 0)
        biases = at * (self.q + 2 * self.kv) if self.attention_bias else 0
        return (1 if self.tied else 2) * self.vocab * H + self.adapted() + norms + biases + self._delta_parameters()

    def _delta_parameters(self) -> int:
        """Beside the projections: the convolution, and what each head has."""
        convolution = (2 * self.delta_key + self.delta_value) * self.delta_conv
        per_head = 2 * self.delta_heads + (self.delta_value // self.delta_heads if self.delta_heads else 0)
        return (self.layers - self.attention_layers) * (convolution + per_head)


def shape_of(model: str) -> Shape | None:
    """By a config's `model`: a name, a directory, or a Hugging Face id that is in the tree or in its cache.

    None where nothing here tells: no such file, or a config.json without a language model's numbers.
    """
    path = _config_path(model)
    try:
        return _counted(from_config(json.loads(path.read_text()))) if path else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError, RecursionError):
        return None


def _counted(shape: Shape) -> Shape:
    """Raises ValueError where a size is no number of things: bytes would be counted from it all the same."""
    sizes = shape.vocab, shape.hidden, shape.intermediate, shape.layers, shape.heads, shape.kv_heads, shape.head_dim
    if not all(type(size) is int and size > 0 for size in sizes):
        raise ValueError(f"sizes {sizes}")
    return shape


def _config_path(model: str) -> Path | None:
    if model in BUILT_IN:
        return BUILT_IN[model]
    known = HERE / f"{model.replace('/', '--')}.json"
    for path in (Path(model).expanduser() / "config.json", known if model.count("/") == 1 else None):
        if path is not None and path.is_file():
            return path
    copy = hub_copy(model)
    return copy / "config.json" if copy else None


def from_config(config: Mapping[str, Any]) -> Shape:
    """Raises KeyError where a number is missing, ValueError where layers are of a kind that is not known here."""
    c = config.get("text_config", config)
    heads, layers = c["num_attention_heads"], c["num_hidden_layers"]
    attention, is_hybrid = _attention_layers(c, layers), "linear_num_value_heads" in c
    if (attention < layers and not is_hybrid) or any("expert" in name for name in c):
        raise ValueError("layers that are neither attention with one MLP nor gated delta rules")
    delta = _delta(c) if is_hybrid else {}
    return Shape(
        model_type=c["model_type"],
        vocab=c["vocab_size"],
        hidden=c["hidden_size"],
        intermediate=c["intermediate_size"],
        layers=layers,
        heads=heads,
        kv_heads=c.get("num_key_value_heads") or heads,
        head_dim=c.get("head_dim") or c["hidden_size"] // heads,
        tied=bool(config.get("tie_word_embeddings", c.get("tie_word_embeddings", False))),
        attention_bias=c["model_type"] == "qwen2" or bool(c.get("attention_bias", False)),
        gated_attention=is_hybrid,
        attention_layers=attention,
        **delta,
    )


def _attention_layers(c: Mapping[str, Any], layers: int) -> int:
    if c.get("layer_types"):
        return sum(kind != "linear_attention" for kind in c["layer_types"])
    return layers // c["full_attention_interval"] if "full_attention_interval" in c else layers


def _delta(c: Mapping[str, Any]) -> dict[str, int]:
    return {
        "delta_key": c["linear_num_key_heads"] * c["linear_key_head_dim"],
        "delta_key_dim": c["linear_key_head_dim"],
        "delta_value": c["linear_num_value_heads"] * c["linear_value_head_dim"],
        "delta_heads": c["linear_num_value_heads"],
        "delta_conv": c["linear_conv_kernel_dim"],
    }
