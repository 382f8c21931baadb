"""What an adapter adds to the output of a linear module, kept beside its weight.

In bfloat16 a weight cannot take up a young adapter: W + BA rounds to W where BA is below half of W's last bit, and the
sampler went on with the base model for dozens of steps. Beside the weight the change keeps its own precision; output
and change are added and then rounded, exactly as in the trained layer's forward.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Branch:
    """up (scale * down x), in the dtype of the three."""

    down: Tensor  # (r, d_in)
    up: Tensor  # (d_out, r)
    scale: Tensor | None = None  # (r,)

    def add(self, y: Tensor, x: Tensor) -> None:
        """To y (..., d_out), in place: the sum is made in the wider dtype and rounded once."""
        h = F.linear(x.to(self.down.dtype), self.down)
        y.add_(F.linear(h if self.scale is None else self.scale * h, self.up))


def joined(branches: Sequence[Branch]) -> list[Branch]:
    """The same for outputs that stand one after the other, in fewer products where the matrices are thin.

    Those with a scale are a weight's size and the adapter's own: put together they would be copied.
    """
    if any(branch.scale is not None for branch in branches):
        return list(branches)
    return [Branch(torch.cat([b.down for b in branches]), torch.block_diag(*(b.up for b in branches)))]
