"""How large the visit works: Qwen3-4B and the preset `full`, or something that a CPU is through with in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# https://huggingface.co/Qwen/Qwen3-4B/blob/main/config.json
QWEN3_4B: dict[str, Any] = {
    "vocab_size": 151_936, "hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36,
    "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "max_position_embeddings": 40_960,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0}, "tie_word_embeddings": True,
}  # fmt: skip
TWO_LAYERS: dict[str, Any] = {
    **QWEN3_4B, "vocab_size": 2000, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "max_position_embeddings": 512,
}  # fmt: skip


@dataclass(frozen=True)
class Sizes:
    model: dict[str, Any]
    rows: int  # completions of a step
    members: int  # of a group
    micro_batch: int
    prompt: int  # tokens
    longest_prompt: int
    max_new: int
    mean_new: int
    decode_rows: tuple[int, ...]
    decode_tokens: int
    key_lengths: int  # how many different ones attention is asked for
    run_rows: int  # of the worker's run
    run_new: int
    run_steps: int
    arms: tuple[str, ...]  # none: all of them

    @property
    def cache_bytes(self) -> int:
        """Keys and values of one token of one row, in bf16."""
        m = self.model
        return 2 * m["num_hidden_layers"] * m["num_key_value_heads"] * m["head_dim"] * 2


FULL = Sizes(
    QWEN3_4B, rows=128, members=8, micro_batch=8, prompt=700, longest_prompt=1536, max_new=1536, mean_new=600,
    decode_rows=(128, 64, 16, 1), decode_tokens=96, key_lengths=20, run_rows=16, run_new=128, run_steps=2, arms=(),
)  # fmt: skip
TINY = Sizes(
    TWO_LAYERS, rows=8, members=4, micro_batch=4, prompt=20, longest_prompt=24, max_new=24, mean_new=12,
    decode_rows=(8, 4, 1), decode_tokens=6, key_lengths=4, run_rows=4, run_new=64, run_steps=12,
    arms=("vanilla", "grift"),
)  # fmt: skip
