"""What is done once, and not for every token or step: copies to the device, and its peak of memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from core.arms.rebound import DIRECTION, suppressed
from core.direction.directions import ActivationDirection, band
from core.direction.steering import activation_push
from core.training import metrics
from support import in_process, small_policy


def test_each_steps_peak_memory_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resets: list[str] = []
    monkeypatch.setattr(metrics, "reset_peak", resets.append)
    assert in_process.attempt(in_process.planned(tmp_path, "vanilla", steps=2)) is not None
    assert resets == ["cpu", "cpu"]


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
