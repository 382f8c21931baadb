"""A nano policy in memory, and steps for hooks to act on: what tests of directions and arms start from."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch

from core.arms.arm import State, Step
from core.model.adapters import ADAPTERS
from core.model.load import load
from core.model.policy import Policy
from core.model.run_data import RunData, load_run_data
from core.runs.run_dir import RunDir
from core.spec import PRESETS, TrainConfig

torch.set_num_threads(1)  # as in runs: sums depend on it, and two test processes share two cores


def config(preset: str = "nano", **fields: Any) -> TrainConfig:
    return dataclasses.replace(PRESETS[preset], **fields)


def policy(c: TrainConfig, seed: int = 3) -> Policy:
    language_model = load(c.model)
    found = Policy.of(language_model, ADAPTERS[c.adapter](language_model, c, seed), c)
    found.refresh()
    return found


@torch.no_grad()
def moved(found: Policy, scale: float = 0.02, seed: int = 4) -> Policy:
    """Every trained number away from its start."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in found.adapter.parameters.values():
        parameter.add_(scale * torch.randn(parameter.shape, generator=generator))
    found.refresh()
    return found


def data(found: Policy) -> RunData:
    return load_run_data(RunDir(Path("/nowhere")), found.config, found)


def step(
    found: Policy, state: State | None = None, number: int = 1, seed: int = 7, sees_solutions: bool = False
) -> Step:
    arm_data = data(found).for_arm(sees_solutions)
    return Step(number, seed, found.config, found, arm_data, {} if state is None else state)
