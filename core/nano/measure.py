"""Measure nano precisely: base rates in every mode (n = 2,048 each), and finished runs (n = 1,024 each).

In-training evaluations are small, so that a run takes two minutes; claims are made on these. `just nano-results` writes
docs/results/nano.json, from which docs/nano.md quotes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from core import durable
from core.adapter import ADAPTERS
from core.arms import Task
from core.evaluate import evaluate
from core.models import load
from core.nano import text, world
from core.policy import Policy
from core.run_dir import RunDir
from core.sandbox import Sandbox
from core.spec import PRESETS, RunSpec

PROBLEMS = 256
BASE_SAMPLES, RUN_SAMPLES = 8, 4  # per problem
SEED = 1009  # of the measurement's own draws; no training run uses it


def measure(policy: Policy, mode: str, samples: int, sandbox: Sandbox) -> dict[str, Any]:
    tasks = [Task(problem, mode) for problem in world.problems("held_out", PROBLEMS)]
    return evaluate(policy, tasks, samples, (SEED, "measure"), sandbox)


def fresh_policy() -> Policy:
    config = PRESETS["nano"]
    language_model = load("nano")
    policy = Policy.of(language_model, ADAPTERS["lora"](language_model, config, 0), config)
    policy.refresh()
    return policy


def trained_policy(run: RunDir) -> Policy:
    """The newest checkpoint's weights on the base model."""
    policy = fresh_policy()
    newest = max(run.checkpoints.glob("step_*"))
    policy.adapter.load_state(load_file(newest / "adapter.safetensors"))
    policy.refresh()
    return policy


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN_DIR")
    parser.add_argument("--out", type=Path, default=Path("docs/results/nano.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, Any] = {"base": {}, "runs": []}
    with Sandbox() as sandbox:
        base = fresh_policy()
        for mode in text.MODES[1:]:
            found["base"][mode] = measure(base, mode, BASE_SAMPLES, sandbox)
            print(f"base {mode}: {json.dumps(found['base'][mode])}", flush=True)
        for path in arguments.runs:
            run = RunDir(path)
            spec = RunSpec.from_json(json.loads(run.spec_path.read_text()))
            result = json.loads(run.result_path.read_text())
            row = {key: result[key] for key in ("arm", "seed", "steps", "takeoff_step", "wall_s", "adapter_sha256")}
            found["runs"].append(row | measure(trained_policy(run), spec.config.modes[0], RUN_SAMPLES, sandbox))
            print(f"{run.run_id}: {json.dumps(found['runs'][-1])}", flush=True)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    durable.write_json(arguments.out, found)


if __name__ == "__main__":
    main()
