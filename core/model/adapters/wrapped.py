"""A linear layer of the model with something of ours around it: how layers are found, replaced and merged."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from core.model.adapters.base import TARGETS
from core.model.adapters.branch import Branch

Layer = TypeVar("Layer", bound="WrappedLinear")


class WrappedLinear(nn.Module):
    """y = base_layer(x) + change(x). `delta()` is the change as a matrix, (d_out, d_in)."""

    def __init__(self, base_layer: nn.Linear) -> None:
        super().__init__()
        self.base_layer = base_layer

    def delta(self) -> Tensor:
        raise NotImplementedError

    def branch(self) -> Branch:
        """The change as it is now: later updates do not reach it."""
        raise NotImplementedError


def wrap_targets(model: Any, make: Callable[[nn.Linear], Layer]) -> dict[str, Layer]:
    """Replace every attention and MLP projection in place; returns the new layers by name."""
    found = [(name, m) for name, m in model.named_modules() if name.rpartition(".")[2] in TARGETS]
    layers = {}
    for name, base_layer in found:
        parent, _, leaf = name.rpartition(".")
        layers[name] = make(base_layer)
        setattr(model.get_submodule(parent), leaf, layers[name])
    if not layers:
        raise ValueError(f"the model has no linear layer named one of {', '.join(TARGETS)}")
    return layers


@torch.no_grad()
def merged_weight(model: Any, layers: dict[str, Layer], weight_name: str) -> Tensor:
    """The weight with the layer's change added in float32; other weights as they are."""
    name = weight_name.removesuffix(".weight")
    if name not in layers:
        return model.get_parameter(weight_name)
    base: Tensor = layers[name].base_layer.weight
    return (base.float() + layers[name].delta().float()).to(base.dtype)


@torch.no_grad()
def branch_of(layers: Mapping[str, WrappedLinear], name: str) -> Branch:
    return layers[name].branch()


@contextlib.contextmanager
def switched(layers: Mapping[str, WrappedLinear], attribute: str, value: object) -> Iterator[None]:
    """One attribute of every layer, for as long as the context lasts."""
    earlier = {name: getattr(layer, attribute) for name, layer in layers.items()}
    for layer in layers.values():
        setattr(layer, attribute, value)
    try:
        yield
    finally:
        for name, layer in layers.items():
            setattr(layer, attribute, earlier[name])
