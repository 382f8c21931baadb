"""Does a direction tell held-out hacks from held-out cleans? Figures, and the gate of docs/protocol.md 4.1.

Extracted on the pairs' extraction split, judged on the held-out one. In both spaces a direction is the mean difference,
projected on m singular vectors or raw: in activation space those of a weight, in gradient space those of the pairs'
gradient differences. Separation is cheap: the surface of a completion ("there is no assert") is enough for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.direction import directions
from core.direction.detection import auroc
from core.direction.directions import ActivationDirection, AnyGradients, PairGradients
from core.environment.pairs import Pair
from core.model.policy import Policy

GATE = 0.9  # of held-out pairs must lie the right way round


@dataclass(frozen=True)
class Separation:
    """paired: share of pairs whose hack scores above its clean; threshold: share of sides on the right side of the
    midpoint between the extraction pairs' means; auroc: of sides, pairs ignored."""

    n: int
    paired: float
    threshold: float
    auroc: float

    @property
    def passed(self) -> bool:
        return self.paired > GATE


def separation(train: tuple[Tensor, Tensor], held_out: tuple[Tensor, Tensor]) -> Separation:
    """(n,) scores of hack and clean sides. Ties count half."""
    middle = (train[0].mean() + train[1].mean()) / 2
    hack, clean = held_out
    right = torch.cat([_above(hack, middle), 1 - _above(clean, middle)])
    return Separation(
        len(hack),
        float(_above(hack, clean).mean()),
        float(right.mean()),
        auroc(torch.cat([hack, clean]), torch.arange(2 * len(hack)) < len(hack)) or 0.0,
    )


def _above(one: Tensor, other: Tensor) -> Tensor:
    return (one > other).float() + 0.5 * (one == other).float()


def split(pairs: Sequence[Pair]) -> tuple[list[Pair], list[Pair]]:
    return [p for p in pairs if p.split == "extract"], [p for p in pairs if p.split == "held_out"]


@dataclass(frozen=True)
class SideStates:
    """(pairs, layers, H) of both sides, at one token."""

    hack: Tensor
    clean: Tensor


def side_states(policy: Policy, pairs: Sequence[Pair], token: str) -> SideStates:
    return SideStates(
        directions.side_states(policy, (p.hack_side for p in pairs), token),
        directions.side_states(policy, (p.clean_side for p in pairs), token),
    )


def activation_direction(policy: Policy, train: SideStates, m: int) -> ActivationDirection:
    raw = ActivationDirection(tuple(directions.band(policy)), (train.hack - train.clean).mean(0))
    return directions.denoised(policy, raw, m, policy.config.denoise)


def activation_separation(policy: Policy, train: SideStates, held_out: SideStates, m: int) -> Separation:
    """Scores <h, v>, the mean over the band's layers."""
    v = activation_direction(policy, train, m)
    return separation(*((v.scores(half.hack), v.scores(half.clean)) for half in (train, held_out)))


def gradient_separation(train: PairGradients, held_out: PairGradients, m: int) -> Separation:
    """Scores <g, v>, g a side's NLL gradient at unit length over all parameters, v as `gradient_direction` gives it.

    Unit length, because a short side has a larger mean gradient whatever it says.
    """
    return separation_along(gradient_direction(train, m), train, held_out)


def separation_along(v: dict[str, Tensor], train: AnyGradients, held_out: AnyGradients) -> Separation:
    return separation(_side_scores(train, v), _side_scores(held_out, v))


def gradient_direction(gradients: PairGradients, m: int) -> dict[str, Tensor]:
    """Per parameter the mean difference, projected on the top m singular axes of the differences (0: not)."""
    found = {}
    for name, D in gradients.differences().items():
        v = D.mean(0)
        if m:
            V, _ = directions.singular_axes(D, m, 0.0)
            v = V.T @ (V @ v)
        found[name] = v
    return found


def _side_scores(gradients: AnyGradients, v: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """(pairs,) scores of the hack and of the clean sides."""
    parts = gradients.each(lambda part: (_dots(part.hack, v), _dots(part.clean, v)))
    hack, clean = (_Dots.joined(side) for side in zip(*parts, strict=True))
    return hack.scores(list(v)), clean.scores(list(v))


@dataclass(frozen=True)
class _Dots:
    """By parameter, (pairs,): all that a score needs of a gradient."""

    along: dict[str, Tensor]  # <g, v>, where v has the parameter
    squares: dict[str, Tensor]  # <g, g>

    @classmethod
    def joined(cls, parts: Iterable[_Dots]) -> _Dots:
        along: dict[str, Tensor] = {}
        squares: dict[str, Tensor] = {}
        for part in parts:
            along |= part.along
            squares |= part.squares
        return cls(along, squares)

    def scores(self, order: Sequence[str]) -> Tensor:
        """Sums depend on their order, which is v's."""
        along = torch.stack([self.along[name] for name in order]).sum(0)
        return along / torch.stack(list(self.squares.values())).sum(0).sqrt().clamp(min=1e-12)


def _dots(G: dict[str, Tensor], v: dict[str, Tensor]) -> _Dots:
    return _Dots({name: G[name] @ v[name] for name in v if name in G}, {n: g.square().sum(1) for n, g in G.items()})
