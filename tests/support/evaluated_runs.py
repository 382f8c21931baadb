"""Finished runs whose weights are made by hand, for eval runs to measure."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from core.arms import ARMS
from core.model.policy import Policy
from core.runs import durable
from core.runs.run_dir import RunDir
from core.spec import RunSpec
from core.training.final_weights import publish_weights, weights_sha256, write_weights
from support import in_process, small_policy

EVAL = {"model": "nano", "eval_problems": 4, "eval_samples": 2, "decode_rows": 4, "max_new": 48, "disk_floor_gb": 0.01}


def by_hand(runs: Path, arm: str, seed: int, of_quarantine: bool | None = None, scale: float = 0.05) -> RunDir:
    """A finished run of two blocks whose weights stand away from their start: both, or one of them (which)."""
    run = in_process.planned(runs, arm, model="nano", adapter="lora_blocks")
    adapter = small_policy.policy(spec_of(run).config, seed=7).adapter
    still = {name: p.detach().clone() for name, p in adapter.parameters.items()}
    policy = small_policy.policy(small_policy.config(adapter="lora_blocks"))
    policy.adapter = adapter
    small_policy.moved(dataclasses.replace(policy), scale, seed)
    for name, parameter in adapter.parameters.items():
        if of_quarantine is not None and (name in adapter.quarantine) is not of_quarantine:
            parameter.data.copy_(still[name])
    done(run, policy)
    return run


def done(run: RunDir, policy: Policy) -> None:
    about = {
        "run_id": run.run_id,
        "plan_hash": "0",
        "label": run.run_id,
        "arm": spec_of(run).arm,
        "seed": 7,
        "steps": 1,
    }
    ablated = ARMS[spec_of(run).arm].deploys_ablated
    result = about | {"hack_rate": 0.0} | weights_sha256(policy.adapter, ablated)
    write_weights(run.path / ".adapter", policy, spec_of(run), result, ablated)
    publish_weights(run.path / ".adapter", run)
    durable.write_json(run.result_path, result)


def spec_of(run: RunDir) -> RunSpec:
    return RunSpec.from_json(json.loads(run.spec_path.read_text()))
