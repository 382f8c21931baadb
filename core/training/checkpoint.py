"""All that the next step depends on, on disk: whole or absent, and checked before it is believed.

    ckpt/step_000025/adapter.safetensors    the delta; metadata: rows and config as JSON
                     optimizer.safetensors  AdamW's moments and step counts
                     arm.safetensors        the arm's own state, where it has one; metadata: each tensor's device
                     state.json             step, machine, the SHA-256 of each file, and adapter_sha256, which is of
                                            what would be deployed, without the quarantine; written last

Older ones are removed by the rule of core.training.retention, after a newer one that holds its hashes is published.
The learning rate is a function of the step and every draw is seeded by (seed, step, group), so neither a scheduler nor
a generator has a state to save.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import logging
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from core.model.adapters.base import Adapter, save_tensors, tensors_sha256
from core.runs import durable
from core.runs.run_dir import RunDir
from core.spec import SCHEMA, RunSpec, TrainConfig, canonical_json
from core.training import retention

log = logging.getLogger(__name__)


class NoValidCheckpoint(RuntimeError):
    """There are checkpoints and none can be believed. Worker exit code 81."""


class MachineMismatch(RuntimeError):
    """The checkpoint was written on other silicon or by other libraries. Worker exit code 78."""


@dataclass
class TrainState:
    step: int
    adapter: Adapter
    optimizer: torch.optim.AdamW
    arm: dict[str, Tensor]
    ablated: bool = False  # the quarantine is not deployed
    kept: int = 0  # the step that the newest checkpoint of this process's lineage holds; 0: none


def save(run: RunDir, number: int, state: TrainState, spec: RunSpec, machine: dict[str, str]) -> Path:
    """Publish step `state.step` for attempt `number`. Raises Fenced where a newer attempt exists."""
    target = run.checkpoints / f"step_{state.step:06d}"
    temporary = run.checkpoints / f".{target.name}.{os.getpid()}"
    run.checkpoints.mkdir(exist_ok=True)
    durable.fsync_dir(run.path)
    with durable.building(temporary):
        _write(temporary, run, number, state, spec, machine)
        outdated = _outdated(run, temporary, state.step, spec.config)  # it reads files for seconds: not under the lock
        with run.commit(number, "checkpoint", state.step):
            _publish(temporary, target)
            for step in outdated:
                run.record_removal(number, step)
                _remove(run.checkpoints / f"step_{step:06d}")
    return target


def _write(folder: Path, run: RunDir, number: int, state: TrainState, spec: RunSpec, machine: dict[str, str]) -> None:
    """The checkpoint's files, each on disk before state.json vouches for it."""
    rows = [row for row in run.metrics() if row["step"] <= state.step]
    metadata = {"rows": canonical_json(rows), "config": canonical_json(spec.to_json()["config"])}
    save_tensors(state.adapter.state(), folder / "adapter.safetensors", metadata)
    save_tensors(_optimizer_tensors(state), folder / "optimizer.safetensors")
    if state.arm:
        _save_arm(state.arm, folder / "arm.safetensors")
    files = {path.name: _file_sha256(path) for path in sorted(folder.iterdir())}
    for name in files:
        durable.fsync_file(folder / name)
    summary = {
        "schema": SCHEMA,
        "step": state.step,
        "attempt": number,
        "plan_hash": spec.plan_hash,
        "adapter_sha256": tensors_sha256(state.adapter.deployed(state.ablated)),
        "machine": machine,
        "files": files,
    }
    durable.write_json(folder / "state.json", summary)


def _publish(temporary: Path, target: Path) -> None:
    """One rename under the run's lock. What stands there already failed its check, or it would have been resumed."""
    _clear(target.parent, temporary)
    if target.exists():
        target.rename(target.with_name(f".{target.name}.replaced"))
    temporary.rename(target)
    durable.fsync_dir(target.parent)


def clear_leftovers(run: RunDir) -> None:
    """Under the run's lock, at its end: what a death left of a checkpoint that was being written or removed."""
    _clear(run.checkpoints, None)


def _clear(folder: Path, but: Path | None) -> None:
    for leftover in folder.glob(".*"):
        if leftover != but:
            shutil.rmtree(leftover, ignore_errors=True)


def _remove(folder: Path) -> None:
    """Out of sight by one rename, so that none is ever seen half gone."""
    away = folder.with_name(f".{folder.name}.outdated")
    folder.rename(away)
    shutil.rmtree(away, ignore_errors=True)


def _outdated(run: RunDir, written: Path, step: int, config: TrainConfig) -> list[int]:
    """Steps of checkpoints that go once `written` is published as `step`; none where it does not hold its hashes."""
    if not config.keep_newest or _problem(written) is not None:
        return []
    older = [int(folder.name[5:]) for folder in _standing(run) if int(folder.name[5:]) != step]
    sound = (s for s in reversed(older) if _problem(run.checkpoints / f"step_{s:06d}") is None)
    newest = [step, *itertools.islice(sound, config.keep_newest - 1)]
    hacked = retention.first_hack(row for row in run.metrics() if row["step"] <= step)
    return retention.outdated([*older, step], newest, hacked, config)


def _standing(run: RunDir) -> list[Path]:
    """Published ones, by step."""
    return sorted(p for p in run.checkpoints.glob("step_*") if re.fullmatch(r"step_\d{6,}", p.name))


def latest(run: RunDir) -> tuple[Path, dict[str, Any]] | None:
    """The newest checkpoint whose hashes hold, or None where none was ever published. Raises NoValidCheckpoint."""
    found = _standing(run)
    for folder in reversed(found):
        problem = _problem(folder)
        if problem is None:
            return folder, json.loads((folder / "state.json").read_text())
        log.warning("checkpoint %s is passed over: %s", folder.name, problem)
    if found:
        raise NoValidCheckpoint(
            f"none of the {len(found)} checkpoints of {run.run_id} holds its hashes; "
            f"look at {run.checkpoints}, move it away, and `grpoq retry {run.run_id}` starts from step 0"
        )
    return None


def _problem(folder: Path) -> str | None:
    summary = durable.read_json(folder / "state.json")
    if not isinstance(summary, dict) or "files" not in summary:
        return "state.json is missing or torn"
    for name, expected in summary["files"].items():
        if not (folder / name).is_file():
            return f"{name} is missing"
        if _file_sha256(folder / name) != expected:
            return f"{name} differs from its hash"
    return None


def load(folder: Path, summary: dict[str, Any], state: TrainState) -> None:
    """Fill `state` from a checkpoint that `latest` has vouched for."""
    state.adapter.load_state(load_file(folder / "adapter.safetensors"))
    _load_optimizer(state, load_file(folder / "optimizer.safetensors"))
    with contextlib.suppress(FileNotFoundError):
        state.arm = _read_arm(folder / "arm.safetensors")
    state.step = state.kept = int(summary["step"])


def require_same_machine(summary: dict[str, Any], machine: dict[str, str]) -> None:
    """Sums differ between processors, so going on elsewhere would end in other bytes. Raises MachineMismatch."""
    saved = summary["machine"]
    asked = {name: value for name, value in machine.items() if name != "driver"}  # kernels come with torch
    different = [f"{k}: {saved.get(k)} then, {v} now" for k, v in asked.items() if saved.get(k) != v]
    if different:
        raise MachineMismatch(
            f"checkpoint of step {summary['step']} cannot be continued exactly here ({'; '.join(different)}); "
            "plan with --set same_machine=false to allow it"
        )


def _save_arm(arm: Mapping[str, Tensor], path: Path) -> None:
    devices = canonical_json({name: tensor.device.type for name, tensor in arm.items()})
    save_tensors({n: t.detach().cpu().contiguous() for n, t in arm.items()}, path, {"devices": devices})


def _read_arm(path: Path) -> dict[str, Tensor]:
    """Each tensor where the arm had it, so that its hooks meet the same in a resumed run as in a fresh one."""
    found = load_file(path)
    with safe_open(path, "pt") as handle:
        devices = json.loads((handle.metadata() or {}).get("devices", "{}"))  # earlier code wrote none, and ran on CPUs
    # Tensors of a file lie where it has them; products round by how their memory is aligned.
    own = {name: found[name].clone(memory_format=torch.contiguous_format) for name in sorted(found)}
    return {name: tensor.to(devices.get(name, "cpu")) for name, tensor in own.items()}


def _optimizer_tensors(state: TrainState) -> dict[str, Tensor]:
    tensors = {}
    for name, parameter in state.adapter.parameters.items():
        for key, value in state.optimizer.state[parameter].items():
            tensors[f"{name}:{key}"] = value.detach().cpu().contiguous()
    return tensors


def _load_optimizer(state: TrainState, tensors: dict[str, Tensor]) -> None:
    for name, parameter in state.adapter.parameters.items():
        own = {}
        for key in ("step", "exp_avg", "exp_avg_sq"):
            saved = tensors[f"{name}:{key}"].clone()
            own[key] = saved if key == "step" else saved.to(parameter.device)
        state.optimizer.state[parameter] = own


def _file_sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
