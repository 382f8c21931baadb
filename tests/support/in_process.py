"""Runs within the test's own process: no worker, no queue, a second or two each."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from core.arm_rules import arm_problem
from core.attempt import Attempt, Preempted
from core.kinds import WORK_BY_KIND
from core.runs import durable
from core.runs.run_dir import RunDir
from core.spec import RunSpec, resolve_config

SMALL: dict[str, Any] = {
    "steps": 6, "checkpoint_every": 2, "eval_every": 6, "eval_problems": 2, "eval_samples": 1, "max_new": 12,
    "batch": 8, "completions": 4, "disk_floor_gb": 0.01, "warmup": 1, "grift_sketch": 32, "tdga_warmup": 2,
}  # fmt: skip
# What an arm cannot do without; everything else is the smoke preset's.
NEEDS: dict[str, dict[str, Any]] = {
    "route": {"adapter": "svd"},
    "projected": {"space": "activation", "preserve_magnitude": True},
    "shuffled_V": {"space": "activation"},
    "shrink": {"adapter": "svd"},
    "reverse_V": {"space": "update", "adapter": "svd"},
    **{
        name: {"adapter": "lora_blocks"} for name in ("absorb", "route_act", "random_v_act", "sgtm", "gradient_routing")
    },
}


def planned(folder: Path, arm: str, seed: int = 7, **fields: Any) -> RunDir:
    """A run directory with a spec."""
    config = resolve_config("smoke", SMALL | NEEDS.get(arm, {}) | fields)
    assert arm_problem(arm, config) is None, arm_problem(arm, config)
    run = RunDir(folder / arm)
    run.path.mkdir(parents=True)
    spec = RunSpec(arm, "train", arm, arm, seed, "test", "0" * 64, "smoke", config)
    durable.write_json(run.spec_path, spec.to_json())
    return run


def attempt(
    run: RunDir, stop_after: int | None = None, stop_in: tuple[int, str] | None = None
) -> dict[str, Any] | None:
    """Claim and work; the attempt saves and ends after a step, or within a phase, as on SIGTERM. The result.

    `stop_in`: (last finished step, phase as it is beaten).
    """
    spec = RunSpec.from_json(json.loads(run.spec_path.read_text()))
    claim = run.claim(None, False)
    finished, where = [0], [(0, "")]

    def beat(step: int, phase: str) -> None:
        finished[0] = step + 1 if phase == "train" else step
        where[0] = (step, phase)

    def wants_stop() -> bool:
        return where[0] == stop_in or (stop_after is not None and finished[0] >= stop_after)

    try:
        machine = {"cpu": "this"}
        work = WORK_BY_KIND[spec.kind]
        return work(Attempt(run, spec, claim.number, machine, beat, lambda: None, wants_stop, lambda: None))
    except Preempted:
        return None
    finally:
        os.close(claim.lock)
