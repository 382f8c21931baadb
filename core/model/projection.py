"""A linear module as the sampler runs it: with the adapter merged into a weight of its own, or beside the model's.

Merged in float32, where nothing is lost and a token costs one product. Beside it in bfloat16, where a merged weight
rounds early updates away (core.model.adapters.branch): the weight is then the model's own and takes no memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.model.adapters.base import Adapter
from core.model.adapters.branch import Branch, joined


class Projection(Protocol):
    def refresh(self, adapter: Adapter) -> None:
        """Take over the adapter as it is now."""

    def __call__(self, x: Tensor) -> Tensor:
        """(..., d_in) -> (..., sum of d_out)."""


def projection(model: Any, names: Sequence[str]) -> Projection:
    """`names`: modules that read the same input; their outputs stand one after the other."""
    linears = [base_linear(model, name) for name in names]
    kind = Merged if linears[0].weight.dtype == torch.float32 else Beside
    return kind(names, linears)


def base_linear(model: Any, name: str) -> nn.Linear:
    """The model's own layer, within an adapter's or bare."""
    module = model.get_submodule(name)
    linear: nn.Linear = getattr(module, "base_layer", module)
    return linear


class Merged:
    def __init__(self, names: Sequence[str], linears: Sequence[nn.Linear]) -> None:
        self.names = names
        self.weight = torch.empty_like(torch.cat([linear.weight for linear in linears]))
        self.bias = _bias(linears)

    def refresh(self, adapter: Adapter) -> None:
        start = 0
        for name in self.names:
            weight = adapter.merged(f"{name}.weight")
            self.weight[start : start + len(weight)].copy_(weight)
            start += len(weight)

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


class Beside:
    def __init__(self, names: Sequence[str], linears: Sequence[nn.Linear]) -> None:
        self.names = names
        self.weight = _shared(linears)
        self.bias = _bias(linears)
        self.branches: list[Branch] = []

    def refresh(self, adapter: Adapter) -> None:
        changed = [name for name in self.names if name in adapter.modules]
        assert changed in ([], list(self.names)), f"of {self.names} the adapter changes {changed} alone"
        self.branches = joined([adapter.branch(name) for name in changed]) if changed else []

    def __call__(self, x: Tensor) -> Tensor:
        y = F.linear(x, self.weight, self.bias)
        if self.branches:
            for branch, part in zip(self.branches, y.split([len(b.up) for b in self.branches], -1), strict=True):
                branch.add(part, x)
        return y


def _shared(linears: Sequence[nn.Linear]) -> Tensor:
    """The layers' weights one under the other. They become views of it: there is one copy, not two."""
    if len(linears) == 1:
        return linears[0].weight.detach()
    whole = torch.cat([linear.weight.detach() for linear in linears])
    for linear, rows in zip(linears, whole.split([len(linear.weight) for linear in linears]), strict=True):
        linear.weight = nn.Parameter(rows, requires_grad=False)
    return whole


def _bias(linears: Sequence[nn.Linear]) -> Tensor | None:
    found = [linear.bias.detach() for linear in linears if linear.bias is not None]
    return torch.cat(found) if len(found) == len(linears) else None
