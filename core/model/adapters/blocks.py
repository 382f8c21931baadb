"""A LoRA of two blocks, one deployed and one a quarantine, with masks by rollout (docs/protocol.md 4.3).

Per layer, A (2r, d_in) and B (d_out, 2r) start at random A0, B0, whose product is subtracted:
y = W x + B A x - B0 A0 x. Rows [:r] are deployed, rows [r:] are the quarantine. What is trained are the offsets from
A0 and B0, so AdamW's weight decay pulls towards the start and not towards zero, where a block would die.

A mask (m, d) per rollout: the quarantine's output times m; the deployed block's output without gradient where d.
keep (0, 0), absorb (1, 0), route (1, 1). Without masks both blocks are trained.
"""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from core.model.adapters.base import Adapter, save_tensors
from core.model.adapters.branch import Branch
from core.model.adapters.wrapped import WrappedLinear, branch_of, merged_weight, switched, wrap_targets
from core.model.load import LanguageModel
from core.spec import TrainConfig

FILE = "lora_blocks.safetensors"


class Block(nn.Module):
    """r rows of A and columns of B, as offsets from their start."""

    A0: Tensor  # (r, d_in)
    B0: Tensor  # (d_out, r)

    def __init__(self, A0: Tensor, B0: Tensor) -> None:
        super().__init__()
        self.register_buffer("A0", A0, persistent=False)
        self.register_buffer("B0", B0, persistent=False)
        self.A = nn.Parameter(torch.zeros_like(A0))
        self.B = nn.Parameter(torch.zeros_like(B0))

    def forward(self, x: Tensor) -> Tensor:
        """x in float32: rounded to less, A0 + A is A0 until many updates have passed."""
        A, B = self.A0 + self.A, self.B0 + self.B
        return F.linear(F.linear(x, A), B) - F.linear(F.linear(x, self.A0), self.B0)

    def delta(self) -> Tensor:
        return (self.B0 + self.B) @ (self.A0 + self.A) - self.B0 @ self.A0


class BlockLinear(WrappedLinear):
    def __init__(self, base_layer: nn.Linear, kept: Block, quarantine: Block) -> None:
        super().__init__(base_layer)
        self.kept = kept
        self.quarantine = quarantine
        self.on = True
        self.with_quarantine = True
        self.masks: tuple[Tensor, Tensor] | None = None  # (N,) bool each: quarantine in, deployed block detached

    def delta(self) -> Tensor:
        change = self.kept.delta()
        return change + self.quarantine.delta() if self.with_quarantine else change

    def branch(self) -> Branch:
        blocks = (self.kept, self.quarantine) if self.with_quarantine else (self.kept,)
        downs = [rows for block in blocks for rows in (block.A0 + block.A, block.A0)]
        ups = [columns for block in blocks for columns in (block.B0 + block.B, -block.B0)]
        return Branch(torch.cat(downs), torch.cat(ups, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.base_layer(x)
        if not self.on:
            return y
        wide = x.float()
        kept = self.kept(wide)
        if self.masks is not None:
            kept = torch.where(self.masks[1][:, None, None], kept.detach(), kept)
        if not self.with_quarantine:
            return (y + kept).to(y.dtype)
        parked = self.quarantine(wide)
        return (y + kept + (parked if self.masks is None else self.masks[0][:, None, None] * parked)).to(y.dtype)


def attach_blocks(language_model: LanguageModel, config: TrainConfig, seed: int) -> Adapter:
    """Two blocks of rank lora_r on every attention and MLP projection; the model is unchanged at the start."""
    return _attached(language_model.model, config.lora_r, seed)


def load_blocks(model: Any, folder: Path | str) -> Any:
    """`model`, a transformers causal LM, with the blocks of a folder in place; changed in place, and returned.

    Float32 or bfloat16, as it was trained; where the folder has no quarantine none takes part. Raises ValueError where
    the folder's tensors are not of this model.
    """
    found = load_file(Path(folder) / FILE)
    rank = next(tensor.shape[0] for name, tensor in found.items() if name.endswith(".kept.A"))
    adapter = _attached(model, rank, 0)
    adapter.load_deployed(found)
    for layer in adapter.modules.values():
        layer.with_quarantine = any(".quarantine." in name for name in found)
    return model


def _attached(model: Any, rank: int, seed: int) -> Adapter:
    generator = torch.Generator().manual_seed(seed)

    def block(base_layer: nn.Linear) -> Block:
        d_out, d_in = base_layer.weight.shape
        A0 = torch.randn(rank, d_in, generator=generator) / math.sqrt(d_in)
        B0 = torch.randn(d_out, rank, generator=generator) / math.sqrt(2 * rank)
        return Block(A0, B0).to(base_layer.weight.device)

    layers = wrap_targets(model, lambda base_layer: BlockLinear(base_layer, block(base_layer), block(base_layer)))
    parameters = {f"{n}.{part}": layer.get_parameter(part) for n, layer in layers.items() for part in _PARTS}

    def save(folder: Path, ablated: bool) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        save_tensors(adapter.deployed(ablated), folder / FILE, {"format": "grpoq lora blocks 2"})

    adapter = Adapter(
        model=model,
        modules=dict(layers),
        parameters=dict(sorted(parameters.items())),
        merged=functools.partial(merged_weight, model, layers),
        branch=functools.partial(branch_of, layers),
        zeroed=functools.partial(switched, layers, "on", False),
        save=save,
        load=lambda folder: adapter.load_deployed(load_file(folder / FILE)),
        ablated=functools.partial(switched, layers, "with_quarantine", False),
        parked={n: n.replace(".kept.", ".quarantine.") for n in parameters if ".kept." in n},
        masked=lambda is_in, is_detached: switched(layers, "masks", (is_in, is_detached)),
        module_of={name: name.rsplit(".", 2)[0] for name in parameters},
        starts={f"{n}.{part}": layer.get_buffer(f"{part}0") for n, layer in layers.items() for part in _PARTS},
    )
    return adapter


_PARTS = ("kept.A", "kept.B", "quarantine.A", "quarantine.B")
