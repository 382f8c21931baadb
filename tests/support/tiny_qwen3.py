"""A model directory in Qwen3's shape (grouped queries, q and k norms, tied head) that a CPU trains in seconds."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoTokenizer, Qwen3Config, Qwen3ForCausalLM

from core.model.load import NANO


def write_tiny_qwen3(folder: Path) -> Path:
    """Seeded noise in four layers, with nano's tokenizer and chat template: room for prompts of the benchmark."""
    tokenizer = AutoTokenizer.from_pretrained(NANO)
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    Qwen3ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
