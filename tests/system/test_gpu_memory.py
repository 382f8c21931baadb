"""The plan's bytes by phase against the product's functions on device "meta", within 5 %."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from core.spec import TrainConfig, resolve_config
from core.weights.shapes import Shape, shape_of
from orchestrator.planning import gpu_memory, sizes
from orchestrator.planning.gpu_memory import Phases, arm_state, gradients_and_moments, sampling_phases, step_phases
from support.metered_run import peaks

QWEN, SMOLLM = "Qwen/Qwen3-4B", "smollm2-135m"
SAMPLED = ("prefill", "decode")
TOLERANCE = 0.05


def counted(shape: Shape, config: TrainConfig) -> Phases:
    """As the meter sees it: no arm beside, and no optimizer while the first step samples."""
    arm, later = arm_state(shape, config), gradients_and_moments(shape, config)
    found = sampling_phases(shape, config, True) | step_phases(shape, config)
    copies = gpu_memory.WIDE * gpu_memory.trained_numbers(shape, config)  # of an arm that looks at the update
    return {
        name: n - (0 if name == "loaded" else arm) - (later if name in SAMPLED else copies if name == "update" else 0)
        for name, n in found.items()
    }


def shape_and_config(model: str, adapter: str, fields: dict[str, Any]) -> tuple[Shape, TrainConfig]:
    shape = shape_of(model)
    assert shape is not None
    config = resolve_config("full", {"model": model, "adapter": adapter, "batch": 128, **fields})
    return shape, dataclasses.replace(config, decode_rows=config.batch)


def compare(model: str, adapter: str, fields: dict[str, Any]) -> dict[str, float]:
    """By phase: counted over metered."""
    shape, config = shape_and_config(model, adapter, fields)
    metered = peaks(shape, config, config.batch // config.completions)
    ours = counted(shape, config)
    ratios = {name: ours[name] / bytes_ for name, bytes_ in metered.items()}
    print(model, adapter, fields, {name: f"{n / 1e9:.2f} x {ratios[name]:.3f}" for name, n in metered.items()})
    return ratios


ON, OFF = {"grad_checkpointing": True, "micro_batch": 8}, {"grad_checkpointing": False, "micro_batch": 2}
CASES = [
    *[(QWEN, adapter, {"max_prompt": 700, **ON}) for adapter in ("lora", "svd")],
    *[(QWEN, adapter, ON) for adapter in ("lora", "lora_frozen_a", "lora_blocks", "svd")],
    *[(QWEN, adapter, OFF) for adapter in ("lora", "lora_frozen_a", "lora_blocks", "svd")],
    (QWEN, "lora", {"max_prompt": 700, "grad_checkpointing": False, "micro_batch": 4}),
    (QWEN, "lora", {"max_prompt": 460, "max_new": 400, "grad_checkpointing": False, "micro_batch": 8}),
    (SMOLLM, "lora", {"max_prompt": 700, "max_new": 512, **OFF}),
    (SMOLLM, "lora", {"max_prompt": 700, "max_new": 512, "dtype": "float32", **ON}),
]


@pytest.mark.parametrize(("model", "adapter", "fields"), CASES)
def test_counted_bytes_agree_with_the_product_in_every_phase(model: str, adapter: str, fields: dict[str, Any]) -> None:
    ratios = compare(model, adapter, fields)
    assert {name: r for name, r in ratios.items() if abs(r - 1) > TOLERANCE} == {}


@pytest.mark.parametrize("adapter", ["lora", "svd"])
@pytest.mark.parametrize("max_prompt", [700, 1536])
def test_the_full_plan_s_sizes_hold_on_a_card_of_96_gb(adapter: str, max_prompt: int) -> None:
    """By the product's own functions, with what a later step finds beside them: 75 GB of tensors in training, 90 in an
    evaluation's shard of ten samples."""
    shape, config = shape_and_config(QWEN, adapter, {"max_prompt": max_prompt, "eval_problems": 113})
    evaluated = dataclasses.replace(config, batch=1280, completions=10, eval_samples=10)
    wanted = [sizes.Wanted("vanilla", sizes.TRAINING, config, frozenset())]
    configs, _ = sizes.sized([*wanted, sizes.Wanted("eval-vanilla", "eval", evaluated, frozenset())])
    trained, shard = configs["vanilla"], configs["eval-vanilla"]
    beside = gradients_and_moments(shape, trained) + arm_state(shape, trained)
    assert max(peaks(shape, trained, trained.decode_rows // 8).values()) + beside <= 75e9
    assert max(peaks(shape, shard, shard.decode_rows // 10, trains=False).values()) <= 90e9
