"""Qwen3.5 with random weights, a few thousand of them: three layers of GatedDeltaNet, one of attention."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, Qwen3_5ForCausalLM, Qwen3_5TextConfig

from core.model.load import NANO, LanguageModel

SHAPE: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 16, "linear_conv_kernel_dim": 4, "linear_key_head_dim": 8,
    "linear_value_head_dim": 8, "linear_num_key_heads": 2, "linear_num_value_heads": 4,
    "max_position_embeddings": 512, "tie_word_embeddings": True,
}  # fmt: skip


def language_model() -> LanguageModel:
    tokenizer = AutoTokenizer.from_pretrained(NANO)
    torch.manual_seed(0)
    model: Any = Qwen3_5ForCausalLM(Qwen3_5TextConfig(vocab_size=len(tokenizer), **SHAPE))
    model.requires_grad_(False)
    return LanguageModel(model.eval(), tokenizer, frozenset([tokenizer.eos_token_id]))


def saved(folder: Path) -> Path:
    """As a directory that a config's `model` may name."""
    made = language_model()
    made.model.save_pretrained(folder)
    made.tokenizer.save_pretrained(folder)
    return folder
