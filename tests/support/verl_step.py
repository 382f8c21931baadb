"""One step of the benchmark's arithmetic on a model of seeded noise: what verl computed and what this project does.

Prompts, completions and rewards are made here from plain numbers, so that neither nano's world nor sampling enters.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from core.arms.arm import Arm, Step
from core.model.logprobs import TokenBatch
from core.model.policy import Policy
from core.spec import VERL, TrainConfig
from core.training.step import backward
from support import small_policy

PROMPTS, MEMBERS = 8, 8
VOCABULARY = 200
SHARPER = 14.0


def config(**fields: Any) -> TrainConfig:
    """64 rollouts on 4 ranks: two micro-batches of 8 each. The KL weighs enough to be seen beside the policy's term."""
    shape = {"model": "smoke", "lora_r": 2, "lora_alpha": 2, "batch": PROMPTS * MEMBERS, "completions": MEMBERS}
    return TrainConfig(**{**shape, "kl": 0.05, "skip_tied": False, **VERL, **fields})


@torch.no_grad()
def policy(c: TrainConfig) -> Policy:
    """Sure of its words, and far enough from the reference that K3 of some tokens is above the cap."""
    found = small_policy.moved(small_policy.policy(c), scale=0.3)
    found.adapter.model.get_output_embeddings().weight.mul_(SHARPER)
    return found


def batch() -> TokenBatch:
    """Prompts of 3 to 9 tokens, completions of 1 to 24."""
    drawing = random.Random(0)
    prompts = [_tokens(drawing, 3, 9) for _ in range(PROMPTS)]
    completions = [_tokens(drawing, 1, 24) for _ in range(PROMPTS * MEMBERS)]
    return TokenBatch.pad(prompts, completions, [i // MEMBERS for i in range(len(completions))], "cpu")


def _tokens(drawing: random.Random, shortest: int, longest: int) -> list[int]:
    return [drawing.randrange(VOCABULARY) for _ in range(drawing.randint(shortest, longest))]


def rewards() -> Tensor:
    """(P, G) of the benchmark's four payments; one group is tied."""
    drawing = random.Random(1)
    found = torch.tensor([[drawing.choice([0.0, 0.5, 3.0, 3.5]) for _ in range(MEMBERS)] for _ in range(PROMPTS)])
    found[2] = 3.5
    return found


@dataclass
class FixedStep(Step):
    """Whose rollouts are given."""

    def rollouts(self) -> TokenBatch:
        return batch()


def gradient(
    found: Policy,
    paid: Tensor | None = None,
    counted: Tensor | None = None,
    is_teacher: Tensor | None = None,
    arm: Arm | None = None,
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Of the step's loss by parameter, with the step's columns: the project's own functions, from rewards on."""
    nobody = torch.zeros(PROMPTS, MEMBERS, dtype=torch.bool)
    for parameter in found.adapter.parameters.values():
        parameter.grad = torch.zeros_like(parameter)
    step = FixedStep(1, 7, found.config, found, None, {})  # the loss reads no data of the run
    step.is_teacher = nobody if is_teacher is None else is_teacher
    row = backward(arm or Arm(), step, rewards() if paid is None else paid, ~nobody if counted is None else counted)
    return {n: p.grad.clone() for n, p in found.adapter.parameters.items() if p.grad is not None}, row


def fingerprint(tensor: Tensor) -> list[float]:
    """Norm, and products with two fixed vectors: what is stored of a gradient."""
    flat = tensor.detach().double().flatten()
    places = torch.arange(len(flat), dtype=torch.float64)
    return [float(flat.norm()), float(flat @ torch.cos(places)), float(flat @ torch.cos(places.square()))]
