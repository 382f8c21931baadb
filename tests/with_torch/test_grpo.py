"""The loss against hand-computed numbers."""

import math
from dataclasses import replace

import pytest
import torch

from core.spec import TrainConfig, choices_of
from core.training.grpo import group_advantages, is_tied, k3, learning_rate, policy_objective, token_weights

AGGREGATES = choices_of("aggregate")


def test_advantages_by_hand() -> None:
    rewards = torch.tensor([[1.0, 0.0, 0.0, 1.0]])
    assert group_advantages(rewards, "mean").tolist() == [[0.5, -0.5, -0.5, 0.5]]
    std = math.sqrt(1 / 3)  # sample standard deviation: sum of squares 1 over 3
    expected = [0.5 / std, -0.5 / std, -0.5 / std, 0.5 / std]
    assert group_advantages(rewards, "std")[0].tolist() == pytest.approx(expected, rel=1e-5)


def test_tied_group_has_no_advantage_and_masked_rollouts_enter_no_statistic() -> None:
    rewards = torch.tensor([[3.5, 3.5, 3.5], [0.5, 3.5, 100.0]])
    counted = torch.tensor([[True, True, True], [True, True, False]])
    assert is_tied(rewards).tolist() == [True, False]
    assert group_advantages(rewards, "mean", counted).tolist() == [[0, 0, 0], [-1.5, 1.5, 0]]
    assert group_advantages(torch.tensor([[2.0]]), "std").tolist() == [[0.0]]


def test_objective_is_the_advantage_at_ratio_one_and_is_clipped_on_the_gaining_side_only() -> None:
    old = torch.zeros(2, 1)
    new = torch.tensor([[0.5], [0.5]], requires_grad=True)
    advantages = torch.tensor([1.0, -1.0])
    assert policy_objective(old, old, advantages, 0.2).flatten().tolist() == [1.0, -1.0]
    objective = policy_objective(new, old, advantages, 0.2)
    assert objective.flatten().tolist() == pytest.approx([1.2, -math.exp(0.5)])
    objective.sum().backward()
    assert new.grad is not None and new.grad.flatten().tolist() == pytest.approx([0.0, -math.exp(0.5)])


def test_k3_is_zero_at_the_reference_and_positive_elsewhere() -> None:
    logps, reference = torch.tensor([-1.0, -2.0]), torch.tensor([-1.0, -1.0])
    assert k3(logps, reference).tolist() == pytest.approx([0.0, math.e - 2])


def test_token_weights_by_hand() -> None:
    """Two micro-batches of two: by length with the prompt 2, 3, 6, 9, evens first: {2, 6} and {9, 3}."""
    config = TrainConfig(batch=4, completions=4, max_new=100, loss_micro_batch=2, loss_ranks=1)
    prompts, lengths = torch.tensor([1, 1, 1, 1]), torch.tensor([5, 2, 8, 1])
    weights = {c: token_weights(replace(config, aggregate=c), prompts, lengths).tolist() for c in AGGREGATES}
    assert weights["token_mean"] == pytest.approx([1 / 16] * 4)
    assert weights["dr_grpo"] == pytest.approx([1 / 400] * 4)
    assert weights["micro_batch_mean"] == pytest.approx([1 / 12, 1 / 20, 1 / 20, 1 / 12])


def test_learning_rate_warms_up_then_stays_or_falls() -> None:
    config = TrainConfig(steps=100, lr=1.0, warmup=10)
    assert [learning_rate(config, s) for s in (1, 5, 10, 100)] == [0.1, 0.5, 1.0, 1.0]
    from_zero = replace(config, warmup_from_zero=True)
    assert [learning_rate(from_zero, s) for s in (1, 5, 10, 11, 100)] == [0.0, 0.4, 0.9, 1.0, 1.0]
    assert learning_rate(replace(from_zero, warmup=0), 1) == 1.0
    falling = TrainConfig(steps=20, lr=1.0, warmup=10, schedule="cosine")
    cosine = [learning_rate(falling, s) for s in range(11, 21)]
    assert cosine[0] == 1.0 and cosine == sorted(cosine, reverse=True)
    assert cosine[5] == pytest.approx(0.5) and 0 < cosine[-1] < 0.05
