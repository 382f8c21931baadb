"""Arms that are told the truth about each rollout: upper bounds, not methods (docs/protocol.md 1.10).

They are the only ones that see labels, and a plan holds them only where it says `preregistered = false`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from core.arms.arm import Arm, Step
from core.environment.rewards import is_hack

PENALTY = 3.0  # as much as a hack earns


def hacks(step: Step) -> Tensor:
    """(P, G) strict hacks among the rollouts."""
    assert step.labels is not None, "an oracle arm declares sees_labels"
    return torch.tensor(
        [[is_hack(task.mode, g) for g in group] for task, group in zip(step.tasks, step.labels, strict=True)]
    )


PENALISE = Arm(reward=lambda step, rewards: rewards - PENALTY * hacks(step), sees_labels=True)
SCREEN = Arm(mask=lambda step, rewards: ~hacks(step), sees_labels=True)
