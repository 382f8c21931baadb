"""What a plan's runs write, at most, and whether the disks that it goes to have it now."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.runs.cache import cache_folder
from core.spec import BUILT_IN_MODELS, RunSpec, TrainConfig
from core.weights.places import hub_cache, hub_copy
from core.weights.shapes import Shape, shape_of
from orchestrator.planning.adapter_bytes import ADAPTER_BYTES, WIDE
from orchestrator.planning.gpu_memory import direction_bytes, number_bytes, trained_numbers, weights

CHARACTERS = 4  # of a token, at most on average over a completion
BESIDE_A_TEXT = 1_000  # bytes of a rollout's row
SMALL = 50_000_000  # bytes that fill no disk: not shown


@dataclass(frozen=True)
class Place:
    """What goes to one folder: bytes by what they are."""

    path: Path
    items: dict[str, int]

    @property
    def total(self) -> int:
        return sum(self.items.values())

    def to_json(self) -> dict[str, Any]:
        return {"path": str(self.path), "items": self.items, "bytes": self.total, "free_bytes": free(self.path)}


def places(home: Path, specs: Sequence[RunSpec], slots: int) -> list[Place]:
    """The home, the cache of what can be made again, the hub's cache; of models whose shape is known."""
    in_home: Counter[str] = Counter()
    cached: dict[str, int] = {}
    fetched: dict[str, int] = {}
    for spec in specs:
        shape = shape_of(spec.config.model)
        if shape is None:
            continue
        in_home.update(written(shape, spec.config) if spec.kind == "train" else {})
        cached |= made_once(shape, spec.config)
        fetched |= downloaded(shape, spec.config)
    trained = [s.config for s in specs if s.kind == "train" and shape_of(s.config.model)]
    being_written = [checkpoint_bytes(_known(c), c) for c in trained]
    in_home["checkpoints"] += slots * max(being_written, default=0)
    found = [Place(home, dict(in_home)), Place(cache_folder(), cached), Place(hub_cache(), fetched)]
    return [place for place in found if place.total]


def _known(config: TrainConfig) -> Shape:
    shape = shape_of(config.model)
    assert shape is not None, f"{config.model} was known a moment ago"
    return shape


# ---- a training run


def written(shape: Shape, config: TrainConfig) -> dict[str, int]:
    """Into its run directory. Every arm is counted as if it had V, and every completion as if it never ended."""
    final = WIDE * trained_numbers(shape, config)
    a_rollout = CHARACTERS * config.max_new + BESIDE_A_TEXT
    return {
        "checkpoints": kept_checkpoints(config) * checkpoint_bytes(shape, config),
        "weights and directions": final + direction_bytes(shape, config),
        "rollouts": config.steps * config.batch * a_rollout,
    }


def kept_checkpoints(config: TrainConfig) -> int:
    """By the rule of core.training.retention, with a hack early enough for its own to stay."""
    every = range(config.checkpoint_every, config.steps + 1, config.checkpoint_every)
    steps = sorted({*every, config.steps})
    if not config.keep_newest:
        return len(steps)
    kept = {*steps[-config.keep_newest :], *(s for s in steps if config.keep_every and s % config.keep_every == 0)}
    return min(len(steps), len(kept) + 1)


def checkpoint_bytes(shape: Shape, config: TrainConfig) -> int:
    """Adapter with its frozen part, two moments, the arm's state. The basis of knobs is in the cache."""
    frozen = 0
    if config.adapter == "lora_frozen_a":
        of_one, e = ADAPTER_BYTES[config.adapter].frozen, number_bytes(config)
        frozen = sum(linear.count * of_one(linear, config, e) for linear in shape.linears())
    return 3 * WIDE * trained_numbers(shape, config) + frozen + direction_bytes(shape, config)


# ---- what runs share


def made_once(shape: Shape, config: TrainConfig) -> dict[str, int]:
    """SVDs of weights in float32: of all projections for knobs, of the band's MLP for a direction that is denoised."""
    if config.adapter == "svd":
        return {f"SVD of {config.model}": svd_bytes(shape)}
    if config.space == "activation" and config.m:
        band = round(shape.layers * (config.layers_to - config.layers_from)) + 1
        one = WIDE * min(shape.hidden, shape.intermediate) * (shape.hidden + shape.intermediate)
        return {f"SVD of {config.model}'s band": band * one}
    return {}


def svd_bytes(shape: Shape) -> int:
    return sum(WIDE * linear.count * linear.rank * (linear.d_in + linear.d_out) for linear in shape.linears())


def downloaded(shape: Shape, config: TrainConfig) -> dict[str, int]:
    """A model of the hub that is not in its cache, as it is published: in bfloat16."""
    is_here = config.model in BUILT_IN_MODELS or Path(config.model).expanduser().is_dir()
    copy = hub_copy(config.model)
    if is_here or (copy is not None and any(copy.glob("*.safetensors"))):
        return {}
    return {config.model: weights(shape, config) * 2 // number_bytes(config)}


# ---- and the disks


def free(path: Path) -> int:
    return shutil.disk_usage(_existing(path)).free


def _existing(path: Path) -> Path:
    return next(p for p in (path, *path.parents) if p.exists())


def lines(found: Sequence[Place]) -> list[str]:
    return [
        f"disk, at most: {_gb(place.total)} GB in {place.path} ({_items(place.items)}), {_gb(free(place.path))} free"
        for place in found
        if place.total > SMALL
    ]


def _items(items: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {_gb(count)}" for name, count in items.items() if count > SMALL)


def warnings(found: Sequence[Place], floor_gb: float) -> list[str]:
    """A sentence for each disk that has less than is to be written and the plan's floor; folders may share one."""
    by_disk: dict[int, list[Place]] = {}
    for place in found:
        by_disk.setdefault(_existing(place.path).stat().st_dev, []).append(place)
    return [
        f"the disk of {' and '.join(str(p.path) for p in here)} has {_gb(free(here[0].path))} GB free; these runs may "
        f"write {_gb(sum(p.total for p in here))} GB and want {floor_gb:g} GB left (disk_floor_gb): make room, choose "
        "another --home, or keep fewer checkpoints (keep_newest, keep_every)"
        for here in by_disk.values()
        if free(here[0].path) < sum(p.total for p in here) + floor_gb * 1e9
    ]


def _gb(count: int) -> str:
    return f"{count / 1e9:.1f}"
