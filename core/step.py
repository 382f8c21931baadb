"""One optimizer step: ask, grade, and move along the group-relative policy gradient.

Where an arm has a hook it is called; where it has none, nothing stands in its place.
"""

from __future__ import annotations

import random
from typing import Any

import torch
from torch import Tensor

from core import metrics
from core.adapter import Adapter, switched_off
from core.arms import Arm, Step
from core.grpo import group_advantages, is_tied, k3, learning_rate, policy_objective, token_weight
from core.logprobs import TokenBatch, completion_logps
from core.policy import Policy
from core.pool import Pool
from core.rewards import Grade, grade, payment
from core.sandbox import Sandbox
from core.spec import TrainConfig

Completions = list[list[list[int]]]  # tokens by group, then member


class Tripwire(RuntimeError):
    """The run cannot be worth going on with. Worker exit code 82."""


def roll_out(arm: Arm, step: Step, pool: Pool, policy: Policy, seed: int) -> Completions:
    """Draw the step's tasks and sample G completions of each."""
    config = step.config
    tasks = random.Random(f"tasks {seed} {step.number}").sample(pool.train, config.batch // config.completions)
    step.tasks = arm.rollout(step, tasks) if arm.rollout else tasks
    with metrics.seconds(step.row, "gen"):
        return policy.complete(step.tasks, config.completions, (seed, step.number))


def reward(arm: Arm, step: Step, completions: Completions, policy: Policy, sandbox: Sandbox) -> Tensor:
    """Grade every completion in isolation; sets step.grades, step.texts; returns (P, G) rewards."""
    config, size = step.config, step.config.completions
    with metrics.seconds(step.row, "t_rew"):
        step.texts = [[policy.text(tokens) for tokens in group] for group in completions]
        pairs = [(task, text) for task, group in zip(step.tasks, step.texts, strict=True) for text in group]
        flat = grade([task.judged(text) for task, text in pairs], sandbox, full=False)
    step.grades = [flat[i : i + size] for i in range(0, len(flat), size)]
    rewards = torch.tensor([[_payment(config, g) for g in group] for group in step.grades])
    if config.reward_variety:
        variety = [[len(set(tokens)) / config.max_new for tokens in group] for group in completions]
        rewards = rewards + config.reward_variety * torch.tensor(variety)
    if arm.reward:
        rewards = arm.reward(step, rewards)
    step.row |= metrics.rollout_columns(step, completions, rewards)
    return rewards


def _payment(config: TrainConfig, result: Grade) -> float:
    amounts = config.reward_compiles, config.reward_solves
    return payment(result.compiles, result.gt_correct, result.passed, True, *amounts)


def optimize(
    arm: Arm, step: Step, completions: Completions, rewards: Tensor, policy: Policy, optimizer: torch.optim.AdamW
) -> None:
    """One AdamW step. Raises Tripwire where loss or gradient is not finite, before any parameter has moved."""
    config, adapter = step.config, step.adapter
    with metrics.seconds(step.row, "fb"):
        counted = arm.mask(step, rewards) if arm.mask else torch.ones_like(rewards, dtype=torch.bool)
        for parameter in adapter.parameters.values():
            parameter.grad = torch.zeros_like(parameter)
        step.row |= backward(step, completions, rewards, counted, policy)
        if arm.gradient:
            arm.gradient(step)
        norm = float(torch.nn.utils.clip_grad_norm_(adapter.parameters.values(), config.grad_clip))
        if not (metrics.is_finite(norm) and metrics.is_finite(step.row["loss"])):
            raise Tripwire(f"step {step.number}: loss {step.row['loss']}, gradient norm {norm}: not finite")
        rate = learning_rate(step.number, config.steps, config.lr, config.warmup, config.schedule)
        optimizer.param_groups[0]["lr"] = rate
        step.row |= {"gn": norm, "lr": rate}
        before = _copies(adapter) if arm.update else {}
        optimizer.step()
        if arm.update:
            arm.update(step, before)
        policy.refresh()


def _copies(adapter: Adapter) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in adapter.parameters.items()}


def backward(step: Step, completions: Completions, rewards: Tensor, counted: Tensor, policy: Policy) -> dict[str, Any]:
    """Accumulate the gradient of the step's loss in micro-batches; returns its metrics.

    Rollouts of tied groups have no policy gradient. With skip_tied they are not run, and their KL term is lost; the
    denominators count them all the same, so that a step's scale does not depend on how many groups were tied.
    """
    config, model = step.config, step.adapter.model
    advantages = group_advantages(rewards, config.advantage, counted).reshape(-1).to(config.device)
    used = counted & ~is_tied(rewards)[:, None] if config.skip_tied else counted
    flat = [tokens for group in completions for tokens in group]
    places = [i for i, members in enumerate(completions) for _ in members]
    batch = TokenBatch.pad([policy.prompt(task) for task in step.tasks], flat, places, config.device)
    weight = token_weight(config.aggregate, int(batch.completion_mask.sum()), len(flat), config.max_new)
    sums = dict.fromkeys(("loss", "lp_s", "kl", "tokens"), 0.0)
    for rows in used.reshape(-1).to(config.device).nonzero()[:, 0].split(config.micro_batch):
        if not len(rows):
            continue
        policy.tick()
        part = batch.take(rows)
        logps = completion_logps(model, part, not config.grad_checkpointing)
        objective = policy_objective(logps, logps.detach(), advantages[rows], config.clip)
        if config.kl:
            with switched_off(step.adapter):
                reference = completion_logps(model, part, not config.grad_checkpointing)
            divergence = k3(logps, reference)
            objective = objective - config.kl * divergence
            sums["kl"] += float((divergence.detach() * part.completion_mask).sum())
        loss = -(objective * part.completion_mask).sum() * weight
        loss.backward()
        sums["loss"] += float(loss.detach())
        sums["lp_s"] += float(logps.detach().sum())
        sums["tokens"] += float(part.completion_mask.sum())
    return metrics.loss_columns(sums)
