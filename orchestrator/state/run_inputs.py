"""The files of benchmark rows that a run cannot do without, as its directory holds them."""

from __future__ import annotations

from pathlib import Path

from core.runs.run_dir import RunDir
from core.spec import TrainConfig


def rows_of(run: RunDir, config: TrainConfig) -> list[Path]:
    """Where they must lie; none for nano's own problems."""
    if config.problems != "rows":
        return []
    return [run.problems_path, *([run.held_out_path] if config.held_out_sha256 else [])]


def missing_rows(run: RunDir, config: TrainConfig) -> list[Path]:
    return [path for path in rows_of(run, config) if not path.is_file()]
