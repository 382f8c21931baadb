"""What a plan's runs take of the machine's own memory, beside the children of judged code, and what there is now."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.sandbox.pool import MEMORY_LIMIT_BYTES
from core.spec import RunSpec, TrainConfig
from core.weights.shapes import Shape, shape_of
from orchestrator.planning import judging_memory
from orchestrator.planning.adapter_bytes import WIDE
from orchestrator.planning.gpu_memory import (
    direction_bytes,
    sampling_phases,
    step_phases,
    trained_numbers,
    weights,
)

LIBRARIES = 600_000_000, 3_000_000_000  # torch and transformers in a process, without CUDA and with it
PAIR_GRADIENTS = 12_000_000_000  # core.direction.directions.PART_BYTES with their differences


def forecast(specs: Sequence[RunSpec], slots: int) -> dict[str, Any] | None:
    """Bytes of `slots` runs at a time, the largest; None where no model's shape is known."""
    known = [(shape, spec) for spec in specs if (shape := shape_of(spec.config.model)) is not None]
    if not known:
        return None
    needs = [of_run(shape, spec.config, spec.kind) for shape, spec in known]
    largest = max(needs, key=lambda need: max(need.values()))
    judging = max(spec.config.grade_workers for spec in specs) * MEMORY_LIMIT_BYTES
    a_run = max(largest.values())
    return {"by_phase": largest, "judging": judging, "bytes": slots * (a_run + judging), "free_bytes": free()}


def of_run(shape: Shape, config: TrainConfig, kind: str) -> dict[str, int]:
    """By phase. On a CPU the model works in this memory; else it passes through it, and what is extracted is here."""
    if config.device == "cpu":
        work = sampling_phases(shape, config, kind == "train") | (step_phases(shape, config) if kind == "train" else {})
        return {"work": LIBRARIES[0] + max(work.values())}
    numbers, stays = trained_numbers(shape, config), LIBRARIES[1]
    found = {"loading": stays + weights(shape, config)}
    if kind in ("train", "extract"):
        found["extraction"] = stays + extraction_bytes(shape, config)
    if kind == "train":
        found["a checkpoint"] = stays + 3 * WIDE * numbers + direction_bytes(shape, config)
    return found


def extraction_bytes(shape: Shape, config: TrainConfig) -> int:
    """Pair gradients in parts; in activation space one gradient of the score, and one weight's SVD in float64."""
    if config.space != "activation":
        return PAIR_GRADIENTS + direction_bytes(shape, config)
    svd = 2 * WIDE * 3 * shape.hidden * shape.intermediate
    return max(svd, WIDE * trained_numbers(shape, config) + direction_bytes(shape, config))


def free() -> int:
    """MemAvailable, and no more than this process's cgroup may hold."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    kib = next((int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), None)
    limit = judging_memory.machine_bytes()
    return limit if kib is None else min(limit, kib * 1024)


def line(found: dict[str, Any], slots: int) -> str:
    phases = ", ".join(f"{name} {n / 1e9:.1f}" for name, n in found["by_phase"].items())
    return (
        f"host memory, at most: {slots} x ({phases} GB; judged code {found['judging'] / 1e9:.1f}) = "
        f"{found['bytes'] / 1e9:.1f} GB, {found['free_bytes'] / 1e9:.1f} available"
    )


def warning(found: dict[str, Any]) -> str | None:
    if found["bytes"] <= found["free_bytes"]:
        return None
    return (
        f"these runs may take {found['bytes'] / 1e9:.1f} GB of host memory with their judged code, and "
        f"{found['free_bytes'] / 1e9:.1f} GB are available: plan fewer slots or a smaller grade_workers, or free some"
    )
