"""An arm is what an experiment changes about plain GRPO: a frozen record of optional hooks that the loop calls.

The loop calls every hook that is there, in this order, and never asks which arm it runs:

    prepare   once before the first step      -> the arm's state, a dict of tensors that checkpoints keep
    rollout   what the policy is asked        (step's prompts -> prompts; their mode, hint and marks may be others)
    sampling  a context around the generation of students
    reward    what a completion earns         ((P, G) rewards -> (P, G) rewards)
    mask      which rollouts count            ((P, G) rewards -> (P, G) bool, for statistics and gradient)
    forward   a context around the policy's forward and backward of some rollouts
    gradient  after backward, before clipping and AdamW; changes .grad in place
    update    after AdamW; sees the parameters before the step, changes them in place

Hooks get a `Step` and may add to its `row`, which becomes the step's metrics row. What they keep between steps lives in
`step.state` as tensors and nowhere else: that is what resume restores.

No truth is in a `Step`, nor in anything that can be reached from it: no label of a rollout, live or a teacher's, no
assert that its prompt does not show, no canonical solution. The loop keeps those, and adds the columns that tell them
to the row after the last hook. Two declarations lift that in part. `sees_labels`: the rollouts' grades;
orchestrator.planning.matrix takes such an arm only in a plan that says `preregistered = false`. `sees_solutions`: the
training problems' canonical solutions, for a method that learns from demonstrations.
This guards against an arm that looks where it should not by mistake. Python cannot keep one out that opens the run's
files or searches the interpreter for the loop's own objects.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from core.environment.pairs import Pair
from core.environment.rewards import Grade
from core.environment.task import Prompt
from core.model.adapters.base import Adapter
from core.model.logprobs import TokenBatch
from core.spec import TrainConfig

if TYPE_CHECKING:  # they are built from tasks and adapters
    from core.model.policy import Policy
    from core.model.run_data import ArmData

State = dict[str, Tensor]
Context = contextlib.AbstractContextManager[Any]


@dataclass
class Step:
    """What the hooks of one optimizer step may see."""

    number: int
    seed: int
    config: TrainConfig
    policy: Policy
    data: ArmData
    state: State
    tasks: Sequence[Prompt] = ()
    completions: Sequence[Sequence[Sequence[int]]] = ()  # tokens by group, then member
    texts: Sequence[Sequence[str]] = ()
    is_teacher: Tensor = field(default_factory=lambda: torch.zeros(0, 0, dtype=torch.bool))  # (P, G)
    student_gradient: dict[str, Tensor] | None = None  # by parameter, where teachers have a part in .grad
    labels: Sequence[Sequence[Grade]] | None = None  # only for an arm that declares sees_labels
    row: dict[str, Any] = field(default_factory=dict)

    @property
    def adapter(self) -> Adapter:
        return self.policy.adapter

    def extraction_pairs(self, concept: str = "hack") -> list[Pair[Prompt]]:
        """Those of the concept that directions may be made from; the held-out ones only judge."""
        return [pair for pair in self.data.pairs(concept) if pair.split == "extract"]

    def rollouts(self) -> TokenBatch:
        """All completions of the step, group by group, with their prompts."""
        flat = [tokens for group in self.completions for tokens in group]
        places = [i for i, group in enumerate(self.completions) for _ in group]
        return TokenBatch.pad([self.policy.prompt(task) for task in self.tasks], flat, places, self.config.device)


@dataclass(frozen=True)
class Arm:
    prepare: Callable[[Step], State] | None = None
    rollout: Callable[[Step, list[Prompt]], list[Prompt]] | None = None
    sampling: Callable[[Step], Context] | None = None
    reward: Callable[[Step, Tensor], Tensor] | None = None
    mask: Callable[[Step, Tensor], Tensor] | None = None
    forward: Callable[[Step, Tensor], Context] | None = None  # (N,) places of rollouts, group by group
    gradient: Callable[[Step], None] | None = None
    update: Callable[[Step, dict[str, Tensor]], None] | None = None
    sees_labels: bool = False
    sees_solutions: bool = False
    has_axes: bool = False  # it keeps a V of its own and fills the columns of cin and cout
    deploys_ablated: bool = False  # the quarantine is switched off for evaluation and deployment
