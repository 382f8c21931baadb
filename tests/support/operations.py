"""Every operation that torch is asked for, backward passes too, and those of which a GPU knows no order of summing.

The list is that of the documentation of torch.use_deterministic_algorithms: what raises with mode=True, on CUDA.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

RAISING = frozenset(
    {
        "adaptive_avg_pool3d_backward",
        "_adaptive_avg_pool2d_backward",
        "_adaptive_avg_pool3d_backward",
        "adaptive_max_pool2d_backward",
        "avg_pool3d_backward",
        "fractional_max_pool2d_backward",
        "fractional_max_pool3d_backward",
        "max_unpool2d",
        "max_unpool3d",
        "upsample_linear1d_backward",
        "upsample_bilinear2d_backward",
        "upsample_bicubic2d_backward",
        "upsample_trilinear3d_backward",
        "reflection_pad1d_backward",
        "reflection_pad2d_backward",
        "reflection_pad3d_backward",
        "nll_loss2d_forward",  # NLLLoss of images; of rows it is nll_loss_forward, which is fine
        "_ctc_loss_backward",
        "_embedding_bag_dense_backward",
        "put_",
        "put",
        "histc",
        "bincount",
        "median.dim",
        "nanmedian.dim",
        "grid_sampler_2d_backward",
        "grid_sampler_3d_backward",
        "scatter_reduce",
        "scatter_reduce_",
        "kthvalue",
    }
)


class Operations(TorchDispatchMode):
    """While it is entered: `seen` holds the names, without their overload but for median's."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def __torch_dispatch__(
        self, called: Any, types: Sequence[type], arguments: Sequence[Any] = (), named: dict[str, Any] | None = None
    ) -> Any:
        name = called.overloadpacket.__name__
        self.seen.add(f"{name}.dim" if name.endswith("median") and called._overloadname == "dim" else name)
        operation: Callable[..., Any] = called
        return operation(*arguments, **(named or {}))
