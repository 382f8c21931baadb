"""Whole runs of a tiny Qwen3.5: every family of arms, stopped and resumed, and evaluated, extracted and steered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import Qwen3_5Config, Qwen3_5ForConditionalGeneration

from core.model.load import load
from support import tiny_qwen3_5
from support.arm_runs import few_pairs, resumed_equals_unbroken


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    few_pairs(monkeypatch)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_qwen3_5.saved(tmp_path_factory.mktemp("qwen3_5")))


@pytest.mark.parametrize(
    "arm, fields",
    [
        ("vanilla", {"measure": True, "space": "activation"}),
        ("projected", {}),
        ("rebound_mul", {}),
        ("erase", {"adapter": "lora_frozen_a", "grad_checkpointing": True}),
        ("route_act", {}),
        ("tdga", {}),
        ("grift", {}),
    ],
    ids=str,
)
def test_resumed_run_equals_uninterrupted(arm: str, fields: dict[str, Any], model: str, tmp_path: Path) -> None:
    resumed_equals_unbroken((arm, {"model": model} | fields), tmp_path)


def test_a_checkpoint_of_the_whole_model_loads_as_its_text_model(tmp_path: Path) -> None:
    """What is published holds a vision tower as well."""
    made = tiny_qwen3_5.language_model()
    vision = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 32}
    config = Qwen3_5Config(text_config=made.model.config.to_dict(), vision_config=vision, tie_word_embeddings=True)
    Qwen3_5ForConditionalGeneration(config).save_pretrained(tmp_path)
    made.tokenizer.save_pretrained(tmp_path)
    found = load(str(tmp_path)).model
    assert type(found).__name__ == "Qwen3_5ForCausalLM" and found.config.num_hidden_layers == 4
    assert not any("visual" in name for name, _ in found.named_parameters())
