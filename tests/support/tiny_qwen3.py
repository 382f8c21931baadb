"""A model directory in Qwen3's shape (grouped queries, q and k norms, tied head) that a CPU trains in seconds."""

from __future__ import annotations

from pathlib import Path

from core.model.load import load


def write_tiny_qwen3(folder: Path) -> Path:
    """The smoke model's seeded noise, as files: found, hashed, checked and loaded as real weights are."""
    smoke = load("smoke")
    smoke.model.save_pretrained(folder)
    smoke.tokenizer.save_pretrained(folder)
    return folder
