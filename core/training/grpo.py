"""Group-relative policy optimisation as tensor functions: P prompts, G completions each, N = P * G rollouts.

One update per sampling, so the probability ratio is 1 in value and only its gradient matters; the clip then never
binds, and is written out because later arms may take more than one update. Shao et al. 2024 (DeepSeekMath, eq. 3, 4);
Liu et al. 2025 (Dr. GRPO) for advantages without the standard deviation.
"""

from __future__ import annotations

import torch
from torch import Tensor


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


def k3(logps: Tensor, reference_logps: Tensor) -> Tensor:
    """Unbiased, non-negative estimate of KL(policy || reference) per token: exp(d) - d - 1, d = ref - policy."""
    d = reference_logps - logps
    return d.exp() - d - 1


def token_weight(aggregate: str, tokens: int, rollouts: int, max_new: int) -> float:
    """The weight of each token's term, for a whole step: token_mean 1/tokens; dr_grpo 1/(rollouts * max_new)."""
    return 1.0 / {"token_mean": tokens, "dr_grpo": rollouts * max_new}[aggregate]


def learning_rate(step: int, steps: int, peak: float, warmup: int, schedule: str) -> float:
    """Rate of step 1..steps: linear warm-up, then constant, or a cosine that would reach zero one step later."""
    if step <= warmup:
        return peak * step / warmup
    if schedule == "constant":
        return peak
    done = (step - warmup - 1) / max(1, steps - warmup)
    return peak * 0.5 * (1 + float(torch.cos(torch.tensor(done * torch.pi, dtype=torch.float64))))
