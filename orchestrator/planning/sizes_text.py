"""A plan's GPU memory by phase, as a terminal shows it: from what plan.json holds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def lines(tables: Iterable[dict[str, Any]]) -> list[str]:
    return [line for table in tables for line in _lines(table)]


def _lines(table: dict[str, Any]) -> list[str]:
    return [
        f"GPU memory, GB: {table['runs']} at {table['max_prompt']} + {table['max_new']} tokens, most in "
        f"{table['largest']} ({_gb(table['allowed_bytes'])} of {table['gpu_memory_gb']:g} may be used)",
        f"  {_sizes(table)}",
        f"  {'phase':<14}{'tensors':>9}{'on card':>9}",
        *(
            f"  {name:<14}{_gb(tensors):>9}{_gb(table['card_bytes'][name]):>9}"
            for name, tensors in table["tensor_bytes"].items()
        ),
    ]


def _sizes(table: dict[str, Any]) -> str:
    rows = f"decode_rows {table['decode_rows']}"
    if "backward" not in table["tensor_bytes"]:
        return rows
    checkpointing = "on" if table["grad_checkpointing"] else "off"
    return f"{rows}, micro_batch {table['micro_batch']}, gradient checkpointing {checkpointing}"


def _gb(count: int) -> str:
    return f"{count / 1e9:.1f}"
