"""What lies on which device, as far as it can be told without a GPU: stand-ins say where they were asked to go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from core.arms import ARMS, grift
from core.arms.arm import Arm
from core.arms.rebound import DIRECTION, suppressed
from core.direction.directions import ActivationDirection, band
from core.direction.steering import activation_push
from core.training import metrics
from support import in_process, small_policy


class Elsewhere:
    """A tensor on a device that cannot be computed with here."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        self.asked: list[str] = []

    def to(self, device: str) -> Tensor:
        self.asked.append(device)
        return self.tensor

    def cpu(self) -> Tensor:
        return self.to("cpu")


def test_what_an_arm_prepares_is_moved_to_the_runs_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint's state is, so a fresh run and a resumed one compute in the same place."""
    made, resets = Elsewhere(torch.ones(2)), []
    monkeypatch.setattr(metrics, "reset_peak", resets.append)
    monkeypatch.setitem(ARMS, "vanilla", Arm(prepare=lambda step: {"x": made}))
    assert in_process.attempt(in_process.planned(tmp_path, "vanilla", steps=1)) is not None
    assert made.asked == ["cpu"] and resets == ["cpu"]  # and each step's peak memory is its own


def test_grift_compares_its_fingerprints_where_the_rollouts_are() -> None:
    policy = small_policy.policy(small_policy.config("smoke", grift_sketch=8))
    step = small_policy.step(policy)
    step.tasks, step.completions = step.data.train[:1], [[[5, 7, 1], [9, 1]]]
    state: dict[str, Any] = {grift.LAYERS: torch.tensor([0]), grift.FINGERPRINTS: Elsewhere(torch.randn(6, 8))}
    step.state.update(state)
    assert grift.unflagged(step, torch.zeros(1, 2)).shape == (1, 2)


@pytest.mark.parametrize("which", ["steering", "rebound_gen"])
def test_a_direction_is_converted_once_and_not_for_every_token(which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = small_policy.policy(small_policy.config("smoke"))
    layers, x = tuple(band(policy)), torch.ones(2, 3, 32, dtype=torch.bfloat16)
    v = torch.randn(len(layers), 32)
    context: Any = activation_push(ActivationDirection(layers, v), 2.0)(policy)
    if which == "rebound_gen":
        context = suppressed(small_policy.step(policy, {DIRECTION: v}))
    real, copies = Tensor.to, []

    def to(tensor: Tensor, *arguments: Any) -> Tensor:
        found = real(tensor, *arguments)
        copies.extend([tensor] * (found is not tensor))
        return found

    with context, monkeypatch.context() as counting:
        counting.setattr(Tensor, "to", to)
        edit = policy.decoder.edit
        assert edit is not None
        for _ in range(5):
            assert all(not torch.equal(edit(layer, x), x) for layer in layers)
    assert len(copies) == len(layers)
