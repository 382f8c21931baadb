"""Remove the hack-ward part of a gradient, or of a parameter's change.

c = V g picks out the part along known hacks; one_sided keeps only c > 0, motion *towards* the hack (protocol 4.2.3).
cout = 0 on the gradient afterwards is arithmetic, not evidence, and Adam's moments move along V all the same:
so cout is measured on the parameters' actual change, and only the hack rate against random V settles anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from core.direction.directions import Axes, axis_count, combined, components

GATES: dict[str, Callable[[Tensor], Tensor]] = {
    "one_sided": torch.relu,
    "no_gate": lambda c: c,
    "reverse": lambda c: 2 * c,
}
FIRED = 1e-6  # a parameter's cin above this counts as fired


@dataclass(frozen=True)
class Removal:
    """g = kept + removed, but for a norm that was given back."""

    kept: Tensor
    removed: Tensor


def remove(g: Tensor, V: Tensor, gate: str, overshoot: float = 1.0, preserve_magnitude: bool = False) -> Removal:
    """`g` of any shape, V its axes; both results have g's shape."""
    flat = g.flatten()
    c = components(V, flat)  # (k,) c > 0: pushes hack-ward
    removed = overshoot * combined(GATES[gate](c), V)  # (n,) in span(V)
    kept = flat - removed
    if preserve_magnitude and float(kept.norm()) > 0:
        kept = kept * (flat.norm() / kept.norm())
    return Removal(kept.view_as(g), removed.view_as(g))


@dataclass(frozen=True)
class Share:
    """How a vector lies to the hack direction, over all parameters with axes; all None where the vector is zero."""

    hackward: float | None = None  # |relu(V g)| / |g|, in [0, 1]
    fired: float | None = None  # share of parameters whose own ratio is above FIRED
    cosine: float | None = None  # to the sum of all axes, in [-1, 1]; positive: towards the hack


def hackward_share(gradients: dict[str, Tensor], axes: Axes) -> Share:
    """cin and cos_align of gradients, cout and cos_out of updates."""
    along = {name: components(V, gradients[name].flatten()) for name, V in axes.items()}
    squares = [(float(c.relu().square().sum()), float(gradients[name].square().sum())) for name, c in along.items()]
    total = sum(whole for _, whole in squares)
    if not total > 0:
        return Share()
    ratios = [(part / whole) ** 0.5 if whole > 0 else 0.0 for part, whole in squares]
    axes_norm = sum(map(axis_count, axes.values())) ** 0.5  # of the sum of orthonormal axes
    return Share(
        (sum(part for part, _ in squares) / total) ** 0.5,
        sum(ratio > FIRED for ratio in ratios) / len(ratios),
        sum(float(c.sum()) for c in along.values()) / (total**0.5 * axes_norm),
    )


def position(parameters: dict[str, Tensor], axes: Axes) -> tuple[float, float | None]:
    """How far parameters that started at zero have moved hack-ward, -sum V theta; their norm's share in span(V), None
    where they have not moved."""
    along = {name: components(V, parameters[name].detach().flatten()) for name, V in axes.items()}
    whole = sum(float(parameters[name].detach().square().sum()) for name in axes)
    inside = sum(float(c.square().sum()) for c in along.values())
    return -sum(float(c.sum()) for c in along.values()), (inside / whole) ** 0.5 if whole > 0 else None
