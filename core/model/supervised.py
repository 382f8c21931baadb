"""The gradient of given completions' NLL: what directions are made of, and what teaches arms beside their rollouts.

    L = mean over completions of (mean over its tokens of -log p)

Each completion weighs the same however long it is, and none is cut at max_new.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from core.environment.task import Posed
from core.model.logprobs import TokenBatch, completion_logps

if TYPE_CHECKING:
    from core.model.policy import Policy


@dataclass(frozen=True)
class NllGradient:
    nll: float
    gradient: dict[str, Tensor]  # by parameter, in its shape; zero where the NLL does not depend on it


def completion_batch(policy: Policy, sides: Sequence[tuple[Posed, str]]) -> TokenBatch:
    """Prompts and completions as the policy would have seen and written them, the end token included."""
    prompts = [policy.prompt(task) for task, _ in sides]
    completions = [policy.language_model.encode_completion(text) for _, text in sides]
    return TokenBatch.pad(prompts, completions, range(len(sides)), policy.config.device)


def nll_gradient(
    policy: Policy, sides: Sequence[tuple[Posed, str]], parameters: Mapping[str, torch.nn.Parameter]
) -> NllGradient:
    """dL / d`parameters` under whatever switches and masks of the adapter hold now; .grad is left alone."""
    total = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
    nll = 0.0
    for start in range(0, len(sides), policy.config.micro_batch):
        policy.tick()
        batch = completion_batch(policy, sides[start : start + policy.config.micro_batch])
        logps = completion_logps(policy.adapter.model, batch)
        loss = -(logps.sum(1) / batch.completion_mask.sum(1)).sum() / len(sides)
        found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
        for name, g in zip(parameters, found, strict=True):
            if g is not None:
                total[name] += g
        nll += float(loss.detach())
    return NllGradient(nll, total)
