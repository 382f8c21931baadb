"""An arm is what an experiment changes about plain GRPO: a frozen record of optional hooks that the loop calls.

The loop calls every hook that is there, in this order, and never asks which arm it runs:

    prepare   once before the first step      -> the arm's state, a dict of tensors that checkpoints keep
    rollout   what the policy is asked        (step's tasks -> tasks)
    reward    what a graded completion earns  ((P, G) rewards -> (P, G) rewards)
    mask      which rollouts count            ((P, G) rewards -> (P, G) bool, for statistics and gradient)
    gradient  after backward, before clipping and AdamW; changes .grad in place
    update    after AdamW; sees the parameters before the step, changes them in place

Hooks get a `Step` and may add to its `row`, which becomes the step's metrics row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from core.adapter import Adapter
from core.hints import TEST_FUNC_NAME, shown_tests
from core.problems import DEFAULT_HINT, Problem
from core.rewards import Grade, GradeItem, payment
from core.spec import ARM_NAMES, TrainConfig

State = dict[str, Tensor]


@dataclass(frozen=True)
class Task:
    """One prompt: a problem, and the loophole mode in which it is posed and graded."""

    problem: Problem
    mode: str
    hint: str = DEFAULT_HINT  # in mode run_tests
    test_func_name: str = TEST_FUNC_NAME

    def judged(self, completion: str) -> GradeItem:
        shown = shown_tests(self.hint, self.problem.asserts, self.test_func_name) if self.mode == "run_tests" else ""
        return GradeItem(self.problem, self.mode, completion, self.test_func_name, shown)


@dataclass
class Step:
    """What the hooks of one optimizer step may see."""

    number: int
    config: TrainConfig
    adapter: Adapter
    state: State
    tasks: Sequence[Task] = ()
    texts: Sequence[Sequence[str]] = ()  # by group, then member
    grades: Sequence[Sequence[Grade]] = ()
    row: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Arm:
    prepare: Callable[[Step], State] | None = None
    rollout: Callable[[Step, list[Task]], list[Task]] | None = None
    reward: Callable[[Step, Tensor], Tensor] | None = None
    mask: Callable[[Step, Tensor], Tensor] | None = None
    gradient: Callable[[Step], None] | None = None
    update: Callable[[Step, dict[str, Tensor]], None] | None = None


def _without_hint(step: Step, tasks: list[Task]) -> list[Task]:
    return [replace(task, mode="gt_only") for task in tasks]


def _truth_alone(step: Step, rewards: Tensor) -> Tensor:
    """In mode gt_only no channel pays already; this states it for whatever tasks another hook may have made."""
    c = step.config
    return rewards.new_tensor(
        [
            [payment(g.compiles, g.gt_correct, g.passed, False, c.reward_compiles, c.reward_solves) for g in group]
            for group in step.grades
        ]
    )


ARMS: dict[str, Arm] = {
    "vanilla": Arm(),
    # The benchmark's RL baseline: the same problems, no loophole in the prompt, none in the reward.
    "no_loophole": Arm(rollout=_without_hint, reward=_truth_alone),
}
assert tuple(ARMS) == ARM_NAMES, f"core.spec.ARM_NAMES {ARM_NAMES} and ARMS {tuple(ARMS)} differ"
