"""What lies where on a GPU, tried on a pretended one; all arms and kinds: tests/system/test_pretended_gpu.py."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from core.environment import diagonal
from core.model.policy import attached
from core.runs.run_dir import RunDir
from core.spec import RunSpec
from core.training import checkpoint
from core.training.checkpoint import TrainState
from support import in_process
from support.pretended_gpu import pretended_gpu


@pytest.fixture(autouse=True)
def gpu() -> Iterator[None]:
    with pretended_gpu():
        yield


HERE = torch.arange(6.0).view(2, 3)


@pytest.mark.parametrize(
    "mixed",
    [
        lambda here, there: here + there,
        lambda here, there: there * here[0],
        lambda here, there: there @ here.T,
        lambda here, there: torch.cat([there, here]),
        lambda here, there: torch.cat([there, here[0, 0][None]]),
        lambda here, there: torch.where(there > 1, here, there),
        lambda here, there: here[there.argmax(1)],
        lambda here, there: there.gather(1, here.long()),
        lambda here, there: there.index_select(0, torch.tensor([1])),
        lambda here, there: torch.nn.functional.embedding(torch.tensor([1]), there),
        lambda here, there: here.masked_fill_(there > 1, 0.0),
        lambda here, there: torch.randn(2, device="cuda", generator=torch.Generator()),
    ],
)
def test_what_cuda_refuses_is_refused(mixed: Callable[[Tensor, Tensor], object]) -> None:
    with pytest.raises(RuntimeError, match="device"):
        mixed(HERE.clone(), HERE.to("cuda"))


@pytest.mark.parametrize(
    "mixed, expected",
    [
        (lambda there: there * torch.tensor(2.0), HERE * 2),
        (lambda there: there[torch.tensor([1, 0])], HERE.flip(0)),
        (lambda there: there[torch.tensor([True, False])], HERE[:1]),
        (lambda there: there.clone().copy_(HERE + 1), HERE + 1),
        (lambda there: (there @ there.T).softmax(-1), (HERE @ HERE.T).softmax(-1)),
    ],
)
def test_what_cuda_allows_gives_the_same_numbers(mixed: Callable[[Tensor], Tensor], expected: Tensor) -> None:
    found = mixed(HERE.to("cuda"))
    assert found.device == torch.device("cuda:0") and found.is_cuda
    assert found.cpu().equal(expected) and found.cpu().device.type == "cpu"


def test_a_model_laid_out_on_meta_is_not_on_the_gpu() -> None:
    with torch.device("meta"):
        assert torch.zeros(2).is_meta
    assert not HERE.to("cuda").new_zeros(2).is_meta


def test_a_gradient_flows_there_and_stays_there() -> None:
    weight = torch.nn.Parameter(HERE.to("cuda"))
    (weight.square() / 2).sum().backward()
    assert weight.grad is not None and weight.grad.is_cuda and weight.grad.cpu().equal(HERE)
    with pytest.raises(RuntimeError):
        weight.grad = HERE


def test_state_is_read_back_to_where_its_arm_had_it(tmp_path: Path) -> None:
    """Whatever device the parameters are on: hooks of a resumed run meet what those of a fresh one met."""
    run = in_process.planned(tmp_path, "vanilla", device="cuda")
    arm = {"here": HERE, "there": HERE.to("cuda"), "half": HERE.to("cuda", torch.bfloat16)}
    state = stepped(run, arm)
    claim = run.claim(None)
    try:
        spec = RunSpec.from_json(json.loads(run.spec_path.read_text()))
        checkpoint.save(run, claim.number, state, spec, {"cpu": "this"})
    finally:
        os.close(claim.lock)
    found = checkpoint.latest(run)
    assert found is not None
    again = dataclasses.replace(state, arm={})
    checkpoint.load(*found, again)
    assert {n: (t.device, t.dtype) for n, t in again.arm.items()} == {n: (t.device, t.dtype) for n, t in arm.items()}
    assert all(again.arm[name].cpu().equal(tensor.cpu()) for name, tensor in arm.items())
    assert all(moment["exp_avg"].is_cuda for moment in again.optimizer.state.values())


def stepped(run: RunDir, arm: dict[str, Tensor]) -> TrainState:
    """After one optimizer step, so that there are moments."""
    adapter = attached(RunSpec.from_json(json.loads(run.spec_path.read_text())).config, 7).adapter
    optimizer = torch.optim.AdamW(list(adapter.parameters.values()))
    for parameter in adapter.parameters.values():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    return TrainState(1, adapter, optimizer, arm)


def test_a_run_is_stopped_and_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagonal, "require_sound", lambda *args: None)  # on no GPU
    fields = {"device": "cuda", "dtype": "bfloat16", "steps": 2, "eval_every": 2, "eval_problems": 1, "max_new": 3}
    run = in_process.planned(tmp_path, "vanilla", **fields)
    assert in_process.attempt(run, stop_after=1) is None
    result = in_process.attempt(run)
    assert result is not None and result["attempts"] == 2
