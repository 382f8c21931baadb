"""The benchmark's arithmetic against numbers of verl 0.6.1's own functions (`just verl-reference`), without verl."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from typing import Any

import pytest
import torch

from core.arms.arm import Arm, Step
from core.model.logprobs import completion_logps
from core.spec import PRESETS, VERL
from core.training.grpo import group_advantages, k3, learning_rate, policy_objective, token_weights
from core.training.micro_batches import micro_batches
from support import verl_step
from support.paths import TESTS

VERL_SAYS: dict[str, Any] = json.loads((TESTS / "data/verl_reference.json").read_text())


def test_the_presets_of_the_benchmark_take_its_arithmetic_and_the_small_ones_do_not() -> None:
    for name, taken in (("full", True), ("fast", True), ("nano", False), ("smoke", False)):
        assert {field: getattr(PRESETS[name], field) == value for field, value in VERL.items()} == {
            field: taken or field in ("loss_micro_batch", "loss_ranks") for field in VERL
        }, name
    assert (PRESETS["full"].temperature, PRESETS["full"].warmup, PRESETS["full"].schedule) == (0.7, 10, "cosine")


def test_advantages() -> None:
    said = VERL_SAYS["advantages"]
    rewards = torch.tensor(said["rewards"])
    assert (rewards.std(1) == 0).any()
    for kind in ("std", "mean"):
        assert torch.allclose(group_advantages(rewards, kind), torch.tensor(said[kind]), rtol=0, atol=1e-6)


def test_k3_is_capped_and_has_no_gradient_beyond_whatever_the_gap() -> None:
    said = VERL_SAYS["kl"]
    logps = torch.zeros(len(said["gaps"]), requires_grad=True)
    divergence = k3(logps, torch.tensor(said["gaps"]), cap=10.0)
    divergence.sum().backward()
    assert divergence.tolist() == pytest.approx(said["k3"], abs=1e-6)
    assert logps.grad is not None and logps.grad.tolist() == pytest.approx(said["gradient"], abs=1e-6)
    assert k3(torch.zeros(1), torch.tensor([5.0])).item() == pytest.approx(142.41, abs=0.01)  # without a cap


def test_objective_and_its_gradient() -> None:
    said = VERL_SAYS["objective"]
    gaps, advantages = (torch.tensor(column) for column in zip(*said["points"], strict=True))
    logps = gaps[:, None].requires_grad_()
    loss = -policy_objective(logps, torch.zeros_like(logps), advantages, clip=0.2)
    loss.sum().backward()
    assert loss.flatten().tolist() == pytest.approx(said["loss"], abs=1e-6)
    assert logps.grad is not None and logps.grad.flatten().tolist() == pytest.approx(said["gradient"], abs=1e-6)


def test_token_mean_of_a_micro_batch() -> None:
    said = VERL_SAYS["token_mean"]
    lengths = torch.tensor(said["lengths"])
    config = verl_step.config(batch=3, completions=3, loss_micro_batch=3, loss_ranks=1)
    mask = torch.arange(4) < lengths[:, None]
    weights = token_weights(config, torch.ones(3, dtype=torch.long), lengths)
    assert float((torch.tensor(said["values"]) * mask * weights[:, None]).sum()) == pytest.approx(
        said["mean"], rel=1e-6
    )


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_rate_of_each_step(schedule: str) -> None:
    said = VERL_SAYS["schedules"]
    config = replace(PRESETS["fast"], schedule=schedule)
    assert (config.lr, config.steps, config.warmup) == (said["peak"], said["steps"], said["warmup"])
    rates = [learning_rate(config, step) for step in range(1, config.steps + 1)]
    assert rates[0] == 0
    assert rates == pytest.approx(said[schedule], rel=1e-12)
    ours = [learning_rate(replace(config, warmup_from_zero=False), step) for step in range(1, config.steps + 1)]
    assert ours[0] == pytest.approx(7e-6) and ours[10:] == rates[10:]


@pytest.mark.parametrize("case", VERL_SAYS["orders"], ids=lambda case: f"{len(case['lengths'])}on{case['ranks']}")
def test_rollouts_are_grouped_as_verl_orders_them(case: dict[str, Any]) -> None:
    """Ties of length and of sums among them; verl cuts the order into micro-batches of 8."""
    order = case["order"]
    assert micro_batches(case["lengths"], 8, case["ranks"]) == [order[i : i + 8] for i in range(0, len(order), 8)]


def test_rollouts_that_make_no_whole_micro_batches_are_refused() -> None:
    with pytest.raises(ValueError, match="36 rollouts make no whole micro-batches of 8 on each of 4 ranks"):
        micro_batches([5] * 36, 8, 4)


# ---- a whole step on a model of noise


def test_log_probabilities_at_the_sampling_temperature() -> None:
    policy, batch = verl_step.policy(verl_step.config()), verl_step.batch()
    logps = completion_logps(policy.adapter.model, batch, temperature=0.7)[batch.completion_mask]
    assert logps[:40].tolist() == pytest.approx(VERL_SAYS["step"]["logps"], rel=1e-6, abs=2e-6)


def verl_error(gradient: dict[str, torch.Tensor]) -> float:
    """The largest difference from verl's numbers, in parts of the parameter's gradient norm."""
    said = VERL_SAYS["step"]["gradient"]
    assert list(gradient) == list(said)
    ours = {name: verl_step.fingerprint(tensor) for name, tensor in gradient.items()}
    return max(abs(ours[name][i] - said[name][i]) / said[name][0] for name in said for i in range(3))


@pytest.mark.parametrize("micro_batch", [3, 8, 64])
def test_the_gradient_of_a_whole_step_is_verls_however_memory_cuts_it(micro_batch: int) -> None:
    """64 rollouts of 8 prompts, 4 ranks of two micro-batches; some tokens' K3 are above the cap."""
    assert VERL_SAYS["step"]["capped"] > 0.02
    gradient, row = verl_step.gradient(verl_step.policy(verl_step.config(micro_batch=micro_batch)))
    assert verl_error(gradient) < 1e-5
    assert 0 < row["kl"] < 10


@pytest.mark.parametrize(
    "field, value",
    [
        ("logp_temperature", "one"),
        ("aggregate", "token_mean"),
        ("kl_cap", 0.0),
        ("loss_ranks", 1),
        ("loss_micro_batch", 4),
        ("advantage", "mean"),
    ],
)
def test_each_field_is_needed_for_verls_gradient(field: str, value: object) -> None:
    gradient, _ = verl_step.gradient(verl_step.policy(verl_step.config(**{field: value})))
    assert verl_error(gradient) > 1e-2


# ---- pieces of memory, masks, teachers


def distance(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    """Of two gradients, in parts of the first one's norm."""
    apart, whole = (sum(float(t.double().square().sum()) for t in ts) for ts in ([a[n] - b[n] for n in a], a.values()))
    return (apart / whole) ** 0.5


@pytest.mark.parametrize("aggregate", ["micro_batch_mean", "token_mean", "dr_grpo"])
def test_no_split_of_a_step_with_teachers_masks_and_tied_groups_changes_its_gradient(aggregate: str) -> None:
    counted = torch.rand(8, 8, generator=torch.Generator().manual_seed(0)) > 0.4
    teachers = torch.arange(8).expand(8, 8) >= 6
    found = []
    for micro_batch in (3, 8, 64):
        config = verl_step.config(aggregate=aggregate, micro_batch=micro_batch, skip_tied=True)
        found.append(verl_step.gradient(verl_step.policy(config), counted=counted, is_teacher=teachers)[0])
    assert max(distance(found[0], other) for other in found[1:]) < 1e-5


def test_students_and_teachers_share_their_micro_batches() -> None:
    """Who wrote a rollout decides which pass it runs in, and not its weight."""
    policy = verl_step.policy(verl_step.config())
    alone, _ = verl_step.gradient(policy)
    beside, _ = verl_step.gradient(policy, is_teacher=torch.arange(8).expand(8, 8) >= 4)
    assert distance(alone, beside) < 1e-5


def test_a_dropped_rollout_leaves_the_weights_of_the_others_as_they_were() -> None:
    """Its tokens stay in its micro-batch's mean, and a micro-batch that lost all its rollouts in the mean of those.

    Every group is tied, so that the KL alone acts, and dropping changes no advantage.
    """
    policy, batch, tied = verl_step.policy(verl_step.config()), verl_step.batch(), torch.ones(8, 8)
    lengths = batch.completion_mask.sum(1) + batch.prompt_mask.sum(1)[batch.group]
    counted = torch.ones(64, dtype=torch.bool)
    counted[[*micro_batches(lengths.tolist(), 8, 4)[0], 1, 7, 30]] = False
    parts = [verl_step.gradient(policy, tied, some.reshape(8, 8))[0] for some in (counted, ~counted)]
    whole, _ = verl_step.gradient(policy, tied)
    assert distance(whole, {name: parts[0][name] + parts[1][name] for name in whole}) < 1e-5
    assert distance(whole, parts[0]) > 0.1


def test_a_forward_hook_gets_the_same_weights() -> None:
    """Rows are then whole sequences instead of sharing their prompt."""
    seen: list[int] = []

    def forward(step: Step, rows: torch.Tensor) -> contextlib.AbstractContextManager[None]:
        seen.extend(rows.tolist())
        return contextlib.nullcontext()

    gradient, _ = verl_step.gradient(verl_step.policy(verl_step.config(micro_batch=5)), arm=Arm(forward=forward))
    assert sorted(seen) == list(range(64))
    assert verl_error(gradient) < 1e-5
