"""Every arm and every kind on a pretended GPU, in bf16: nothing lies on the wrong side, fresh or after a resume."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from core.arm_rules import ARM_NAMES
from core.direction import directions
from core.environment import diagonal
from core.environment.nano import pairs as nano_pairs
from core.environment.rewards import Grade, GradeItem, grade
from core.model.adapters.svd import FILE, load_knobs
from core.model.load import load
from core.runs import durable
from core.runs.run_dir import RunDir
from core.sandbox.pool import Sandbox
from core.spec import RunSpec
from core.training import step
from support import in_process, kind_runs
from support.pretended_gpu import pretended_gpu

ON_GPU: dict[str, Any] = {"device": "cuda", "dtype": "bfloat16", "micro_batch": 4, "max_new": 5, "eval_problems": 1}
RUN: dict[str, Any] = {
    **ON_GPU, "steps": 2, "refresh": 1, "checkpoint_every": 2, "eval_every": 2, "tdga_warmup": 1, "grift_r": 2,
    "grift_sketch": 16,
}  # fmt: skip


def every_second_solves(items: Sequence[GradeItem], sandbox: Sandbox, full: bool) -> list[Grade]:
    """Random weights write nothing that earns, and a tied group has no gradient."""
    grades = grade(items, sandbox, full=full)
    return [dataclasses.replace(g, compiles=bool(i % 2), gt_correct=bool(i % 2)) for i, g in enumerate(grades)]


MORE = [
    ("vanilla", {"measure": True}),
    ("vanilla", {"adapter": "svd"}),
    ("erase", {"teacher": "nano", "mix": 0.25, "max_new": 60}),
]
# With activations computed again every arm; without, one of each family: hooks are the same code in both.
CASES = [(name, fields, True) for name, fields in [*((name, {}) for name in ARM_NAMES), *MORE]]
FAMILIES = ("vanilla", "projected", "erase_update", "route", "route_act", "rebound_mul", "tdga", "sgtm", "grift")


@pytest.fixture(autouse=True)
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A few pairs are as good as eighty here, and the grader runs on no GPU."""
    monkeypatch.setattr(nano_pairs, "EXTRACT", 3)
    monkeypatch.setattr(nano_pairs, "HELD_OUT", 2)
    monkeypatch.setattr(diagonal, "require_sound", lambda *args: None)
    monkeypatch.setattr(step, "grade", every_second_solves)
    torch.use_deterministic_algorithms(True, warn_only=True)
    with pretended_gpu():
        yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize(
    "arm, fields, checkpointing",
    [*CASES, *((name, {}, False) for name in FAMILIES), *((*more, False) for more in MORE)],
)
def test_an_arm_resumed_on_the_gpu_ends_as_the_unbroken_one(
    arm: str, fields: dict[str, Any], checkpointing: bool, tmp_path: Path
) -> None:
    given = {**RUN, "grad_checkpointing": checkpointing, **fields}
    twin, broken = (in_process.planned(tmp_path / name, arm, **given) for name in ("twin", "broken"))
    assert in_process.attempt(twin) is not None
    assert in_process.attempt(broken, stop_after=1) is None
    assert in_process.attempt(broken) is not None
    assert broken.attempts() == [1, 2]
    assert any(row["gn"] for row in twin.metrics())  # there was something to learn
    assert weights(broken) == weights(twin)


def weights(run: RunDir) -> str:
    return json.loads(run.result_path.read_text())["adapter_sha256"]


@pytest.mark.parametrize("space", ["gradient", "activation"])
@pytest.mark.parametrize("kind", ["extract", "steer"])
@pytest.mark.parametrize("checkpointing", [True, False], ids=["checkpointing", "whole"])
def test_a_direction_is_extracted_and_pushed_along(kind: str, space: str, checkpointing: bool, tmp_path: Path) -> None:
    fields = {**ON_GPU, "space": space, "grad_checkpointing": checkpointing}
    run = kind_runs.planned(tmp_path / "runs", kind, kind, **fields)
    assert in_process.attempt(run) is not None
    if kind == "extract":
        tensors, _ = directions.read(run.direction_path)
        assert tensors and all(t.device.type == "cpu" for t in tensors.values())


@pytest.mark.parametrize("checkpointing", [True, False], ids=["checkpointing", "whole"])
def test_the_longest_step_and_shard_are_tried(checkpointing: bool, tmp_path: Path) -> None:
    fields = {**ON_GPU, "grad_checkpointing": checkpointing, "batch": 8, "completions": 4, "max_new": 4}
    found = in_process.attempt(kind_runs.planned(tmp_path / "runs", "fit", "fit", **fields))
    assert found is not None and found["metrics"]["fits"] == 1.0


def test_the_grader_is_checked(tmp_path: Path) -> None:
    found = in_process.attempt(kind_runs.planned(tmp_path / "runs", "check", "check", **ON_GPU))
    assert found is not None and not found["metrics"]["wrong"]


@pytest.mark.parametrize("arm, adapter", [("vanilla", "lora"), ("route", "svd"), ("absorb", "lora_blocks")])
def test_trained_weights_are_evaluated(arm: str, adapter: str, tmp_path: Path) -> None:
    trained = in_process.planned(tmp_path / "runs", arm, **RUN | {"adapter": adapter})
    assert in_process.attempt(trained) is not None
    spec = RunSpec.from_json(json.loads(trained.spec_path.read_text()))
    durable.write_json(trained.spec_path, dataclasses.replace(spec, run_id=trained.run_id).to_json())
    evaluated = kind_runs.planned(tmp_path / "runs", "eval", "eval", of=arm, **ON_GPU | {"adapter": adapter})
    found = in_process.attempt(evaluated)
    assert found is not None and ("as_trained" in found["metrics"]) == (arm != "vanilla")


def test_the_base_model_is_evaluated(tmp_path: Path) -> None:
    assert in_process.attempt(kind_runs.planned(tmp_path / "runs", "eval", "eval", **ON_GPU)) is not None


def test_saved_knobs_load_onto_a_model_on_the_gpu(tmp_path: Path) -> None:
    trained = in_process.planned(tmp_path, "vanilla", **RUN | {"adapter": "svd"})
    assert in_process.attempt(trained) is not None
    model = load_knobs(load("smoke", "cuda", "bfloat16").model, trained.adapter)
    on_disk = load_file(trained.adapter / FILE)
    assert all(model.get_parameter(name).cpu().equal(knobs) for name, knobs in on_disk.items() if name.endswith(".dS"))
    assert any(knobs.any() for knobs in on_disk.values())
