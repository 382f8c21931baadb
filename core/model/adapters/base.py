"""What an adapter is: a small trained change to a frozen model.

Attach it, switch it off for the reference (`zeroed`), switch off its quarantine for deployment (`ablated`), merge it
into plain weights to sample (`merged`), or keep it beside them where a merged weight would round it away (`branch`).
"""

from __future__ import annotations

import contextlib
import hashlib
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from core.model.adapters.branch import Branch
from core.weights.problem import LINEAR_LAYERS

TARGETS = LINEAR_LAYERS
WRITERS = ("o_proj", "down_proj", "out_proj")  # what they give is added to the residual stream; the others read it

Switch = Callable[[], contextlib.AbstractContextManager[Any]]


@dataclass(frozen=True)
class Adapter:
    model: Any  # the causal LM with the adapter in place; its forward is the policy
    modules: dict[str, Any]  # changed linear modules, by name in `model`
    parameters: dict[str, torch.nn.Parameter]  # trained, by the name they have on disk, sorted
    merged: Callable[[str], Tensor]  # weight name -> weight with the adapter in it, the quarantine too unless ablated
    branch: Callable[[str], Branch]  # name in `modules` -> what is added to its output, as it is now; likewise
    zeroed: Switch  # inside: the model as it was, the free reference
    save: Callable[[Path, bool], None]  # the final form into a folder; true: without the quarantine
    load: Callable[[Path], None]  # what `save` wrote, onto this adapter of the same shape
    ablated: Switch = contextlib.nullcontext  # inside: without the quarantine, what is deployed
    parked: dict[str, str] = field(default_factory=dict)  # parameter -> the quarantine's parameter of the same module
    # (N,) rows of the next forwards: is the quarantine in, is the deployed block's gradient stopped
    masked: Callable[[Tensor, Tensor], contextlib.AbstractContextManager[Any]] | None = None
    frozen: dict[str, Tensor] = field(default_factory=dict)  # untrained, and needed to read the parameters
    module_of: dict[str, str] = field(default_factory=dict)  # parameter -> the name of the linear module it changes
    starts: dict[str, Tensor] = field(default_factory=dict)  # parameter -> where its offset starts, drawn by the seed

    @property
    def quarantine(self) -> frozenset[str]:
        return frozenset(self.parked.values())

    def kept(self) -> dict[str, torch.nn.Parameter]:
        """The parameters that are deployed."""
        return {name: p for name, p in self.parameters.items() if name not in self.quarantine}

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint keeps: all of it."""
        return _stored({**self.parameters, **self.frozen})

    def deployed(self, ablated: bool) -> dict[str, Tensor]:
        """The tensors of the final form, readable without the seed; ablated: those of the quarantine are not in it."""
        names = set(self.parameters) - (self.quarantine if ablated else frozenset())
        return _stored({**self._with_starts(names), **self.frozen})

    def set_aside(self) -> dict[str, Tensor]:
        """The quarantine's tensors: with `deployed(True)`, all that was trained."""
        return _stored(self._with_starts(self.quarantine))

    def _with_starts(self, names: Iterable[str]) -> dict[str, Tensor]:
        """As they live in the model."""
        listed = sorted(names)
        return {n: self.parameters[n] for n in listed} | {f"{n}0": self.starts[n] for n in listed if n in self.starts}

    @torch.no_grad()
    def load_deployed(self, found: Mapping[str, Tensor]) -> None:
        """What `deployed` gave. A quarantine that is not in it is emptied. Raises ValueError where it does not fit."""
        for name in self.quarantine:
            self.parameters[name].zero_()
        required = {**self._with_starts(self.kept()), **self.frozen}
        _copy(found, {**self._with_starts(self.parameters), **self.frozen}, set(required))

    @torch.no_grad()
    def load_set_aside(self, found: Mapping[str, Tensor]) -> None:
        """What `set_aside` gave. Raises ValueError where it does not fit."""
        into = self._with_starts(self.quarantine)
        _copy(found, into, set(into))

    @torch.no_grad()
    def load_state(self, state: dict[str, Tensor]) -> None:
        expected = {**self.parameters, **self.frozen}
        if set(state) != set(expected):
            wrong = sorted(set(state) ^ set(expected))[:3]
            raise ValueError(f"adapter state does not fit the model, first differences: {wrong}")
        for name, tensor in expected.items():
            tensor.copy_(state[name])


def _stored(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: t.detach().cpu().contiguous() for name, t in sorted(tensors.items())}


def _copy(found: Mapping[str, Tensor], into: Mapping[str, Tensor], required: set[str]) -> None:
    wrong = sorted((set(found) - set(into)) | (required - set(found)))
    wrong += [name for name in found if name in into and found[name].shape != into[name].shape]
    if wrong:
        raise ValueError(f"{len(wrong)} tensors do not fit the model, the first: {wrong[:3]}; is it of another model?")
    for name, tensor in found.items():
        into[name].copy_(tensor)


def save_tensors(tensors: Mapping[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    """A safetensors file with the mode that the umask gives."""
    save_file(dict(tensors), path, metadata=metadata)
    follow_umask(path)


def follow_umask(path: Path) -> None:
    """safetensors writes through a private temporary file of mode 0600: nobody else on a shared box could read it."""
    probe = path.with_name(f".{path.name}.mode")
    probe.open("wb").close()
    try:
        path.chmod(stat.S_IMODE(probe.stat().st_mode))
    finally:
        probe.unlink()


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
