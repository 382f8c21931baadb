"""What each field of the benchmark's arithmetic changes, on rollouts of nano runs. `just arithmetic` writes figures.

Plain GRPO is trained under the benchmark's arithmetic; on the way the same rollouts and rewards give the gradient under
nano's own, under nano's own with one field changed, and under all. The highest `kl` of whole runs is what max_kl of the
benchmark's presets is set by. It says nothing of Qwen3-4B: the shape of lengths and probabilities is nano's.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from core.arms.arm import Arm, Step
from core.model.policy import attached
from core.model.run_data import load_run_data
from core.runs import durable
from core.runs.run_dir import RunDir
from core.sandbox.pool import Sandbox
from core.spec import PRESETS, VERL, TrainConfig
from core.training.metrics import rollout_columns, take_off
from core.training.step import backward, optimize, reward, roll_out

NANO = PRESETS["nano"]
CHANGES: dict[str, dict[str, Any]] = {
    "logp_temperature": {"logp_temperature": "sampling"},
    "aggregate": {"aggregate": "micro_batch_mean"},
    "aggregate, one rank": {"aggregate": "micro_batch_mean", "loss_ranks": 1},
    "kl_cap": {"kl_cap": 10.0},
    "skip_tied off": {"skip_tied": False},
    "all of VERL": VERL,
    "all of VERL, skip_tied off": {**VERL, "skip_tied": False},
}
MEASURED_EVERY = 20


def gradient(step: Step, rewards: torch.Tensor, config: TrainConfig) -> tuple[torch.Tensor, float | None]:
    """The step's gradient as one vector under another config, and its column kl."""
    parameters = step.adapter.parameters.values()
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    row = backward(Arm(), replace(step, config=config, row={}), rewards, torch.ones_like(rewards, dtype=torch.bool))
    return torch.cat([p.grad.double().flatten() for p in parameters if p.grad is not None]), row["kl"]


def effects(step: Step, rewards: torch.Tensor) -> dict[str, dict[str, float]]:
    """Cosine to nano's own gradient, ratio of norms, ratio of kl, by change; none where every group is tied."""
    own, own_kl = gradient(step, rewards, NANO)
    found = {}
    for name, change in CHANGES.items():
        other, kl = gradient(step, rewards, replace(NANO, **change))
        if own_kl and kl and own.norm():
            cosine = torch.nn.functional.cosine_similarity(own, other, dim=0)
            found[name] = {"cosine": float(cosine), "norm": float(other.norm() / own.norm()), "kl": kl / own_kl}
    return found


def run(seed: int, steps: int, sandbox: Sandbox) -> dict[str, Any]:
    config = replace(NANO, steps=steps, **VERL)
    policy = attached(config, seed)
    policy.refresh()
    data = load_run_data(RunDir(Path("/nowhere")), config, policy)
    betas = (config.beta1, config.beta2)
    optimizer = torch.optim.AdamW(
        policy.adapter.parameters.values(), config.lr, betas, weight_decay=config.weight_decay
    )
    rows, measured = [], []
    for number in range(1, steps + 1):
        step = Step(number, seed, config, policy, data.for_arm(sees_solutions=False), {}, row={"step": number})
        paid = reward(Arm(), step, roll_out(Arm(), step, data), sandbox)
        if number % MEASURED_EVERY == 0:
            measured.append({"step": number} | effects(step, paid.rewards))
        optimize(Arm(), step, paid.rewards, optimizer)
        rows.append(rollout_columns(step, paid.grades, paid.rewards, paid.by_environment))
    kl = [row["kl"] for row in rows if row["kl"] is not None]
    said = {"highest_kl": max(kl), "lowest_lp_s": min(row["lp_s"] for row in rows if row["lp_s"] is not None)}
    return {
        "seed": seed,
        "takeoff_step": take_off(rows),
        "last_compiles": rows[-1]["comp"],
        **said,
        "measured": measured,
    }


def summary(runs: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Medians over all measured steps of all runs, and the cosine's lowest."""
    steps = [step for run in runs for step in run["measured"]]
    found = {}
    for name in CHANGES:
        of = [step[name] for step in steps if name in step]
        found[name] = {key: round(statistics.median(o[key] for o in of), 3) for key in ("cosine", "norm", "kl")}
        found[name]["lowest_cosine"] = round(min(o["cosine"] for o in of), 3)
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", default="41,42,43")
    parser.add_argument("--steps", type=int, default=120)
    args = parser.parse_args()
    torch.set_num_threads(1)
    runs: list[dict[str, Any]] = []
    with Sandbox() as sandbox:
        for seed in args.seeds.split(","):
            runs.append(run(int(seed), args.steps, sandbox))
            durable.write_json(args.out, {"summary": summary(runs), "runs": runs})
    for name, figures in summary(runs).items():
        print(f"{name:28s}", figures)


if __name__ == "__main__":
    main()
