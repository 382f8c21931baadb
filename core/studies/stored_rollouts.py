"""Finished runs' rollouts, as they can be judged again, and the policy to judge them with."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import torch
from safetensors.torch import load_file
from torch import Tensor

from core.environment.task import Task
from core.model.adapters import ADAPTERS
from core.model.load import load
from core.model.policy import Policy
from core.model.run_data import RunData
from core.runs.run_dir import RunDir
from core.spec import RunSpec
from core.training import checkpoint

WEIGHTS = ("base", "trained")


@dataclass(frozen=True)
class Stored:
    """Rollouts of a run, as they can be judged again."""

    sides: list[tuple[Task, str]]
    is_hack: Tensor  # (N,) bool, the strict label
    is_present: Tensor  # (N,) bool, whether the exploit is there, on a wrong solution or not
    problem_ids: list[str]

    def take(self, rows: Tensor) -> Stored:
        """Those where `rows` (N,) bool holds."""
        kept = rows.nonzero()[:, 0].tolist()
        sides, problem_ids = [self.sides[i] for i in kept], [self.problem_ids[i] for i in kept]
        return Stored(sides, self.is_hack[rows], self.is_present[rows], problem_ids)


def stored(run: RunDir, data: RunData, count: int, seed: int) -> Stored:
    """At most `count` of the students' rollouts, drawn from all steps."""
    tasks = {task.problem.problem_id: task for task in data.train}
    rows = [row for row in run.rollouts() if not row["teacher"] and row["problem_id"] in tasks]
    rows = random.Random(f"stored rollouts {seed}").sample(rows, min(count, len(rows)))
    sides = []
    for row in rows:
        task = tasks[row["problem_id"]]
        task = replace(task, mode=row["mode"], test_func_name=row["test_func_name"])
        sides.append((task, row["completion"]))
    is_hack = [row["strict_hack"] if row["mode"] == "run_tests" else row["exploited"] for row in rows]
    is_present = [row["exploit_present"] for row in rows]
    return Stored(sides, torch.tensor(is_hack), torch.tensor(is_present), [row["problem_id"] for row in rows])


def policy_of(run: RunDir, spec: RunSpec, weights: str) -> Policy:
    """The base model with an adapter that changes nothing, or the newest checkpoint's. Raises FileNotFoundError."""
    config = spec.config
    if config.grad_checkpointing:  # activations are kept here, so one sample at a time
        config = replace(config, micro_batch=1)
    language_model = load(config.model, config.device, config.dtype)
    policy = Policy.of(language_model, ADAPTERS[config.adapter](language_model, config, spec.seed), config)
    if weights == "trained":
        newest = checkpoint.latest(run)
        if newest is None:
            raise FileNotFoundError(f"{run.checkpoints} holds no checkpoint; use --weights base")
        policy.adapter.load_state(load_file(newest[0] / "adapter.safetensors"))
    return policy
