"""Separation and steering: figures by hand, and that a push ends when its context does."""

from pathlib import Path

import pytest
import torch

from core.direction import directions
from core.direction.separation import (
    activation_direction,
    gradient_direction,
    separation,
    side_states,
    split,
)
from core.direction.steering import Steered, SteeringCheck, activation_pushes, gradient_pushes, margin, steered
from core.model.run_data import pair_sets
from core.runs.run_dir import RunDir
from core.sandbox.pool import Sandbox
from support import small_policy


def test_separation_by_hand() -> None:
    train = torch.tensor([2.0, 4.0]), torch.tensor([0.0, 2.0])  # midpoint 2
    held_out = torch.tensor([3.0, 1.0, 5.0]), torch.tensor([0.0, 2.0, 5.0])
    found = separation(train, held_out)
    assert found.n == 3 and found.paired == pytest.approx((1 + 0 + 0.5) / 3)
    # above 2: yes, no, yes; not above 2: yes, a tie, no
    assert found.threshold == pytest.approx((1 + 0 + 1 + 1 + 0.5 + 0) / 6)
    assert found.auroc == pytest.approx((1 + 1 + 0 + 1 + 0 + 0 + 1 + 1 + 0.5) / 9)
    assert not found.passed
    assert separation(train, (torch.tensor([1.0]), torch.tensor([0.5]))).passed


def test_gradient_direction_of_full_rank_is_the_mean_difference() -> None:
    hack, clean = torch.randn(4, 6, generator=torch.Generator().manual_seed(0)), torch.zeros(4, 6)
    gradients = directions.PairGradients({"a": hack}, {"a": clean})
    torch.testing.assert_close(gradient_direction(gradients, 4)["a"], hack.mean(0))
    assert torch.equal(gradient_direction(gradients, 0)["a"], hack.mean(0))
    assert gradient_direction(gradients, 1)["a"].norm() < hack.mean(0).norm()


@pytest.mark.parametrize("space", ["activation", "gradient"])
def test_push_changes_the_policy_and_is_gone_afterwards(space: str) -> None:
    policy = small_policy.policy(small_policy.config(adapter="svd"))
    train, held_out = (half[:6] for half in split(pair_sets(RunDir(Path("/nowhere")), policy.config)("hack")))
    if space == "activation":
        states = side_states(policy, train, "rollout_last")
        pushes = activation_pushes(activation_direction(policy, states, 16), states)
    else:
        pushes = gradient_pushes(gradient_direction(directions.pair_gradients(policy, train), 5))
    strong, none = pushes(40.0), pushes(0.0)
    before = margin(policy, held_out)
    with Sandbox() as sandbox:
        plain = steered(policy, held_out, 1, sandbox)
        with none["v"](policy):
            assert margin(policy, held_out) == pytest.approx(before, abs=1e-6)
        for push in strong.values():
            with push(policy):
                assert abs(margin(policy, held_out) - before) > 1e-3
        assert margin(policy, held_out) == before
        assert steered(policy, held_out, 1, sandbox) == plain
    assert policy.decoder.edit is None


def test_check_passes_only_above_no_push_and_above_a_random_one() -> None:
    def row(push: str, strength: float, rate: float) -> Steered:
        return Steered(push, strength, 100, rate, 1.0, 50.0, 0.0)

    base = [row("none", 0.0, 0.1), row("-v", 2.0, 0.0)]
    assert SteeringCheck((*base, row("v", 2.0, 0.3), row("random", 2.0, 0.1))).passed(2.0)
    assert not SteeringCheck((*base, row("v", 2.0, 0.3), row("random", 2.0, 0.28))).passed(2.0)
    assert not SteeringCheck((*base, row("v", 2.0, 0.12), row("random", 2.0, 0.0))).passed(2.0)
