"""Calls that torch answers in C++ before any operation is dispatched: their arguments are put right here."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from support.pretended_gpu import dispatch
from support.pretended_gpu.tensor import GPU, GpuTensor

FROM_DATA = (torch.tensor, torch.as_tensor, torch.asarray)  # guard the device while they read Python numbers


class Calls(TorchFunctionMode):
    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        args = tuple(map(_numbered, args))
        kwargs = {name: _numbered(value) for name, value in (kwargs or {}).items()}
        if _is_meta(kwargs.get("device")):  # by name: libraries lay out a model there before they load it
            with dispatch.meta_by_name():
                return function(*args, **kwargs)
        if function is Tensor.cuda:
            function, args, kwargs = Tensor.to, (args[0], GPU), {}
        if function is Tensor.tolist and isinstance(args[0], GpuTensor):
            return args[0].numbers.tolist()
        if function is Tensor.new_tensor and isinstance(args[0], GpuTensor):
            return function(args[0].numbers, *args[1:], **kwargs).to(GPU)
        if function is Tensor.to:
            return _moved(*args, **kwargs)
        if function in FROM_DATA and kwargs.get("device") == GPU:
            return function(*args, **{**kwargs, "device": None}).to(GPU)
        return function(*args, **kwargs)


def _is_meta(device: Any) -> bool:
    return isinstance(device, str | torch.device) and torch.device(device).type == "meta"


def _numbered(value: Any) -> Any:
    """ "cuda" as cuda:0: which of them is the current one would be asked of the driver."""
    if isinstance(value, str) and value in ("cuda", "cuda:0"):
        return GPU
    return GPU if isinstance(value, torch.device) and value.type == "cuda" else value


def _moved(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """`tensor.to(...)`, which is the tensor itself where nothing changes."""
    like = [a for a in (*args, kwargs.pop("other", None)) if isinstance(a, Tensor)]
    rest = [a for a in args if not isinstance(a, Tensor)]
    for other in like:
        rest += [other.device, other.dtype]
    device = kwargs.pop("device", None) or next((a for a in rest if isinstance(a, torch.device | str)), None)
    dtype = kwargs.pop("dtype", None) or next((a for a in rest if isinstance(a, torch.dtype)), None)
    kwargs.pop("non_blocking", None)
    if isinstance(tensor, GpuTensor) and device == GPU:
        device = None  # C++ would take it for a move from "meta"
    named = {name: value for name, value in (("device", device), ("dtype", dtype)) if value is not None}
    return Tensor.to(tensor, **named, **kwargs) if named or kwargs else tensor
