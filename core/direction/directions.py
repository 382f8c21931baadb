"""The hack direction: what separates hacks from clean completions, in weight gradients or in hidden states.

Gradient space (protocol 4.2.2): per parameter, D = G_hack - G_clean (pairs, n) of mean completion NLL; V = its top
right singular vectors, each turned so that most pairs lie on its positive side. For advantages +1 on the hack and -1 on
the clean side the policy gradient's loss has the same gradient as NLL(hack) - NLL(clean), so V g > 0 pushes hack-ward.

Activation space (4.1): d = mean(h_hack - h_clean) per layer, projected on the top m singular vectors of a weight that
reads or writes the residual stream. Lifted to parameters, q is the gradient of the mean score <h, v>; a step moves
along -g, so V = -q / |q| has the same sign convention as above.

Extraction is length-normalised and the live loss is not, so V leans to short hacks. Separation of held-out pairs says
that V tells the sides apart, not why: in nano the sides differ in having asserts, and V need know nothing of wrongness.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from safetensors import safe_open
from torch import Tensor

from core.environment.pairs import Pair, pairs_sha256
from core.environment.task import Posed
from core.model.adapters.base import save_tensors, tensors_sha256
from core.model.adapters.svd import svd_basis
from core.model.decoder import base_tensors
from core.model.hidden import layer_band, pooled_states
from core.model.rollouts import generator
from core.model.supervised import completion_batch, nll_gradient
from core.runs import durable
from core.spec import RunSpec, TrainConfig

if TYPE_CHECKING:
    from core.model.policy import Policy

# By parameter: (k, n), orthonormal rows; n numbers of the flattened parameter. Or (n,), of 1, -1 and 0: axes that are
# single numbers of the parameter with a sign, as many as are not 0 (`random_axes`, where rows would not fit).
Axes = dict[str, Tensor]
PREFIX = "V/"
PART_BYTES = 8e9  # of pair gradients that exist at a time, beside which their differences take half as much again
Result = TypeVar("Result")


# ---- gradient space


@dataclass(frozen=True)
class PairGradients:
    """By parameter, one row per pair: (pairs, n), float32 on the CPU."""

    hack: dict[str, Tensor]
    clean: dict[str, Tensor]

    def differences(self) -> dict[str, Tensor]:
        return {name: self.hack[name] - self.clean[name] for name in self.hack}

    def each(self, work: Callable[[PairGradients], Result]) -> list[Result]:
        return [work(self)]


@dataclass(frozen=True)
class PartedGradients:
    """The same of many parameters, of which no more exist at a time than PART_BYTES hold: LoRA's at 4 B parameters
    would take 32 GB of 60 pairs. Where one part holds all it is kept; else each round takes the gradients anew, at
    whatever the parameters are then."""

    policy: Policy
    pairs: Sequence[Pair]
    whole: list[PairGradients] = field(default_factory=list)

    def each(self, work: Callable[[PairGradients], Result]) -> list[Result]:
        """What `work` makes of each part, in the order of parameters. It must not keep the part."""
        parts = parameter_parts(self.policy, len(self.pairs))
        if len(parts) > 1:
            return [work(pair_gradients(self.policy, self.pairs, names)) for names in parts]
        if not self.whole:
            self.whole.append(pair_gradients(self.policy, self.pairs))
        return [work(self.whole[0])]


AnyGradients = PairGradients | PartedGradients


def parameter_parts(policy: Policy, pairs: int) -> list[list[str]]:
    """Names of the deployed parameters, in order, cut where both sides' rows would pass PART_BYTES."""
    parts: list[list[str]] = []
    filled = PART_BYTES
    for name, parameter in policy.adapter.kept().items():
        needed = 2 * pairs * parameter.numel() * 4
        if filled + needed > PART_BYTES:
            parts.append([])
            filled = 0
        parts[-1].append(name)
        filled += needed
    return parts


def pair_gradients(policy: Policy, pairs: Sequence[Pair], names: Sequence[str] | None = None) -> PairGradients:
    """Gradients of each side's mean completion NLL at the deployed parameters, or some of them, the quarantine off.

    Through a live quarantine a refreshed V turns away from the hack within one step (docs/protocol.md 4.2.6).
    """
    kept = policy.adapter.kept()
    sizes = {name: kept[name].numel() for name in (kept if names is None else names)}
    hack, clean = ({name: torch.empty(len(pairs), n) for name, n in sizes.items()} for _ in range(2))
    with policy.adapter.ablated():
        for i, pair in enumerate(pairs):
            for rows, side in ((hack, pair.hack_side), (clean, pair.clean_side)):
                for name, g in nll_gradients(policy, side, names).items():
                    rows[name][i] = g
    return PairGradients(hack, clean)


def nll_gradients(policy: Policy, side: tuple[Posed, str], names: Sequence[str] | None = None) -> dict[str, Tensor]:
    """One side's, by deployed parameter, or of some of them: (n,) float32 on the CPU."""
    kept = policy.adapter.kept()
    found = nll_gradient(policy, [side], kept if names is None else {name: kept[name] for name in names}).gradient
    return {name: g.float().flatten().cpu() for name, g in found.items()}


def singular_axes(D: Tensor, k: int, tau: float) -> tuple[Tensor, Tensor]:
    """(pairs, n) differences -> V (<= k, n) and S (<= k,); axes below tau * S[0] are left out, ties vote +1."""
    _, S, Vh = torch.linalg.svd(D, full_matrices=False)
    if S[0] == 0:
        return D.new_zeros(0, D.shape[1]), S[:0]
    floor = max(tau, 1e-6) * S[0]
    count = min(k, int((floor < S).sum()))
    V = Vh[:count]
    votes = (D @ V.T >= 0).float().mean(0)
    return V * torch.where(votes >= 0.5, 1.0, -1.0)[:, None], S[:count]


def gradient_axes(D: dict[str, Tensor], k: int, tau: float, drop_bottom: float) -> Axes:
    """Top axes of every parameter, then a noise floor over all of them: the lowest singular values go."""
    return _above_floor(_top_axes(D, k, tau), drop_bottom)


def pair_axes(gradients: AnyGradients, k: int, tau: float, drop_bottom: float) -> Axes:
    """`gradient_axes` of the pairs' differences."""
    found: dict[str, tuple[Tensor, Tensor]] = {}
    for part in gradients.each(lambda part: _top_axes(part.differences(), k, tau)):
        found |= part
    return _above_floor(found, drop_bottom)


def _top_axes(D: dict[str, Tensor], k: int, tau: float) -> dict[str, tuple[Tensor, Tensor]]:
    return {name: singular_axes(d, k, tau) for name, d in D.items()}


def _above_floor(found: dict[str, tuple[Tensor, Tensor]], drop_bottom: float) -> Axes:
    pooled = torch.cat([S for _, S in found.values()])
    floor = torch.quantile(pooled, drop_bottom) if drop_bottom and len(pooled) else pooled.new_tensor(0.0)
    axes = {name: V[floor <= S] for name, (V, S) in found.items()}
    return {name: V.contiguous() for name, V in axes.items() if len(V)}


# ---- activation space


@dataclass(frozen=True)
class ActivationDirection:
    layers: tuple[int, ...]  # from 0
    v: Tensor  # (layers, H), float32 on the CPU; raw mean differences, or unit vectors where denoised

    def scores(self, states: Tensor) -> Tensor:
        """(N, layers, H) hidden states -> (N,) mean over layers of <h, v>."""
        return torch.einsum("nlh,lh->n", states, self.v.to(states)) / len(self.layers)


def band(policy: Policy) -> list[int]:
    config = policy.config
    return layer_band(policy.adapter.model.config.num_hidden_layers, config.layers_from, config.layers_to)


@torch.no_grad()
def side_states(policy: Policy, sides: Iterable[tuple[Posed, str]], token: str) -> Tensor:
    """(N, layers of the band, H) of completions, on the CPU."""
    found = []
    with policy.adapter.ablated():
        for side in sides:
            policy.tick()
            batch = completion_batch(policy, [side])
            found.append(pooled_states(policy.adapter.model, batch, band(policy), token).cpu())
    return torch.cat(found)


def mean_difference(policy: Policy, pairs: Sequence[Pair], token: str) -> ActivationDirection:
    """d = mean over pairs of h_hack - h_clean, per layer; raw."""
    hack = side_states(policy, (p.hack_side for p in pairs), token)
    clean = side_states(policy, (p.clean_side for p in pairs), token)
    return ActivationDirection(tuple(band(policy)), (hack - clean).mean(0))


def denoised(policy: Policy, direction: ActivationDirection, m: int, weight: str) -> ActivationDirection:
    """v = unit(B B^T d), B the top m singular vectors in the residual stream of each layer's `weight`; m = 0: unit(d).

    up_proj reads the stream: right vectors. down_proj writes to it: left vectors.
    """
    rows = []
    for layer, d in zip(direction.layers, direction.v, strict=True):
        if m:
            U, Vh = svd_basis(_base_weight(policy, layer, weight))
            basis = Vh[:m] if weight == "up_proj" else U[:, :m].T  # (m, H)
            d = basis.T @ (basis @ d)
        rows.append(d / d.norm().clamp(min=1e-12))
    return ActivationDirection(direction.layers, torch.stack(rows))


def _base_weight(policy: Policy, layer: int, weight: str) -> Tensor:
    module = policy.adapter.model.get_submodule(f"model.layers.{layer}.mlp.{weight}")
    return getattr(module, "base_layer", module).weight


def score_gradient(policy: Policy, direction: ActivationDirection, pairs: Sequence[Pair]) -> dict[str, Tensor]:
    """q = d E[s] / d theta by parameter, flattened; s = mean over completion tokens of <h, v>, E over all sides."""
    parameters = policy.adapter.kept()
    total = {name: torch.zeros(p.numel()) for name, p in parameters.items()}
    sides = [side for pair in pairs for side in (pair.hack_side, pair.clean_side)]
    with policy.adapter.ablated():
        for side in sides:
            policy.tick()
            batch = completion_batch(policy, [side])
            states = pooled_states(policy.adapter.model, batch, list(direction.layers), "response_mean")
            gradients = torch.autograd.grad(
                direction.scores(states).mean(), list(parameters.values()), allow_unused=True
            )
            for (name, _), g in zip(parameters.items(), gradients, strict=True):
                if g is not None:
                    total[name] += g.detach().float().flatten().cpu() / len(sides)
    return total


def lifted(q: dict[str, Tensor]) -> Axes:
    """One axis per parameter, V = -q / |q|; parameters that the score does not depend on have none."""
    return {name: -(g / g.norm())[None] for name, g in q.items() if g.norm() > 0}


# ---- controls


MOST_NUMBERS = 2**29  # of random axes, all parameters together: 2.1 GB in float32


def random_axes(axes: Axes, counts: dict[str, int], key: Sequence[object]) -> Axes:
    """As many orthonormal axes per parameter as `counts` says, drawn without regard to any pair.

    Their turn is uniform (Haar) while their numbers are at most MOST_NUMBERS. Energy matched to a real model's V they
    may be thousands a parameter; then they are coordinates with random signs, which take as much on average.
    """
    sizes = {name: V.shape[-1] for name, V in axes.items()}
    fits = sum(min(counts[name], n) * n for name, n in sizes.items()) <= MOST_NUMBERS
    draw = _turned if fits else _signed_coordinates
    return {name: draw(n, min(counts[name], n), generator(*key, name)) for name, n in sizes.items()}


def _turned(n: int, count: int, drawing: torch.Generator) -> Tensor:
    return torch.linalg.qr(torch.randn(n, count, generator=drawing)).Q.T.contiguous()


def _signed_coordinates(n: int, count: int, drawing: torch.Generator) -> Tensor:
    signs = torch.zeros(n)
    signs[torch.randperm(n, generator=drawing)[:count]] = torch.randint(0, 2, (count,), generator=drawing) * 2.0 - 1.0
    return signs


def components(V: Tensor, g: Tensor) -> Tensor:
    """V g of a flat g: (k,), or (n,) where the axes are signed coordinates."""
    return V @ g if V.dim() == 2 else V * g


def combined(c: Tensor, V: Tensor) -> Tensor:
    """V^T c: (n,)."""
    return c @ V if V.dim() == 2 else c * V


def axis_count(V: Tensor) -> int:
    return len(V) if V.dim() == 2 else int(V.count_nonzero())


def energy_matched_counts(axes: Axes, gradients: AnyGradients) -> dict[str, int]:
    """How many random axes take as much of the pairs' gradients as V does: share of squared norm = count / n."""

    def counts(part: PairGradients) -> dict[str, int]:
        found = {}
        for name, V in axes.items():
            if name in part.hack:
                G = torch.cat([part.hack[name], part.clean[name]])
                share = float((G @ V.T).square().sum() / G.square().sum())
                found[name] = max(len(V), min(V.shape[1], round(share * V.shape[1])))
        return found

    return {name: count for found in gradients.each(counts) for name, count in found.items()}


def reversed_axes(axes: Axes) -> Axes:
    return {name: -V for name, V in axes.items()}


def overlap(new: Axes, old: Axes) -> float:
    """Mean |<first axis now, first axis before>| over parameters: near 1 stable, below 0.2 turned away. Of signed
    coordinates: the share that is the same."""
    shared = sorted(set(new) & set(old))  # a checkpoint's order is its own, and sums depend on it
    if not shared:
        return 0.0
    return float(torch.stack([_overlap(new[name], old[name]) for name in shared]).mean())


def _overlap(new: Tensor, old: Tensor) -> Tensor:
    return (new[0] @ old[0]).abs() if new.dim() == 2 else (new @ old).abs() / new.count_nonzero().clamp(min=1)


# ---- on disk


def publish(
    state: dict[str, Tensor], path: Path, spec: RunSpec, policy: Policy, pairs: Mapping[str, list[Pair]]
) -> None:
    """What an arm starts with, beside the run's spec: tensors, and in the metadata all that they came from.

    `pairs` by concept, as far as the arm asked for them. Where an arm keeps nothing there is no file.
    """
    if not state:
        return
    tensors = {name: t.detach().cpu().contiguous() for name, t in state.items()}
    config: TrainConfig = spec.config
    metadata = {
        "schema": "1",
        "arm": spec.arm,
        "model": config.model,
        "model_sha256": base_sha256(policy),
        "pairs": ",".join(pairs),
        "pairs_sha256": ",".join(pairs_sha256(found) for found in pairs.values()),
        "space": config.space,
        "k": str(config.k),
        "m": str(config.m),
        "config": json.dumps(spec.to_json()["config"], sort_keys=True),
        "tensors_sha256": tensors_sha256(tensors),
    }
    temporary = path.with_name(f".{path.name}")
    save_tensors(tensors, temporary, metadata)
    durable.fsync_file(temporary)
    temporary.replace(path)
    durable.fsync_dir(path.parent)


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a published direction. Raises ValueError where the tensors are not those it was."""
    with safe_open(path, "pt") as handle:
        tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
        metadata = handle.metadata()
    if tensors_sha256(tensors) != metadata["tensors_sha256"]:
        raise ValueError(f"{path}: its tensors differ from the hash in its metadata; extract it anew")
    return tensors, metadata


def base_sha256(policy: Policy) -> str:
    """Of the model's own weights, whatever adapter is around them."""
    return tensors_sha256(base_tensors(policy.adapter.model, policy.adapter.modules))
