"""The hack direction that a run's config describes: as tensors, as a judge of held-out pairs, and as a push.

gradient (and update): V per parameter as the arms extract it; what judges and pushes is the mean difference of the
pairs' gradients within span(V). activation: the mean difference of hidden states, denoised to rank m, per layer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from core.attempt import Attempt
from core.direction import directions
from core.direction.directions import PREFIX, Axes, PairGradients, PartedGradients
from core.direction.separation import Separation, activation_direction, separation, separation_along, side_states, split
from core.direction.steering import Push, activation_pushes, gradient_pushes
from core.environment.pairs import Pair
from core.model.load import DataError
from core.model.policy import Policy
from core.model.run_data import PairSets, pair_sets

RESIDUAL = "v"  # (layers of the band, H), a unit vector per layer


@dataclass(frozen=True)
class Extraction:
    tensors: dict[str, Tensor]  # what direction.safetensors holds
    about: dict[str, Any]  # its space and size
    separation: Callable[[Sequence[Pair]], Separation]  # of held-out pairs
    pushes: Callable[[float], dict[str, Push]]  # by strength: "v", "-v", "random", of one length


@dataclass(frozen=True)
class PairSplit:
    sets: PairSets
    extract: list[Pair]
    held_out: list[Pair]


def hack_pairs(attempt: Attempt) -> PairSplit:
    """Raises DataError where no pair is held out: a direction is not judged by what it was made of."""
    sets = pair_sets(attempt.run, attempt.spec.config)
    extract, held_out = split(sets("hack"))
    if not held_out:
        raise DataError(
            f'all {len(extract)} pairs are to extract from; mark some as "split": "held_out", a fifth or 20 of them'
        )
    return PairSplit(sets, extract, held_out)


def extraction(policy: Policy, pairs: Sequence[Pair]) -> Extraction:
    """Raises DataError where the pairs give no direction."""
    return (_in_activations if policy.config.space == "activation" else _in_gradients)(policy, pairs)


def _in_gradients(policy: Policy, pairs: Sequence[Pair]) -> Extraction:
    c = policy.config
    gradients = PartedGradients(policy, pairs)
    axes = directions.pair_axes(gradients, c.k, c.tau_axis, c.drop_bottom)
    if not axes:
        raise DataError(f"{len(pairs)} pairs give no direction: both sides of each have the same gradient")
    hackward: dict[str, Tensor] = {}
    for part in gradients.each(lambda part: _mean_within(part, axes)):
        hackward |= part
    return Extraction(
        {f"{PREFIX}{name}": V for name, V in axes.items()},
        {"space": "gradient", "k": c.k, "axes": sum(map(len, axes.values())), "parameters": len(axes)},
        lambda held_out: separation_along(hackward, gradients, PartedGradients(policy, held_out)),
        gradient_pushes(hackward),
    )


def _mean_within(part: PairGradients, axes: Axes) -> dict[str, Tensor]:
    """The pairs' mean difference within span(V), by parameter."""
    found = part.differences()
    return {name: V.T @ (V @ found[name].mean(0)) for name, V in axes.items() if name in found}


def _in_activations(policy: Policy, pairs: Sequence[Pair]) -> Extraction:
    c = policy.config
    states = side_states(policy, pairs, c.token)
    v = activation_direction(policy, states, c.m)
    if not float(v.v.norm()):
        raise DataError(f"{len(pairs)} pairs give no direction at token {c.token}: both sides have the same states")

    def of_held_out(held_out: Sequence[Pair]) -> Separation:
        unseen = side_states(policy, held_out, c.token)
        return separation(*((v.scores(half.hack), v.scores(half.clean)) for half in (states, unseen)))

    about = {"space": "activation", "m": c.m, "token": c.token, "layers": [layer + 1 for layer in v.layers]}
    return Extraction({RESIDUAL: v.v}, about, of_held_out, activation_pushes(v, states))
