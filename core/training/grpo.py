"""Group-relative policy optimisation as tensor functions: P prompts, G completions each, N = P * G rollouts.

One update per sampling, so the probability ratio is 1 in value and only its gradient matters; the clip then never
binds, and is written out because later arms may take more than one update. Shao et al. 2024 (DeepSeekMath, eq. 3, 4);
Liu et al. 2025 (Dr. GRPO) for advantages without the standard deviation.
"""

from __future__ import annotations

import torch
from torch import Tensor

from core.spec import TrainConfig
from core.training.micro_batches import micro_batches


def group_advantages(rewards: Tensor, kind: str, counted: Tensor | None = None) -> Tensor:
    """(P, G) rewards -> (P, G) advantages.

    std: (r - mean) / (std + 1e-6); mean: r - mean (Dr.GRPO: dividing by the spread up-weights groups that barely vary).
    Rollouts that are not `counted` enter neither mean nor std and have none; nor has a group without spread.
    """
    counted = torch.ones_like(rewards, dtype=torch.bool) if counted is None else counted
    number = counted.sum(1, keepdim=True)
    mean = (rewards * counted).sum(1, keepdim=True) / number.clamp(min=1)
    centred = (rewards - mean) * counted
    spread = (centred.square().sum(1, keepdim=True) / (number - 1).clamp(min=1)).sqrt()
    scaled = centred / (spread + 1e-6) if kind == "std" else centred
    return torch.where(spread > 1e-6, scaled, torch.zeros_like(scaled))


def is_tied(rewards: Tensor) -> Tensor:
    """(P, G) -> (P,) whether all members of a group earned the same."""
    return rewards.amax(1) == rewards.amin(1)


def policy_objective(logps: Tensor, old_logps: Tensor, advantages: Tensor, clip: float) -> Tensor:
    """Per token, to be maximised: min(ratio A, clip(ratio) A); (N, L), (N, L), (N,) -> (N, L)."""
    ratio = (logps - old_logps).exp()
    bounded = ratio.clamp(1 - clip, 1 + clip)
    return torch.minimum(ratio * advantages[:, None], bounded * advantages[:, None])


def k3(logps: Tensor, reference_logps: Tensor, cap: float = 0.0) -> Tensor:
    """Unbiased, non-negative estimate of KL(policy || reference) per token: exp(d) - d - 1, d = ref - policy.

    With a cap it is at most that, and where it would be more it has no gradient (verl's low_var_kl, cap 10).
    """
    d = reference_logps - logps
    if not cap:
        return d.exp() - d - 1
    d = d.clamp(-cap - 1, cap + 1)  # out there K3 is above the cap already; an infinite exp would make its gradient nan
    return (d.exp() - d - 1).clamp(max=cap)


def logp_temperature(config: TrainConfig) -> float:
    """What logits are divided by before log-probabilities of the loss are taken."""
    return config.temperature if config.logp_temperature == "sampling" else 1.0


def token_weights(config: TrainConfig, prompt_lengths: Tensor, lengths: Tensor) -> Tensor:
    """The weight of each rollout's tokens in the step's loss; (N,), (N,) tokens of prompts, completions -> (N,).

    token_mean: 1 / tokens of the step. micro_batch_mean: 1 / tokens of its micro-batch / micro-batches. dr_grpo:
    1 / (rollouts * max_new). All rollouts count, dropped and tied ones too: a step's scale does not depend on them.
    """
    rollouts = len(lengths)
    if config.aggregate == "token_mean":
        return torch.full((rollouts,), 1 / int(lengths.sum()))
    if config.aggregate == "dr_grpo":
        return torch.full((rollouts,), 1 / (rollouts * config.max_new))
    groups = micro_batches((prompt_lengths + lengths).tolist(), config.loss_micro_batch, config.loss_ranks)
    weights = torch.zeros(rollouts)
    for places in groups:
        weights[places] = 1 / (len(groups) * int(lengths[places].sum()))
    return weights


def learning_rate(config: TrainConfig, step: int) -> float:
    """Rate of step 1..steps: linear warm-up, then constant, or a cosine that would reach zero one step later.

    The warm-up ends with the whole rate at step `warmup`; from zero, as verl's, with step 1 at 0, one step later.
    """
    risen = step - 1 if config.warmup_from_zero else step
    if step <= config.warmup:
        return config.lr * risen / config.warmup
    if config.schedule == "constant":
        return config.lr
    done = (step - config.warmup - 1) / max(1, config.steps - config.warmup)
    return config.lr * 0.5 * (1 + float(torch.cos(torch.tensor(done * torch.pi, dtype=torch.float64))))
