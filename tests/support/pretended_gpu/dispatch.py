"""Every operation that touches the pretended GPU: the device rules, then the same operation on the numbers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing

from support.pretended_gpu.device_rules import require_one_device, require_own_generator
from support.pretended_gpu.nested import leaves, mapped
from support.pretended_gpu.tensor import GPU, GpuTensor

CPU = torch.device("cpu")
PLAIN_ATTENTION = 0  # of SDPBackend: the one that is made of ordinary operations


class Factories(TorchDispatchMode):
    """Sees the operations that have no GpuTensor among their arguments: factories, and copies to the device."""

    def __torch_dispatch__(self, overload: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return operation(overload, args, kwargs or {})


@contextlib.contextmanager
def watching() -> Iterator[None]:
    GpuTensor.operation = operation
    try:
        yield
    finally:
        GpuTensor.operation = None


_named_meta: list[bool] = []  # as many as there are calls under way that name the device "meta" themselves


@contextlib.contextmanager
def meta_by_name() -> Iterator[None]:
    _named_meta.append(True)
    try:
        yield
    finally:
        _named_meta.pop()


def operation(overload: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    name = overload._schema.name.split("::")[1]
    if overload is torch.ops.prim.device.default:
        return GPU if isinstance(args[0], GpuTensor) else CPU
    tensors = [leaf for leaf in leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    ours = [t for t in tensors if isinstance(t, GpuTensor)]
    target = _target(kwargs)
    if not ours and target != GPU:
        return overload(*args, **kwargs)
    if ours:
        require_one_device(name, args, tensors)
        if name == "_fused_sdp_choice":
            return PLAIN_ATTENTION
    if target != CPU:
        require_own_generator(name, kwargs)
    of_the_card = ("driver",) if name == "_linalg_svd" else ()  # a choice among CUDA's own solvers
    own = mapped(_number, {n: v for n, v in kwargs.items() if n not in of_the_card})
    found = overload(*mapped(_number, args), **own)
    if name == "_to_copy" and target == CPU:
        return found
    if name == "copy_" and not isinstance(args[0], GpuTensor):
        return args[0]
    wrapped = mapped(lambda leaf: GpuTensor(leaf) if isinstance(leaf, Tensor) else leaf, found)
    return return_and_correct_aliasing(overload, args, kwargs, wrapped) if ours else wrapped


def _target(kwargs: dict[str, Any]) -> torch.device | None:
    """Where the result shall lie. C++ takes "meta" from our tensors when it makes others beside them."""
    given = kwargs.get("device")
    if given is None:
        return None
    if torch.device(given).type == "meta" and _named_meta:
        return None
    return CPU if torch.device(given).type == "cpu" else GPU


def _number(leaf: Any) -> Any:
    """An argument of the same call on the CPU."""
    if isinstance(leaf, GpuTensor):
        return leaf.numbers
    return CPU if isinstance(leaf, torch.device) else leaf
