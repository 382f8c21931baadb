"""Sizes and memory for the card that is there: those that a plan for a card of its bytes would have.

An 85 GB card cannot hold what a 96 GB one does, and is asked for less. orchestrator.planning is light: what counts
bytes there needs nothing of the queue.
"""

from __future__ import annotations

import dataclasses

from bench.gpu.machine import nvidia_smi
from bench.gpu.phase import Visit
from core.spec import TrainConfig
from core.weights.shapes import shape_of
from orchestrator.planning.gpu_memory import direction_bytes
from orchestrator.planning.sizes import TRAINING, Table, Wanted, sized


def card_gb(visit: Visit) -> float:
    """By nvidia-smi, which needs no context on the card; 0: there is none, or it cannot be told."""
    mib = nvidia_smi("memory.total").partition("\n")[0]
    return int(mib) * 1_048_576 // 100_000_000 / 10 if visit.on_card and mib.isdecimal() else 0.0


def table_of(visit: Visit, config: TrainConfig, family: str = TRAINING) -> Table | None:
    """The config's sizes and its bytes by phase; None where the card is not known, and sizes stay as they are given."""
    _, tables = sized([Wanted("visit", family, dataclasses.replace(config, gpu_memory_gb=card_gb(visit)), frozenset())])
    return tables[0] if tables else None


def sized_config(visit: Visit, config: TrainConfig, family: str = TRAINING) -> TrainConfig:
    table = table_of(visit, config, family)
    return table.run.config if table else dataclasses.replace(config, gpu_memory_gb=0.0)


def expected_gb(table: Table, *phases: str) -> float:
    """Of the tensors of vanilla, which has no direction that stays."""
    shape = shape_of(table.run.config.model)
    assert shape is not None, "sizes were made of it"
    without = 0 if phases == ("loaded",) else direction_bytes(shape, table.run.config)
    return (max(table.phases[phase] for phase in phases) - without) / 1e9
