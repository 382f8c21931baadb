"""Next-token logits for sampling. Two decoders behind one shape:

`DenseDecoder` is our own forward pass for the llama / qwen2 / qwen3 family, with a cache that is allocated once and the
prompt's keys and values computed once per group. `ModuleDecoder` runs any other architecture through its own module.
Both take the adapter over at `refresh`, merged into weights or beside them (core.model.projection): through the layers
that are trained each token costs 1.5-2.5 times more.
"""

from __future__ import annotations

import copy
import functools
import itertools
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import DynamicCache

from core.model.adapters.base import Adapter
from core.model.projection import Projection, projection

DENSE = ("llama", "qwen2", "qwen3")

Edit = Callable[[int, Tensor], Tensor]  # (layer from 0, its output (B, L, H)) -> what the next layer reads


class Decoder(Protocol):
    edit: Edit | None  # of hidden states while sampling: steering, suppression

    def refresh(self, adapter: Adapter) -> None:
        """Take over the adapter as it is now. Once per optimizer step."""

    def prefill(self, prompt_ids: Tensor, prompt_mask: Tensor, group: Tensor, max_new: int) -> Tensor:
        """(P, L) left-padded prompts, (N,) rows of them -> (N, V) logits of the first new token."""

    def step(self, tokens: Tensor) -> Tensor:
        """(N,) tokens -> (N, V) logits of the next ones."""

    def keep(self, rows: Tensor) -> None:
        """Go on with some of the rows only."""

    def release(self) -> None:
        """Give the cache back: it is larger than all that training needs, and the next prefill makes its own."""


def make_decoder(model: Any, names: Collection[str]) -> Decoder:
    """`names`: the linear modules that an adapter may change, by name in `model`."""
    config = model.config
    window = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    if config.model_type in DENSE and not window and not getattr(config, "mlp_bias", False):
        return DenseDecoder(model)
    return ModuleDecoder(model, names)


@dataclass(frozen=True)
class DenseLayer:
    qkv: Projection
    o: Projection
    gate_up: Projection
    down: Projection
    norms: dict[str, Tensor]  # weights by name, those that the family has


class DenseDecoder:
    """RMSNorm, rotary GQA attention (with q/k norms or biases where the family has them), SwiGLU."""

    def __init__(self, model: Any) -> None:
        config = model.config
        self.model = model
        self.heads = config.num_attention_heads
        self.kv_heads = config.num_key_value_heads
        self.head_dim = getattr(config, "head_dim", None) or config.hidden_size // self.heads
        self.eps = config.rms_norm_eps
        self.layers_count = config.num_hidden_layers
        self.rotary = model.model.rotary_emb
        self.embedding = model.get_input_embeddings().weight.detach()
        self.head = model.get_output_embeddings().weight.detach()
        self.layers: list[DenseLayer] = []
        self.keys: list[Tensor] = []  # by layer
        self.values: list[Tensor] = []
        self.edit: Edit | None = None

    def refresh(self, adapter: Adapter) -> None:
        if not self.layers:
            self.layers = [self._layer(i) for i in range(self.layers_count)]
        for layer in self.layers:
            for part in (layer.qkv, layer.o, layer.gate_up, layer.down):
                part.refresh(adapter)

    def _layer(self, i: int) -> DenseLayer:
        """Projections that read the same input are one matrix: fewer, larger products."""
        prefix = f"model.layers.{i}."
        fused = {key: projection(self.model, [f"{prefix}{part}" for part in parts]) for key, parts in FUSED.items()}
        layer = self.model.get_submodule(f"model.layers.{i}")
        leaves = {name.rpartition(".")[2]: module for name, module in layer.named_modules()}
        return DenseLayer(**fused, norms={name: leaves[name].weight.detach() for name in NORMS if name in leaves})

    @torch.no_grad()
    def prefill(self, prompt_ids: Tensor, prompt_mask: Tensor, group: Tensor, max_new: int) -> Tensor:
        prompts, width = prompt_ids.shape
        device, dtype = prompt_ids.device, self.embedding.dtype
        positions = (prompt_mask.cumsum(1) - 1).clamp(min=0)
        causal = torch.ones(width, width, dtype=torch.bool, device=device).tril()
        allowed = (causal & prompt_mask[:, None, :] | torch.eye(width, dtype=torch.bool, device=device))[:, None]
        shape = (len(group), self.kv_heads, width + max_new, self.head_dim)
        self.keys = [torch.empty(shape, device=device, dtype=dtype) for _ in range(self.layers_count)]
        self.values = [torch.empty(shape, device=device, dtype=dtype) for _ in range(self.layers_count)]
        x = F.embedding(prompt_ids, self.embedding)
        cos, sin = self.rotary(x, positions)
        for i in range(self.layers_count):
            q, k, v = self._qkv(i, x, cos, sin)
            repeats = self.heads // self.kv_heads
            full_k, full_v = k.repeat_interleave(repeats, 1), v.repeat_interleave(repeats, 1)
            mixed = F.scaled_dot_product_attention(q, full_k, full_v, attn_mask=allowed)
            x = self._after_layer(i, x, mixed.transpose(1, 2).reshape(prompts, width, -1))
            self.keys[i][:, :, :width] = k[group]
            self.values[i][:, :, :width] = v[group]
        self.length = width
        self.visible = F.pad(prompt_mask[group], (0, max_new), value=True)  # (N, width + max_new)
        self.next_position = prompt_mask.sum(1)[group]
        self.padded = not bool(prompt_mask.all())
        return self._logits(x[:, -1])[group]

    @torch.no_grad()
    def step(self, tokens: Tensor) -> Tensor:
        rows = len(tokens)
        x = F.embedding(tokens[:, None], self.embedding)
        cos, sin = self.rotary(x, self.next_position[:, None])
        end = self.length + 1
        mask = self.visible[:, None, None, :end] if self.padded else None
        for i in range(self.layers_count):
            q, k, v = self._qkv(i, x, cos, sin)
            self.keys[i][:, :, self.length] = k[:, :, 0]
            self.values[i][:, :, self.length] = v[:, :, 0]
            # The heads that share a key stand as query positions, so keys are never repeated.
            q = q.view(rows, self.kv_heads, self.heads // self.kv_heads, self.head_dim)
            mixed = F.scaled_dot_product_attention(
                q, self.keys[i][:, :, :end], self.values[i][:, :, :end], attn_mask=mask
            )
            x = self._after_layer(i, x, mixed.reshape(rows, 1, -1))
        self.length = end
        self.next_position = self.next_position + 1
        return self._logits(x[:, 0])

    def keep(self, rows: Tensor) -> None:
        for i in range(self.layers_count):
            self.keys[i] = self.keys[i][rows]
            self.values[i] = self.values[i][rows]
        self.visible, self.next_position = self.visible[rows], self.next_position[rows]

    def release(self) -> None:
        self.keys, self.values = [], []

    def _qkv(self, i: int, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, L, H) -> queries (B, heads, L, d), keys and values (B, kv_heads, L, d), rotated."""
        layer, norms = self.layers[i], self.layers[i].norms
        batch, length, _ = x.shape
        mixed = layer.qkv(self._norm(x, norms["input_layernorm"])).view(batch, length, -1, self.head_dim)
        q, k, v = mixed.split([self.heads, self.kv_heads, self.kv_heads], 2)
        if "q_norm" in norms:
            q, k = self._norm(q, norms["q_norm"]), self._norm(k, norms["k_norm"])
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
        return _rotate(q, cos, sin), _rotate(k, cos, sin), v

    def _after_layer(self, i: int, x: Tensor, mixed: Tensor) -> Tensor:
        x = self._after_attention(i, x, mixed)
        return x if self.edit is None else self.edit(i, x)

    def _after_attention(self, i: int, x: Tensor, mixed: Tensor) -> Tensor:
        layer = self.layers[i]
        x = x + layer.o(mixed)
        gate, up = layer.gate_up(self._norm(x, layer.norms["post_attention_layernorm"])).chunk(2, -1)
        return x + layer.down(F.silu(gate) * up)

    def _norm(self, x: Tensor, weight: Tensor) -> Tensor:
        wide = x.float()
        return weight * (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)).to(x.dtype)

    def _logits(self, x: Tensor) -> Tensor:
        return F.linear(self._norm(x, self.model.model.norm.weight), self.head)


def base_tensors(model: Any, names: Collection[str]) -> dict[str, Tensor]:
    """The model's tensors by the names they had before an adapter wrapped the layers `names`."""
    found = {}
    for key, tensor in model.state_dict().items():
        layer = next((n for n in _parents(key) if n in names), None)
        if layer is None:
            found[key] = tensor.detach()
        elif key.startswith(f"{layer}.base_layer."):
            found[key.replace(".base_layer", "", 1)] = tensor.detach()
    return found


def _parents(key: str) -> list[str]:
    parts = key.split(".")
    return [".".join(parts[:i]) for i in range(len(parts) - 1, 0, -1)]


FUSED = {
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "o": ("self_attn.o_proj",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "down": ("mlp.down_proj",),
}
NORMS = ("input_layernorm", "post_attention_layernorm", "q_norm", "k_norm")


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    cos, sin = cos[:, None], sin[:, None]
    left, right = x.chunk(2, -1)
    return x * cos + torch.cat([-right, left], -1) * sin


class ModuleDecoder:
    """Any architecture through its own forward: slower, but as right as the library."""

    def __init__(self, model: Any, names: Collection[str]) -> None:
        self.model, self.projections = _twin(model, names)
        self.release()
        self.edit: Edit | None = None
        for i, layer in enumerate(getattr(getattr(self.model, "model", None), "layers", ())):
            layer.register_forward_hook(functools.partial(self._edited, i))

    def _edited(self, i: int, layer: Any, inputs: Any, output: Any) -> Any:
        if self.edit is None:
            return None  # the output stays
        return (self.edit(i, output[0]), *output[1:]) if isinstance(output, tuple) else self.edit(i, output)

    def refresh(self, adapter: Adapter) -> None:
        for projected in self.projections:
            projected.refresh(adapter)

    @torch.no_grad()
    def prefill(self, prompt_ids: Tensor, prompt_mask: Tensor, group: Tensor, max_new: int) -> Tensor:
        self.release()
        positions = (prompt_mask.cumsum(1) - 1).clamp(min=0)
        logits = self.model(
            input_ids=prompt_ids,
            attention_mask=prompt_mask.long(),
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        self.cache.reorder_cache(group)  # layers of linear attention have no batch_select_indices
        self.mask = prompt_mask[group].long()
        self.next_position = prompt_mask.sum(1)[group]
        return logits[group]

    @torch.no_grad()
    def step(self, tokens: Tensor) -> Tensor:
        self.mask = F.pad(self.mask, (0, 1), value=1)
        logits = self.model(
            input_ids=tokens[:, None],
            attention_mask=self.mask,
            position_ids=self.next_position[:, None],
            past_key_values=self.cache,
            use_cache=True,
        ).logits[:, -1]
        self.next_position = self.next_position + 1
        return logits

    def keep(self, rows: Tensor) -> None:
        self.cache.reorder_cache(rows)
        self.mask, self.next_position = self.mask[rows], self.next_position[rows]

    def release(self) -> None:
        self.cache: Any = DynamicCache(config=self.model.config)


class Projected(nn.Module):
    """A projection in a module's place."""

    def __init__(self, projected: Projection) -> None:
        super().__init__()
        self.projected = projected

    def forward(self, x: Tensor) -> Tensor:
        return self.projected(x)


def _twin(model: Any, names: Collection[str]) -> tuple[Any, list[Projection]]:
    """A model of the same tensors, with a projection of ours for each module that an adapter changes."""
    tensors = itertools.chain(model.parameters(), model.buffers())
    twin = copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})
    projections = []
    for name in names:
        parent, _, leaf = name.rpartition(".")
        projections.append(projection(twin, [name]))
        setattr(twin.get_submodule(parent), leaf, Projected(projections[-1]))
    return twin.eval(), projections
