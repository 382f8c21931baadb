"""Arms that act along V on every step: erase, route, erase_update, and the controls that they must beat; and V beside
any other arm, to be measured along and not used.

What an arm is made of: a source of V (which pairs, and what is done to the axes), and where it is used. A control is
the same arm with another source. `space` says how V is taken (gradient and update: from NLL gradients; activation: from
hidden states, lifted) and, in arms that leave it open, where it is used: on the gradient, or on the change after AdamW.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from core.arms.arm import Arm, State, Step
from core.direction import directions
from core.direction.directions import PREFIX, Axes, PartedGradients
from core.direction.interventions import Removal, hackward_share, position, remove
from core.environment import pairs
from core.environment.pairs import CLEAN_VS_CLEAN, Pair
from core.model.adapters.base import WRITERS

NULL_PREFIX = "R/"  # random axes of V's shape, beside which cin is read
RESIDUAL = "v"  # the unit direction in the residual stream, where lift = subspace uses it itself

log = logging.getLogger(__name__)


class NoDirection(RuntimeError):
    """The pairs give no V."""


# ---- where V comes from


@dataclass(frozen=True)
class Source:
    """`pairs` to extract from; `axes` makes what is used of what was extracted."""

    pairs: Callable[[Step], list[Pair]]
    axes: Callable[[Step, Axes, Sequence[Pair]], Axes] = lambda step, axes, pairs: axes


def _random(step: Step, axes: Axes, extracted: Sequence[Pair]) -> Axes:
    counts = {name: len(V) for name, V in axes.items()}
    if step.config.match == "energy":
        counts = directions.energy_matched_counts(axes, PartedGradients(step.policy, extracted))
    return directions.random_axes(axes, counts, (step.seed, "random V"))


HACK = Source(lambda step: step.extraction_pairs("hack"))
RANDOM = Source(lambda step: step.extraction_pairs("hack"), _random)
REVERSED = Source(lambda step: step.extraction_pairs("hack"), lambda step, axes, _: directions.reversed_axes(axes))
REPAIRED = Source(lambda step: pairs.repaired(step.extraction_pairs("hack"), step.seed))
SHUFFLED = Source(lambda step: pairs.shuffled(step.extraction_pairs("hack"), step.seed))
CLEAN = Source(lambda step: step.extraction_pairs(CLEAN_VS_CLEAN))
PLACEBO = Source(lambda step: step.extraction_pairs("placebo"))


def extracted(step: Step, source: Source, space: str) -> Axes:
    """V by parameter. Raises NoDirection where the pairs give none."""
    c, chosen = step.config, source.pairs(step)
    if space == "activation":
        direction = directions.mean_difference(step.policy, chosen, c.token)
        denoised = directions.denoised(step.policy, direction, c.m, c.denoise)
        axes = directions.lifted(directions.score_gradient(step.policy, denoised, chosen))
    else:
        axes = directions.pair_axes(PartedGradients(step.policy, chosen), c.k, c.tau_axis, c.drop_bottom)
    if not axes:
        raise NoDirection(f"{len(chosen)} pairs give no direction: every parameter's differences are zero")
    device = next(iter(step.adapter.parameters.values())).device
    return {name: V.to(device) for name, V in source.axes(step, axes, chosen).items()}


def prepare(step: Step, source: Source, space: str) -> State:
    axes = extracted(step, source, space)
    counts = {name: directions.axis_count(V) for name, V in axes.items()}
    null = directions.random_axes(axes, counts, (step.seed, "cin_rand"))
    state = {f"{PREFIX}{name}": V for name, V in axes.items()}
    return state | {f"{NULL_PREFIX}{name}": V.to(axes[name]) for name, V in null.items()}


def axes_of(state: State, prefix: str = PREFIX) -> Axes:
    """In order of name: a state that comes from a checkpoint has an order of its own, and sums depend on it."""
    return {name.removeprefix(prefix): state[name] for name in sorted(state) if name.startswith(prefix)}


def refreshed(step: Step, source: Source, space: str) -> None:
    """Every `refresh` steps V is extracted anew, at the parameters of now."""
    if step.config.refresh and step.number > 1 and (step.number - 1) % step.config.refresh == 0:
        old, new = axes_of(step.state), extracted(step, source, space)
        for name in old:
            del step.state[f"{PREFIX}{name}"]
        step.state.update({f"{PREFIX}{name}": V for name, V in new.items()})
        step.row["basis_overlap"] = directions.overlap(new, old)


# ---- what is done with it


def measure_gradient(step: Step) -> Axes:
    """The columns of cin on this step's gradient, null where it is zero; returns V."""
    axes, parameters = axes_of(step.state), step.adapter.parameters
    whole = {name: _grad(parameters[name]) for name in axes}
    share = hackward_share(whole, axes)
    null = {name: V for name, V in axes_of(step.state, NULL_PREFIX).items() if name in axes}
    step.row |= {"cin": share.hackward, "cin_s": share.hackward, "fired": share.fired, "cos_align": share.cosine}
    step.row["cin_rand"] = hackward_share(whole, null).hackward
    if step.student_gradient is not None:
        students = {name: step.student_gradient[name] for name in axes}
        step.row["cin_s"] = hackward_share(students, axes).hackward
        step.row["cin_t"] = hackward_share({n: whole[n] - students[n] for n in axes}, axes).hackward
    return axes


def _grad(parameter: torch.nn.Parameter) -> Tensor:
    assert parameter.grad is not None, "the loop gives every parameter a gradient"
    return parameter.grad


def _removal(step: Step, g: Tensor, V: Tensor) -> Removal:
    c = step.config
    return remove(g, V, c.gate, c.overshoot, c.preserve_magnitude)


def erase_gradient(step: Step) -> None:
    """g becomes g without its hack-ward part."""
    for name, V in measure_gradient(step).items():
        parameter = step.adapter.parameters[name]
        parameter.grad = _removal(step, _grad(parameter), V).kept


def route_gradient(step: Step) -> None:
    """As erase, and what was removed becomes the quarantine's gradient."""
    for name, V in measure_gradient(step).items():
        parameter = step.adapter.parameters[name]
        parts = _removal(step, _grad(parameter), V)
        parameter.grad = parts.kept
        step.adapter.parameters[step.adapter.parked[name]].grad = parts.removed


@torch.no_grad()
def measure_update(step: Step, before: dict[str, Tensor]) -> None:
    """cout on what the parameters really did, Adam and weight decay included, and where they stand along V."""
    axes = axes_of(step.state)
    moved = {name: before[name] - step.adapter.parameters[name] for name in axes}  # as a gradient: against the motion
    share = hackward_share(moved, axes)
    step.row |= {"cout": share.hackward, "cos_out": share.cosine}
    step.row["v_pos"], step.row["v_share"] = position(dict(step.adapter.parameters), axes)
    parked = [step.adapter.parameters[name] for name in step.adapter.quarantine]
    if parked:
        step.row["dSh"] = float(torch.stack([p.norm() for p in parked]).norm())


@torch.no_grad()
def erase_update(step: Step, before: dict[str, Tensor]) -> None:
    """theta_old - u', where u = theta_old - theta_new and u' is u without its hack-ward part: nothing passes Adam."""
    for name, V in axes_of(step.state).items():
        parameter = step.adapter.parameters[name]
        parameter.copy_(before[name] - _removal(step, before[name] - parameter, V).kept)
    measure_update(step, before)


@torch.no_grad()
def shrink_update(step: Step, before: dict[str, Tensor]) -> None:
    """The whole step, as short as erase_update would have made it: is it the direction that helps, or the brake?"""
    axes, parameters = axes_of(step.state), step.adapter.parameters
    u = {name: before[name] - parameters[name] for name in axes}
    kept = torch.stack([_removal(step, u[name], V).kept.norm() for name, V in axes.items()]).norm()
    whole = torch.stack([u[name].norm() for name in axes]).norm()
    factor = float(kept / whole) if whole > 0 else 1.0
    for name in axes:
        parameters[name].copy_(before[name] - factor * u[name])
    step.row["factor"] = factor
    measure_update(step, before)


# ---- v1: the residual direction itself


def prepare_residual(step: Step) -> State:
    """The unit direction of lift = subspace: the mean over the band's layers."""
    c, chosen = step.config, step.extraction_pairs("hack")
    direction = directions.denoised(
        step.policy, directions.mean_difference(step.policy, chosen, c.token), c.m, c.denoise
    )
    v = direction.v.mean(0)
    return {RESIDUAL: (v / v.norm()).to(next(iter(step.adapter.parameters.values())).device)}


def erase_residual(step: Step) -> None:
    """Writers' B loses v (v^T B), readers' A loses (A v) v^T, whatever their sign: no gate is definable here."""
    v = step.state[RESIDUAL]
    removed = whole = 0.0
    for name, parameter in step.adapter.parameters.items():
        leaf, g = step.adapter.module_of[name].rpartition(".")[2], _grad(parameter)
        along = torch.zeros_like(g)
        if leaf in WRITERS and "lora_B" in name:
            along = v[:, None] * (v @ g)
        elif leaf not in WRITERS and "lora_A" in name:
            along = (g @ v)[:, None] * v
        kept = g - along
        if step.config.preserve_magnitude and float(kept.norm()) > 0:
            kept = kept * (g.norm() / kept.norm())
        parameter.grad = kept
        removed += float(along.square().sum())
        whole += float(g.square().sum())
    step.row.setdefault("cin", (removed / whole) ** 0.5 if whole else None)  # with `measure` it is V's


# ---- the arms


def acting(source: Source, space: str, gradient: Callable[[Step], object], update: Callable[..., None]) -> Arm:
    """An arm whose V comes from `source` in a fixed space."""

    def on_gradient(step: Step) -> None:
        refreshed(step, source, space)
        gradient(step)

    return Arm(prepare=lambda step: prepare(step, source, space), gradient=on_gradient, update=update, has_axes=True)


def control(source: Source) -> Arm:
    """An arm with another V, where the config's space says: as erase, as erase_update, or as projected does."""

    def on_gradient(step: Step) -> None:
        refreshed(step, source, step.config.space)
        (measure_gradient if step.config.space == "update" else erase_gradient)(step)

    def on_update(step: Step, before: dict[str, Tensor]) -> None:
        (erase_update if step.config.space == "update" else measure_update)(step, before)

    return Arm(
        prepare=lambda step: prepare(step, source, step.config.space),
        gradient=on_gradient,
        update=on_update,
        has_axes=True,
    )


# ---- V beside an arm that does not use it


def measured(arm: Arm) -> Arm:
    """The same arm with V extracted before its first step, and each gradient (before the arm changes it) and each
    change of the parameters read along it. Nothing is changed by that; where the pairs give no V the columns are null.
    """
    if arm.has_axes:
        return arm

    def on_prepare(step: Step) -> State:
        return (arm.prepare(step) if arm.prepare else {}) | _to_measure(step)

    def on_gradient(step: Step) -> None:
        if axes_of(step.state):
            refreshed(step, HACK, step.config.space)
            measure_gradient(step)
        if arm.gradient:
            arm.gradient(step)

    def on_update(step: Step, before: dict[str, Tensor]) -> None:
        if arm.update:
            arm.update(step, before)
        if axes_of(step.state):
            measure_update(step, before)

    return replace(arm, prepare=on_prepare, gradient=on_gradient, update=on_update, has_axes=True)


def _to_measure(step: Step) -> State:
    """Extracted here and not read from another run's file: what a row says must not depend on when that run ends."""
    try:
        return prepare(step, HACK, step.config.space)
    except NoDirection as error:
        log.warning("nothing is measured along V: %s", error)
        return {}


# ---- v1, in either lift


def projected() -> Arm:
    """v1: by score_grad along V, or by subspace along the residual direction; the config's `lift` decides."""
    subspace = Arm(prepare=prepare_residual, gradient=erase_residual)
    by_lift = {
        ("score_grad", False): (lifted := acting(HACK, "activation", erase_gradient, measure_update)),
        ("score_grad", True): lifted,
        ("subspace", False): replace(subspace, update=lambda step, before: None),
        ("subspace", True): measured(subspace),
    }

    def hook(name: str) -> Callable[..., Any]:
        return lambda step, *rest: getattr(by_lift[step.config.lift, step.config.measure], name)(step, *rest)

    return Arm(prepare=hook("prepare"), gradient=hook("gradient"), update=hook("update"), has_axes=True)
