"""Two runs that must be one: what was killed on the way, and its unbroken twin. Reads only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.runs import durable
from core.runs.run_dir import RunDir

MACHINE = ("gen", "fb", "t_rew", "sec", "peak_GB")  # columns that measure the machine, not the run


def comparable(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key not in MACHINE} for row in rows]


def compare(run: RunDir, twin: RunDir) -> dict[str, bool]:
    """By what is compared, in words: whether it is there and the same in both."""
    results = [durable.read_json(r.result_path) or {} for r in (run, twin)]
    hashes = [result.get("adapter_sha256") for result in results]
    parked = [result.get("quarantine_sha256") for result in results]
    rows, evals = ([comparable(r.metrics()) for r in (run, twin)], [comparable(r.evals()) for r in (run, twin)])
    return {
        f"final weights {str(hashes[1])[:12]}": hashes[0] is not None
        and hashes[0] == hashes[1]
        and parked[0] == parked[1],
        f"{len(rows[1])} metrics rows": bool(rows[0]) and rows[0] == rows[1],
        f"{len(evals[1])} evaluations": evals[0] == evals[1],
    }
