"""A run in this process, claimed and worked as the worker does it; and one that the worker itself is to work."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from core.arm_rules import arm_problem
from core.attempt import Attempt, Preempted
from core.runs import durable
from core.runs.run_dir import RunDir
from core.spec import RunSpec, TrainConfig, resolve_config

# What an arm may need: the first of these that it takes is its own.
FORMS: tuple[dict[str, Any], ...] = (
    {},
    {"adapter": "svd"},
    {"adapter": "lora_blocks"},
    {"space": "activation"},
)


def config_of(arm: str, preset: str, **fields: Any) -> TrainConfig:
    found = (resolve_config(preset, fields | form) for form in FORMS)
    return next(config for config in found if arm_problem(arm, config) is None)


def planned(folder: Path, arm: str, config: TrainConfig, seed: int = 7) -> RunDir:
    """A run directory with a spec, of no plan: it is worked by the code that lies here."""
    run = RunDir(folder)
    run.path.mkdir(parents=True)
    spec = RunSpec(folder.name, "train", arm, arm, seed, "gpu check", "0" * 64, "smoke", config)
    durable.write_json(run.spec_path, spec.to_json())
    return run


def attempt(run: RunDir, machine: dict[str, str], stop_after: int | None = None) -> dict[str, Any] | None:
    """The result, or None where it was stopped after a step, as by SIGTERM."""
    from core.kinds import WORK_BY_KIND

    spec = RunSpec.from_json(json.loads(run.spec_path.read_text()))
    claim = run.claim(None)
    finished = [0]

    def beat(step: int, phase: str) -> None:
        finished[0] = step + 1 if phase == "train" else step

    def wants_stop() -> bool:
        return stop_after is not None and finished[0] >= stop_after

    try:
        given = Attempt(run, spec, claim.number, machine, beat, lambda: None, wants_stop, lambda: None)
        return WORK_BY_KIND[spec.kind](given)
    except Preempted:
        return None
    finally:
        os.close(claim.lock)


def weights_of(run: RunDir) -> str:
    return json.loads(run.result_path.read_text())["adapter_sha256"]
