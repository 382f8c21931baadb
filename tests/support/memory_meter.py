"""Bytes that tensors on device "meta" would hold: each storage counted from its first reference to its last.

Within `metered()` torch believes in a GPU: attention takes the memory-efficient CUDA kernel, with a bool mask turned
into a bias and padded to 16, as torch does; values asked of the device are made up (false, or one). What a GPU adds
and the meter does not see: the CUDA context, workspaces of libraries, and what the allocator wastes.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

BLOCK = 512  # bytes: torch's CUDA allocator rounds every request up to it
INDEXED_BY_MASK = ("index", "index_put", "index_put_")


class MemoryMeter(TorchDispatchMode):
    """`live` and `peak` in bytes; `peak` since the last `restart`."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._sizes: dict[int, int] = {}

    def restart(self) -> None:
        self.peak = self.live

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name.split("::")[1]
        if name in ("_local_scalar_dense", "item", "is_nonzero"):
            return False if args[0].dtype == torch.bool or name == "is_nonzero" else 1
        if name in ("normal_", "uniform_"):
            return args[0]
        if name in INDEXED_BY_MASK and any(isinstance(i, Tensor) and i.dtype == torch.bool for i in args[1]):
            out = _all_kept(name, args)
        elif name == "nonzero":
            out = torch.empty(args[0].numel(), args[0].dim(), dtype=torch.long, device="meta")
        else:
            out = func(*args, **kwargs)
        for tensor in tree_flatten(out)[0]:
            if isinstance(tensor, Tensor) and tensor.device.type == "meta":
                self.count(tensor)
        return out

    def count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._sizes:
            return
        self._sizes[key] = -(-storage.nbytes() // BLOCK) * BLOCK
        self.live += self._sizes[key]
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._free, key)

    def _free(self, key: int) -> None:
        self.live -= self._sizes.pop(key, 0)


def _all_kept(name: str, args: Any) -> Tensor:
    """Indexing by a mask whose values nobody knows: every row is taken, which is the worst case."""
    tensor, mask = args[0], args[1][0]
    if name == "index":
        return tensor.clone().flatten(0, mask.dim() - 1)
    return tensor if name.endswith("_") else torch.empty_like(tensor)


def _attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """What torch does on CUDA where flash attention is not possible."""
    bias = attn_mask
    if bias is not None:
        if bias.dtype == torch.bool:
            bias = torch.zeros_like(bias, dtype=q.dtype).masked_fill_(bias.logical_not(), float("-inf"))
        if bias.shape[-1] % 16:
            bias = F.pad(bias, (0, -bias.shape[-1] % 16))[..., : bias.shape[-1]]
        bias = bias.expand(q.shape[0], q.shape[1], q.shape[2], k.shape[2])
    if enable_gqa:
        k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], 1) for x in (k, v))
    needs_lse = torch.is_grad_enabled() and any(x.requires_grad for x in (q, k, v))
    kernel = torch.ops.aten._scaled_dot_product_efficient_attention
    return kernel(q, k, v, bias, needs_lse, dropout_p, is_causal, scale=scale)[0]


@contextlib.contextmanager
def metered() -> Iterator[MemoryMeter]:
    """Torch's own attention and its check for a captured graph are replaced for as long as the context lasts."""
    optimizer = torch.optim.Optimizer
    replaced = [(F, "scaled_dot_product_attention", _attention)]
    for name in ("_accelerator_graph_capture_health_check", "_cuda_graph_capture_health_check"):
        if hasattr(optimizer, name):
            replaced.append((optimizer, name, lambda self: None))
    earlier = [(owner, name, getattr(owner, name)) for owner, name, _ in replaced]
    for owner, name, value in replaced:
        setattr(owner, name, value)
    try:
        with MemoryMeter() as meter:
            yield meter
    finally:
        for owner, name, value in earlier:
            setattr(owner, name, value)
