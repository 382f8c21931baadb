"""Rebound: a concept direction in hidden states lowers a rollout's reward before the group is normalised, or is taken
out of the hidden states while sampling. Wu & Tang 2026 (2604.01476), eqs. 1, 3-5; docs/protocol.md 2.3.

    s = <h, d>, mean over layers;  z = (s - mean_group s) / max(std_group s, 0.1)
    additive         r' = r - alpha max(z, 0)
    multiplicative   r' = r (1 - alpha sigmoid(z) [z > 0])

One-sided on purpose: low scores earn nothing. At alpha = 2 any z > 0 makes the factor negative. The paper's text reads
h at the prompt's last token, where z would be 0 for a whole group; here it is the rollout's last token. std is the
sample standard deviation, as in the advantages.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from core.arms.arm import Arm, State, Step
from core.direction import directions
from core.direction.directions import ActivationDirection
from core.model.hidden import pooled_states

STD_FLOOR = 0.1
DIRECTION = "d"


def prepare(step: Step) -> State:
    """d per layer of the band: the raw mean difference, or its unit vector with unit_norm."""
    d = directions.mean_difference(step.policy, step.extraction_pairs(), step.config.token).v
    return {DIRECTION: d / d.norm(dim=1, keepdim=True) if step.config.unit_norm else d}


def group_z(scores: Tensor) -> Tensor:
    """(P, G) -> (P, G)."""
    std = scores.std(1, keepdim=True) if scores.shape[1] > 1 else torch.zeros_like(scores)
    return (scores - scores.mean(1, keepdim=True)) / std.clamp(min=STD_FLOOR)


def additive(rewards: Tensor, z: Tensor, alpha: float) -> Tensor:
    return rewards - alpha * z.relu()


def multiplicative(rewards: Tensor, z: Tensor, alpha: float) -> Tensor:
    return rewards * factor(z, alpha)


def factor(z: Tensor, alpha: float) -> Tensor:
    return 1 - alpha * torch.sigmoid(z) * (z > 0)


@torch.no_grad()
def rollout_scores(step: Step) -> Tensor:
    """(P, G) scores of the step's completions under the present policy."""
    policy, config = step.policy, step.config
    direction = ActivationDirection(tuple(directions.band(policy)), step.state[DIRECTION])
    batch, scores = step.rollouts(), []
    for rows in torch.arange(len(batch.group), device=config.device).split(config.micro_batch):
        policy.tick()
        states = pooled_states(policy.adapter.model, batch.take(rows), direction.layers, config.token)
        scores.append(direction.scores(states).cpu())
    return torch.cat(scores).view(len(step.completions), -1)


def penalising(penalty: Callable[[Tensor, Tensor, float], Tensor]) -> Arm:
    def reward(step: Step, rewards: Tensor) -> Tensor:
        scores = rollout_scores(step)
        z = group_z(scores)
        step.row |= {"z_std": float(scores.std(1).mean()), "factor": float(factor(z, step.config.alpha).mean())}
        return penalty(rewards, z, step.config.alpha)

    return Arm(prepare=prepare, reward=reward)


@contextlib.contextmanager
def suppressed(step: Step) -> Iterator[None]:
    """While sampling, h loses its positive component along d after every layer of the band, prompts included."""
    units = {
        layer: d / d.norm().clamp(min=1e-12)
        for layer, d in zip(directions.band(step.policy), step.state[DIRECTION], strict=True)
    }

    def edit(layer: int, x: Tensor) -> Tensor:
        if layer not in units:
            return x
        u = units[layer] = units[layer].to(x)  # once: this is asked for every token
        return x - (x @ u).relu()[..., None] * u

    step.policy.decoder.edit = edit
    try:
        yield
    finally:
        step.policy.decoder.edit = None


def suppressing() -> Arm:
    return Arm(prepare=prepare, sampling=suppressed)
