"""Measure nano precisely: base rates in every mode (n = 2,048 each), and finished runs (n = 1,024 each).

In-training evaluations are small, so that a run takes two minutes; claims are made on these. `just nano-results` writes
docs/results/, from which docs/nano.md quotes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from core.arms import ARMS
from core.environment.nano import text, world
from core.environment.task import Task
from core.model.policy import Policy, attached
from core.runs import durable
from core.runs.run_dir import RunDir
from core.sandbox.pool import Sandbox
from core.spec import PRESETS, RunSpec, TrainConfig
from core.training.evaluate import evaluate

PROBLEMS = 256
BASE_SAMPLES, RUN_SAMPLES = 8, 4  # per problem
SEED = 1009  # of the measurement's own draws; no training run uses it


def measure(policy: Policy, mode: str, samples: int, sandbox: Sandbox) -> dict[str, Any]:
    tasks = [Task(problem, mode) for problem in world.problems("held_out", PROBLEMS)]
    return evaluate(policy, tasks, samples, (SEED, "measure"), sandbox)


def fresh_policy(config: TrainConfig = PRESETS["nano"], seed: int = 0) -> Policy:
    policy = attached(config, seed)
    policy.refresh()
    return policy


def trained_policy(run: RunDir, spec: RunSpec) -> Policy:
    """The newest checkpoint's weights on the base model, in the run's own adapter, as they are deployed."""
    policy = fresh_policy(spec.config, spec.seed)
    newest = max(run.checkpoints.glob("step_*"))
    policy.adapter.load_state(load_file(newest / "adapter.safetensors"))
    with policy.adapter.ablated() if ARMS[spec.arm].deploys_ablated else contextlib.nullcontext():
        policy.refresh()
    return policy


def measure_base(sandbox: Sandbox) -> dict[str, Any]:
    """Rates of the untrained model, by mode."""
    base = fresh_policy()
    return {mode: measure(base, mode, BASE_SAMPLES, sandbox) for mode in text.MODES[1:]}


def measure_run(run: RunDir, sandbox: Sandbox) -> dict[str, Any]:
    """Rates of a finished run's weights, with what its result says of the way there."""
    spec = RunSpec.from_json(json.loads(run.spec_path.read_text()))
    result = json.loads(run.result_path.read_text())
    kept = {key: result[key] for key in ("arm", "seed", "steps", "takeoff_step", "wall_s", "adapter_sha256")}
    return kept | measure(trained_policy(run, spec), spec.config.modes[0], RUN_SAMPLES, sandbox)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN_DIR", help="finished runs; none: the base model")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with Sandbox() as sandbox:
        found: Any = [measure_run(RunDir(path), sandbox) for path in arguments.runs] or measure_base(sandbox)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    durable.write_json(arguments.out, found)


if __name__ == "__main__":
    main()
