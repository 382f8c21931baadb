"""Which tensors CUDA lets meet: https://docs.pytorch.org/docs/stable/notes/cuda.html, and the checks of ATen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from support.pretended_gpu.tensor import GpuTensor

ACROSS = ("_to_copy", "copy_", "set_")  # what moves numbers between devices
INDEXED = ("index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index", "_unsafe_index_put")
# A CPU scalar may meet CUDA tensors elementwise. These take no part in that.
WITHOUT_SCALARS = (
    *("cat", "stack", "mm", "bmm", "addmm", "baddbmm", "addbmm", "linear", "mv", "dot", "embedding"),
    *("gather", "scatter", "scatter_add", "index_select", "index_add", "index_copy", "masked_scatter", "searchsorted"),
)


def require_one_device(name: str, args: Sequence[Any], tensors: Sequence[Any]) -> None:
    """`tensors`: all of the call's, one of them at least on the GPU. Raises RuntimeError as CUDA does."""
    if name in ACROSS:
        return
    here = [t for t in tensors if not isinstance(t, GpuTensor)]
    if name in INDEXED:
        indices = [i for i in args[1] if i is not None]
        if isinstance(args[0], GpuTensor):  # CPU indices of a CUDA tensor are moved by torch itself
            here = [t for t in here if not any(t is i for i in indices)]
        elif any(isinstance(i, GpuTensor) for i in indices):
            raise RuntimeError(f"{name}: indices should be either on cpu or on the same device as the indexed tensor")
    wrong = here if name in WITHOUT_SCALARS else [t for t in here if t.dim() > 0]
    if wrong:
        raise RuntimeError(
            f"{name}: expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu "
            f"(shapes on the cpu: {', '.join(_shape(t) for t in wrong)})"
        )


def require_own_generator(name: str, kwargs: dict[str, Any]) -> None:
    """Draws on the GPU need a generator of the GPU; here is none."""
    found = kwargs.get("generator")
    if found is not None and found.device.type != "cuda":
        raise RuntimeError(f"{name}: expected a 'cuda' device type for generator but found '{found.device.type}'")


def _shape(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {tensor.dtype}"
