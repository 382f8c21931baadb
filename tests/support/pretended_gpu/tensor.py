"""A tensor on the pretended GPU: its numbers are a tensor on the CPU, and Python is told that they lie on cuda:0.

C++ is told "meta": it then asks no driver, and runs the backward in the calling thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

GPU = torch.device("cuda:0")

Operation = Callable[[Any, tuple[Any, ...], dict[str, Any]], Any]  # (overload, args, kwargs) -> result


class GpuTensor(Tensor):
    numbers: Tensor
    operation: Operation | None = None  # what is done with every call while there is a device

    @staticmethod
    def __new__(cls, numbers: Tensor) -> GpuTensor:
        made = Tensor._make_wrapper_subclass(
            cls,
            numbers.size(),
            strides=numbers.stride(),
            storage_offset=numbers.storage_offset(),
            dtype=numbers.dtype,
            layout=numbers.layout,
            device=torch.device("meta"),
        )
        made.numbers = numbers
        return made

    device = property(lambda self: GPU)  # type: ignore[assignment]
    is_cuda = property(lambda self: True)  # type: ignore[assignment]
    is_cpu = property(lambda self: False)  # type: ignore[assignment]
    is_meta = property(lambda self: False)  # type: ignore[assignment]
    __torch_function__ = torch._C._disabled_torch_function_impl

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"GpuTensor({self.numbers!r})"

    # With these two torch swaps a module's parameters when it moves, as it must where their class changes.
    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["numbers"], None

    @staticmethod
    def __tensor_unflatten__(inner: dict[str, Tensor], meta: Any, size: Any, stride: Any) -> GpuTensor:
        return GpuTensor(inner["numbers"])

    @classmethod
    def __torch_dispatch__(cls, overload: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert GpuTensor.operation is not None, f"{overload} on a tensor that outlived its device"
        return GpuTensor.operation(overload, args, kwargs or {})
