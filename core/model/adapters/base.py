"""What an adapter is: a small trained change to a frozen model.

Attach it, switch it off for the reference (`zeroed`), switch off its quarantine for deployment (`ablated`), merge it
into plain weights to sample.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

Switch = Callable[[], contextlib.AbstractContextManager[Any]]


@dataclass(frozen=True)
class Adapter:
    model: Any  # the causal LM with the adapter in place; its forward is the policy
    modules: dict[str, Any]  # changed linear modules, by name in `model`
    parameters: dict[str, torch.nn.Parameter]  # trained, by the name they have on disk, sorted
    merged: Callable[[str], Tensor]  # weight name -> weight with the adapter in it, the quarantine too unless ablated
    zeroed: Switch  # inside: the model as it was, the free reference
    save: Callable[[Path], None]  # the final form, loadable without us where the format allows it
    load: Callable[[Path], None]  # what `save` wrote, onto this adapter of the same shape
    ablated: Switch = contextlib.nullcontext  # inside: without the quarantine, what is deployed
    parked: dict[str, str] = field(default_factory=dict)  # parameter -> the quarantine's parameter of the same module
    # (N,) rows of the next forwards: is the quarantine in, is the deployed block's gradient stopped
    masked: Callable[[Tensor, Tensor], contextlib.AbstractContextManager[Any]] | None = None
    frozen: dict[str, Tensor] = field(default_factory=dict)  # untrained, and needed to read the parameters
    module_of: dict[str, str] = field(default_factory=dict)  # parameter -> the name of the linear module it changes

    @property
    def quarantine(self) -> frozenset[str]:
        return frozenset(self.parked.values())

    def kept(self) -> dict[str, torch.nn.Parameter]:
        """The parameters that are deployed."""
        return {name: p for name, p in self.parameters.items() if name not in self.quarantine}

    def state(self) -> dict[str, Tensor]:
        tensors = {**self.parameters, **self.frozen}
        return {name: t.detach().cpu().contiguous() for name, t in sorted(tensors.items())}

    @torch.no_grad()
    def load_state(self, state: dict[str, Tensor]) -> None:
        expected = {**self.parameters, **self.frozen}
        if set(state) != set(expected):
            wrong = sorted(set(state) ^ set(expected))[:3]
            raise ValueError(f"adapter state does not fit the model, first differences: {wrong}")
        for name, tensor in expected.items():
            tensor.copy_(state[name])


@contextlib.contextmanager
def switched_off(adapter: Adapter) -> Iterator[None]:
    """The reference policy: no adapter, no gradient."""
    with adapter.zeroed(), torch.no_grad():
        yield


def tensors_sha256(tensors: dict[str, Tensor]) -> str:
    """SHA-256 over names, shapes, dtypes and bytes in sorted order: equal exactly when every number is."""
    sha = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        sha.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()
