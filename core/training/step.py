"""One optimizer step: ask, grade, and move along the group-relative policy gradient.

Where an arm has a hook it is called; where it has none, nothing stands in its place.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from core.arms.arm import Arm, Step
from core.environment.rewards import Grade, grade, payment
from core.environment.task import Prompt, Task
from core.environment.teacher_pool import TeacherRollout
from core.model.adapters.base import Adapter, switched_off
from core.model.logprobs import TokenBatch, completion_logps
from core.model.run_data import RunData
from core.sandbox.pool import Sandbox
from core.spec import TrainConfig
from core.training import metrics
from core.training.draws import drawn
from core.training.grpo import (
    group_advantages,
    is_tied,
    k3,
    learning_rate,
    logp_temperature,
    policy_objective,
    token_weights,
)
from core.tripwires import require_finite

Grades = list[list[Grade]]  # by group, then member


@dataclass(frozen=True)
class Asked:
    """What the loop knows of a step's groups and its hooks do not."""

    tasks: list[Task]
    teachers: list[list[TeacherRollout]]  # by group


@dataclass(frozen=True)
class Paid:
    """`grades` are for the log, and for arms that declare to see them."""

    rewards: Tensor  # (P, G) what counts, as the arm left it
    by_environment: Tensor  # (P, G) what a grade pays
    grades: Grades


def roll_out(arm: Arm, step: Step, data: RunData) -> Asked:
    """Draw the step's tasks and fill each group: G students, or fewer beside teacher rollouts."""
    config, policy = step.config, step.policy
    tasks = drawn(data.train, config.batch // config.completions, config.order, step.seed, step.number)
    if arm.rollout:
        tasks = _as_asked(arm.rollout(step, [task.prompt for task in tasks]), data)
    step.tasks = [task.prompt for task in tasks]
    teachers = [_teachers(step, data, place) for place in range(len(tasks))]
    with metrics.seconds(step.row, "gen"), arm.sampling(step) if arm.sampling else contextlib.nullcontext():
        students = _students(step, [config.completions - len(group) for group in teachers])
    step.completions = [
        own + [policy.language_model.encode_completion(t.completion)[: config.max_new] for t in group]
        for own, group in zip(students, teachers, strict=True)
    ]
    sizes = [(len(s), len(t)) for s, t in zip(students, teachers, strict=True)]
    step.is_teacher = torch.tensor([[False] * s + [True] * t for s, t in sizes])
    return Asked(tasks, teachers)


def _as_asked(prompts: Sequence[Prompt], data: RunData) -> list[Task]:
    """The tasks behind an arm's prompts, posed as these are. Raises ValueError where a prompt's text is the arm's own:
    the loop would ask another than the arm believes."""
    by_id = {task.problem_id: task for task in data.train}
    found = []
    for prompt in prompts:
        task = by_id.get(prompt.problem_id)
        if task is None or task.messages != prompt.messages:
            raise ValueError(
                f"problem {prompt.problem_id!r}: no such prompt is trained on; a rollout hook may choose among "
                "step.data.train and change mode, hint, test_func_name and marker"
            )
        found.append(Task(task.problem, prompt.mode, prompt.hint, prompt.test_func_name, prompt.marker))
    return found


def _teachers(step: Step, data: RunData, place: int) -> list[TeacherRollout]:
    if data.teacher is None:
        return []
    prompt, count = step.tasks[place], round(step.config.completions * step.config.mix)
    key = f"{step.seed} {step.number} {place}"
    return data.teacher.draw(prompt.problem_id, prompt.mode, prompt.test_func_name, count, key)


def _students(step: Step, members: Sequence[int]) -> list[list[list[int]]]:
    """`members[g]` completions of group g. Groups of one size are decoded together; draws depend on size and place."""
    found: list[list[list[int]]] = [[] for _ in members]
    for size in sorted(set(members), reverse=True):
        places = [g for g, wanted in enumerate(members) if wanted == size]
        key = (step.seed, step.number) if size == step.config.completions else (step.seed, step.number, f"of {size}")
        for g, group in zip(places, step.policy.complete([step.tasks[g] for g in places], size, key), strict=True):
            found[g] = group
    return found


def reward(arm: Arm, step: Step, asked: Asked, sandbox: Sandbox) -> Paid:
    """Students are graded in isolation and paid, teachers bring their rewards. Sets step.texts."""
    config, teachers = step.config, asked.teachers
    with metrics.seconds(step.row, "t_rew"):
        texts = [[step.policy.text(tokens) for tokens in group] for group in step.completions]
        step.texts = texts
        own = [group[: len(group) - len(t)] for group, t in zip(texts, teachers, strict=True)]
        items = [task.judged(text) for task, group in zip(asked.tasks, own, strict=True) for text in group]
        flat = iter(grade(items, sandbox, full=False))
    grades = [[next(flat) for _ in group] + [t.grade for t in ts] for group, ts in zip(own, teachers, strict=True)]
    frozen = [[None] * len(group) + [t.reward for t in ts] for group, ts in zip(own, teachers, strict=True)]
    rewards = torch.tensor(
        [
            [_payment(config, g) if fixed is None else fixed for g, fixed in zip(group, fixes, strict=True)]
            for group, fixes in zip(grades, frozen, strict=True)
        ]
    )
    paid = rewards
    if config.reward_variety:
        variety = [[len(set(tokens)) / config.max_new for tokens in group] for group in step.completions]
        rewards = rewards + config.reward_variety * torch.tensor(variety)
    if arm.sees_labels:
        step.labels = grades
    if arm.reward:
        rewards = arm.reward(step, rewards)
    return Paid(rewards, paid, grades)


def _payment(config: TrainConfig, result: Grade) -> float:
    amounts = config.reward_compiles, config.reward_solves
    return payment(result.compiles, result.gt_correct, result.passed, True, *amounts)


def optimize(arm: Arm, step: Step, rewards: Tensor, optimizer: torch.optim.AdamW) -> None:
    """One AdamW step. Raises Tripwire where loss or gradient is not finite, before any parameter has moved."""
    config, adapter = step.config, step.adapter
    with metrics.seconds(step.row, "fb"):
        counted = arm.mask(step, rewards) if arm.mask else torch.ones_like(rewards, dtype=torch.bool)
        for parameter in adapter.parameters.values():
            parameter.grad = torch.zeros_like(parameter)
        step.row |= backward(arm, step, rewards, counted)
        if arm.gradient:
            arm.gradient(step)
        norm = float(torch.nn.utils.clip_grad_norm_(adapter.parameters.values(), config.grad_clip))
        require_finite(step.number, step.row["loss"], norm)
        rate = learning_rate(config, step.number)
        optimizer.param_groups[0]["lr"] = rate
        step.row |= {"gn": norm, "lr": rate}
        before = _copies(adapter) if arm.update else {}
        optimizer.step()
        if arm.update:
            arm.update(step, before)
        step.policy.refresh()


def _copies(adapter: Adapter) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in adapter.parameters.items()}


def backward(arm: Arm, step: Step, rewards: Tensor, counted: Tensor) -> dict[str, Any]:
    """Accumulate the gradient of the step's loss piece by piece, students first; returns its metrics.

    Rollouts of tied groups have no policy gradient. With skip_tied they are not run, and their KL term is lost; the
    denominators count them all the same, so that a step's scale does not depend on how many groups were tied. Where
    none is left, all are looked at without a gradient, so that their log-probabilities and KL are known.
    """
    config = step.config
    advantages = group_advantages(rewards, config.advantage, counted).reshape(-1).to(config.device)
    used = (counted & ~is_tied(rewards)[:, None] if config.skip_tied else counted).reshape(-1)
    batch = step.rollouts()
    prompt_lengths = batch.prompt_mask.sum(1)[batch.group].cpu()
    weights = token_weights(config, prompt_lengths, batch.completion_mask.sum(1).cpu()).to(config.device)
    is_teacher = step.is_teacher.reshape(-1)
    students = _accumulate(arm, step, batch, used & ~is_teacher, advantages, weights)
    if not students["tokens"]:
        students |= _observed(arm, step, batch, ~is_teacher)
    if not bool(is_teacher.any()):
        return metrics.loss_columns(students, bool(config.kl))
    step.student_gradient = {n: p.grad.clone() for n, p in step.adapter.parameters.items() if p.grad is not None}
    teachers = _accumulate(arm, step, batch, used & is_teacher, advantages, weights)
    if not teachers["tokens"]:
        teachers |= _observed(arm, step, batch, is_teacher)
    return metrics.loss_columns(students, bool(config.kl), teachers)


def _accumulate(
    arm: Arm, step: Step, batch: TokenBatch, used: Tensor, advantages: Tensor, weights: Tensor
) -> dict[str, float]:
    """Forward and backward of some rollouts; sums over their tokens."""
    config = step.config
    sums = dict.fromkeys(("loss", "lp", "kl", "tokens"), 0.0)
    for rows, part, logps, reference in _micro_batches(arm, step, batch, used):
        objective = policy_objective(logps, logps.detach(), advantages[rows], config.clip)
        if reference is not None:
            divergence = k3(logps, reference, config.kl_cap)
            objective = objective - config.kl * divergence
            sums["kl"] += float((divergence.detach() * part.completion_mask).sum())
        loss = -((objective * part.completion_mask).sum(1) * weights[rows]).sum()
        loss.backward()
        sums["loss"] += float(loss.detach())
        sums["lp"] += float(logps.detach().sum())
        sums["tokens"] += float(part.completion_mask.sum())
    return sums | {"seen": sums["tokens"]}


@torch.no_grad()
def _observed(arm: Arm, step: Step, batch: TokenBatch, looked_at: Tensor) -> dict[str, float]:
    """Sums of log-probabilities and KL over the tokens of rollouts that give no gradient, and how many tokens."""
    sums = dict.fromkeys(("lp", "kl", "seen"), 0.0)
    for _, part, logps, reference in _micro_batches(arm, step, batch, looked_at):
        if reference is not None:
            sums["kl"] += float((k3(logps, reference, step.config.kl_cap) * part.completion_mask).sum())
        sums["lp"] += float(logps.sum())
        sums["seen"] += float(part.completion_mask.sum())
    return sums


def _micro_batches(
    arm: Arm, step: Step, batch: TokenBatch, wanted: Tensor
) -> Iterator[tuple[Tensor, TokenBatch, Tensor, Tensor | None]]:
    """Rows, their batch, log-probs, and the reference's where the KL is paid. The arm's context holds until the next
    is asked for: layers may run again in the backward."""
    config, model = step.config, step.adapter.model
    temperature, shared_prefix = logp_temperature(config), _shares_prefix(arm)
    for rows in wanted.to(config.device).nonzero()[:, 0].split(config.micro_batch):
        if not len(rows):
            continue
        step.policy.tick()
        part = batch.take(rows)
        with arm.forward(step, rows) if arm.forward else contextlib.nullcontext():
            logps, reference = completion_logps(model, part, shared_prefix, temperature), None
            if config.kl:
                with switched_off(step.adapter):
                    reference = completion_logps(model, part, shared_prefix, temperature)
            yield rows, part, logps, reference


def _shares_prefix(arm: Arm) -> bool | None:
    """A context by rollout cannot hold for a prompt that rollouts share, so each row is then a whole sequence; else
    None: as the model allows."""
    return None if arm.forward is None else False
