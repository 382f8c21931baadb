"""Arms that train a deployed block and a quarantine, and throw the quarantine away (docs/protocol.md 3.2, 3.3, 4.3).

A mask (m, d) says whether the quarantine is in the forward and whether the deployed block's output is detached:

    keep (0, 0)    absorb (1, 0)    route (1, 1)

absorb            every rollout (1, 0), which is what no mask does: the control that routes nothing
route_act         vGROUT: live rollouts get one of the three by where their hidden states lie along v_act
random_v_act      its control: the same along random directions; thresholds are quantiles, so as many are routed
sgtm              Shilov & Cloud 2025 (2512.05648): authored hacks and cleans are learned beside unmasked rollouts;
                  hack: NLL gradient to the quarantine's parameters only; clean: without the quarantine
gradient_routing  Cloud et al. 2024 (2410.04332): as sgtm, but a hack's gradient is stopped at the deployed block's
                  outputs, so it does not pass through that block to layers below either; clean: unmasked

Labels come from authored pairs alone. What a live rollout did is never asked, only where its activations lie.

A kept rollout (0, 0) was sampled with the quarantine in and is learned from without it: the policy whose gradient is
taken is then not the one that spoke. So it is in the source. A deployed hack rate near zero does not show that v_act
found the hack: the arm random_v_act must do worse.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from core.arms.arm import Arm, Context, Step
from core.environment.pairs import Pair
from core.environment.task import Posed
from core.model.adapters.base import Adapter
from core.model.hidden import completion_weights, run
from core.model.logprobs import TokenBatch
from core.model.policy import Policy
from core.model.rollouts import generator
from core.model.supervised import NllGradient, completion_batch, nll_gradient

ABSORB = Arm(deploys_ablated=True)


def masked(adapter: Adapter, is_in: Tensor, is_detached: Tensor) -> Context:
    assert adapter.masked is not None, "core.arm_rules lets these arms have no other adapter than lora_blocks"
    return adapter.masked(is_in, is_detached)


# ---- labelled arms: sgtm and gradient_routing

Labelled = Callable[[Step, Sequence[tuple[Posed, str]]], NllGradient]


def labelled_pairs(step: Step) -> list[Pair]:
    """This step's, drawn anew; all of them where there are fewer."""
    pairs = step.extraction_pairs()
    return random.Random(f"labelled {step.seed} {step.number}").sample(pairs, min(step.config.labelled, len(pairs)))


def to_quarantine(step: Step, sides: Sequence[tuple[Posed, str]]) -> NllGradient:
    """The forward as it is; only the quarantine's parameters get the gradient, through both blocks."""
    adapter = step.adapter
    return nll_gradient(step.policy, sides, {name: adapter.parameters[name] for name in adapter.quarantine})


def without_quarantine(step: Step, sides: Sequence[tuple[Posed, str]]) -> NllGradient:
    """m = 0 in every row: the quarantine is not in the forward and gets no gradient."""
    with step.adapter.ablated():
        return nll_gradient(step.policy, sides, step.adapter.kept())


def past_detached(step: Step, sides: Sequence[tuple[Posed, str]]) -> NllGradient:
    """m = 1, d = 1 in every row: the forward as it is, the deployed block's outputs without gradient."""
    yes = torch.ones(1, dtype=torch.bool, device=step.config.device)  # one mask for as many rows as there are
    with masked(step.adapter, yes, yes):
        return nll_gradient(step.policy, sides, step.adapter.parameters)


def unmasked(step: Step, sides: Sequence[tuple[Posed, str]]) -> NllGradient:
    return nll_gradient(step.policy, sides, step.adapter.parameters)


def add_labelled(step: Step, hack: Labelled, clean: Labelled) -> None:
    """.grad += w / 2 (d mean NLL of the hack sides + d mean NLL of the clean sides), w = labelled_weight.

    So every labelled side weighs the same. Columns nll_hack, nll_clean: before this step. lab_share: the gradients'
    |labelled| / (|labelled| + |policy|); both are clipped as one, so where it is near 1 the rollouts hardly count.
    """
    pairs, parameters = labelled_pairs(step), step.adapter.parameters
    on_hack = hack(step, [pair.hack_side for pair in pairs])
    on_clean = clean(step, [pair.clean_side for pair in pairs])
    policy_square = labelled_square = 0.0
    for name, parameter in parameters.items():
        assert parameter.grad is not None, "the loop gives every parameter a gradient"
        added = torch.zeros_like(parameter)
        for found in (on_hack, on_clean):
            if name in found.gradient:
                added += step.config.labelled_weight / 2 * found.gradient[name]
        policy_square += float(parameter.grad.square().sum())
        labelled_square += float(added.square().sum())
        parameter.grad += added
    total = policy_square**0.5 + labelled_square**0.5
    step.row |= {"nll_hack": on_hack.nll, "nll_clean": on_clean.nll}
    step.row["lab_share"] = labelled_square**0.5 / total if total else None


def labelling(hack: Labelled, clean: Labelled) -> Arm:
    return Arm(gradient=lambda step: add_labelled(step, hack, clean), deploys_ablated=True)


SGTM = labelling(hack=to_quarantine, clean=without_quarantine)
GRADIENT_ROUTING = labelling(hack=past_detached, clean=unmasked)


# ---- route_act

DIRECTION, SCORES, CHOICE = "v/", "scores", "choice"
KEPT, ABSORBED, ROUTED = 0, 1, 2

ByModule = dict[str, Tensor]


@torch.no_grad()
def kept_means(adapter: Adapter, batch: TokenBatch) -> ByModule:
    """hbar by module, (N, r) float32: the mean over completion tokens of A x, A the deployed block's, x what the
    module reads when the quarantine is off."""
    weights = completion_weights(batch)  # (N, Lc)
    found: ByModule = {}

    def hook(name: str, layer: Any, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0][:, -weights.shape[1] :].float()  # (N, Lc, d_in)
        A = (layer.kept.A0 + layer.kept.A).float()  # (r, d_in)
        found[name] = torch.einsum("ntd,nt->nd", x, weights) @ A.T

    handles = [
        layer.register_forward_pre_hook(functools.partial(hook, name)) for name, layer in adapter.modules.items()
    ]
    try:
        with adapter.ablated():
            run(adapter.model, batch)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _side_means(policy: Policy, sides: Sequence[tuple[Posed, str]]) -> ByModule:
    """(sides, r) by module."""
    parts, at_once = [], policy.config.micro_batch
    for start in range(0, len(sides), at_once):
        policy.tick()
        parts.append(kept_means(policy.adapter, completion_batch(policy, sides[start : start + at_once])))
    return {name: torch.cat([part[name] for part in parts]) for name in policy.adapter.modules}


def v_act(step: Step) -> ByModule:
    """unit(mean over extraction pairs of hbar_hack - hbar_clean) by module, (r,)."""
    pairs = step.extraction_pairs()
    hack = _side_means(step.policy, [pair.hack_side for pair in pairs])
    clean = _side_means(step.policy, [pair.clean_side for pair in pairs])
    differences = {name: (hack[name] - clean[name]).mean(0) for name in hack}
    return {name: d / d.norm().clamp(min=1e-12) for name, d in differences.items()}


def random_v_act(step: Step) -> ByModule:
    """A unit vector by module, (r,), uniform on the sphere (Haar); a refresh draws the same again."""
    c, drawn = step.config, {}
    for name in step.adapter.modules:
        v = torch.randn(c.lora_r, generator=generator(step.seed, "v_act", name))
        drawn[name] = (v / v.norm()).to(c.device)
    return drawn


def rollout_scores(step: Step, v: ByModule) -> Tensor:
    """(N,) sum over modules of <hbar, v>, of the step's completions under the present policy."""
    policy, c = step.policy, step.config
    batch, scores = step.rollouts(), []
    for rows in torch.arange(len(batch.group), device=c.device).split(c.micro_batch):
        policy.tick()
        means = kept_means(policy.adapter, batch.take(rows))
        scores.append(torch.stack([means[name] @ v[name] for name in means]).sum(0))
    return torch.cat(scores)


def recency_weights(count: int, half_life: float) -> Tensor:
    """(count,) the newest, last one weighs 1, one that is half_life places older weighs 1/2."""
    return 0.5 ** (torch.arange(count - 1, -1, -1, dtype=torch.float64) / half_life)


def weighted_quantile(values: Tensor, weights: Tensor, q: float) -> float:
    """Linear between values that stand at the middle of their share of the weight; flat beyond the outermost two.

    So the quantile q of some values is minus the quantile 1 - q of their negatives: both tails are cut alike.
    """
    order = values.argsort()
    x, w = values[order].double().tolist(), weights[order].double()
    at = ((w.cumsum(0) - w / 2) / w.sum()).tolist()
    if q <= at[0]:
        return x[0]
    for i in range(1, len(x)):
        if q <= at[i]:
            return x[i - 1] + (x[i] - x[i - 1]) * (q - at[i - 1]) / (at[i] - at[i - 1])
    return x[-1]


def choices(scores: Tensor, low: float, high: float) -> Tensor:
    """(N,) -> KEPT below low, ROUTED above high, ABSORBED between and on either."""
    return torch.where(scores < low, KEPT, torch.where(scores > high, ROUTED, ABSORBED))


def choose(step: Step, rewards: Tensor, direction: Callable[[Step], ByModule]) -> Tensor:
    """Sort the step's rollouts, teachers' too; all of them count.

    Thresholds are quantiles of the buffer with this step's scores in it, so the first step routes already. Rollouts of
    one step age in the order of their places. Scores outlive a refresh of v: half_life is what forgets them.
    """
    c = step.config
    _refresh(step, direction)
    scores = rollout_scores(step, _directions(step)).cpu()
    buffer = torch.cat([step.state.get(SCORES, torch.zeros(0)).cpu(), scores])[-c.route_buffer :]
    weights = recency_weights(len(buffer), c.route_half_life)
    low, high = (weighted_quantile(buffer, weights, q) for q in (c.route_tail, 1 - c.route_tail))
    choice = choices(scores, low, high)
    step.state |= {SCORES: buffer, CHOICE: choice}
    for column, value in (("keep", KEPT), ("resid", ABSORBED), ("rout", ROUTED)):
        step.row[column] = float((choice == value).float().mean())
    return torch.ones_like(rewards, dtype=torch.bool)


def _directions(step: Step) -> ByModule:
    device = step.config.device
    names = sorted(n for n in step.state if n.startswith(DIRECTION))  # a checkpoint's order is its own
    return {n.removeprefix(DIRECTION): step.state[n].to(device) for n in names}


def _refresh(step: Step, direction: Callable[[Step], ByModule]) -> None:
    """Every `refresh` steps v is taken anew, at the parameters of now."""
    if step.config.refresh and step.number > 1 and (step.number - 1) % step.config.refresh == 0:
        old, new = _directions(step), direction(step)
        step.state.update({f"{DIRECTION}{name}": v for name, v in new.items()})
        step.row["basis_overlap"] = float(torch.stack([new[name] @ old[name] for name in old]).mean())


def chosen_masks(step: Step, rows: Tensor) -> Context:
    choice = step.state[CHOICE].to(rows.device)[rows]
    return masked(step.adapter, choice != KEPT, choice == ROUTED)


def routing(direction: Callable[[Step], ByModule]) -> Arm:
    """route_act along any unit vectors. Scores are read in `mask`, once, before the first forward that is trained."""
    return Arm(
        prepare=lambda step: {f"{DIRECTION}{name}": v for name, v in direction(step).items()},
        mask=lambda step, rewards: choose(step, rewards, direction),
        forward=chosen_masks,
        deploys_ablated=True,
    )


ROUTE_ACT = routing(v_act)
RANDOM_V_ACT = routing(random_v_act)
