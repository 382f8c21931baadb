"""Kernels that give the same sums twice: what is set. What every arm then asks for: tests/system/test_every_arm.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from core.training import checkpoint, metrics
from support.operations import RAISING, Operations
from worker import arithmetic


@pytest.fixture
def settings() -> Iterator[None]:
    """Of the whole process, and as they were afterwards."""
    cuda = torch.backends.cuda
    before = (
        torch.utils.deterministic.fill_uninitialized_memory,
        cuda.cudnn_sdp_enabled(),
        cuda.matmul.allow_tf32,
        torch.backends.cudnn.allow_tf32,
        cuda.matmul.allow_bf16_reduced_precision_reduction,
    )
    strict = torch.are_deterministic_algorithms_enabled()
    yield
    torch.use_deterministic_algorithms(strict)
    torch.utils.deterministic.fill_uninitialized_memory = before[0]
    cuda.enable_cudnn_sdp(before[1])
    cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before[2:4]
    cuda.matmul.allow_bf16_reduced_precision_reduction = before[4]


@pytest.mark.usefixtures("settings")
def test_what_torch_may_choose_among_is_narrowed() -> None:
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cuda.enable_cudnn_sdp(True)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    arithmetic.choose_kernels()
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.is_deterministic_algorithms_warn_only_enabled()  # fused attention's backward would only warn
    assert not torch.utils.deterministic.fill_uninitialized_memory
    assert not torch.backends.cuda.cudnn_sdp_enabled()
    assert torch.backends.cuda.flash_sdp_enabled() and torch.backends.cuda.mem_efficient_sdp_enabled()
    assert not torch.backends.cuda.matmul.allow_tf32 and not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction


def test_an_operation_that_raises_is_seen() -> None:
    with Operations() as operations:
        torch.tensor([3.0, 1.0]).median(0)
        torch.nn.functional.interpolate(torch.zeros(1, 1, 4, requires_grad=True), 8, mode="linear").sum().backward()
    assert operations.seen & RAISING == {"median.dim", "upsample_linear1d_backward"}


def test_a_steps_peak_is_its_own_on_a_gpu_and_the_process_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    peak = [68e9]
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: peak[0])
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: peak.__setitem__(0, 15e9))
    metrics.reset_peak("cpu")
    assert metrics._peak_gb("cuda") == 68.0
    metrics.reset_peak("cuda")
    assert metrics._peak_gb("cuda") == 15.0 and 0.1 < metrics._peak_gb("cpu") < 20


def test_another_driver_is_on_record_and_no_reason_to_stop() -> None:
    """A rented box moves to another host with the same card."""
    machine = {"gpu": "NVIDIA H100 80GB HBM3", "capability": "9.0", "cuda": "13.2", "driver": "580.65"}
    checkpoint.require_same_machine({"step": 5, "machine": machine}, {**machine, "driver": "590.12"})
    with pytest.raises(checkpoint.MachineMismatch, match=r"capability: 9\.0 then, 12\.0 now"):
        checkpoint.require_same_machine({"step": 5, "machine": machine}, {**machine, "capability": "12.0"})
