"""Reference numbers of verl 0.6.1's own functions, for tests that do without verl. `just verl-reference DIR` runs it.

Each section holds what went in beside what came out. Everything is called as the benchmark's trainer calls it; the
whole step is verl's DataParallelPPOActor.update_policy on each rank's share, and the mean over ranks that FSDP takes.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from tensordict import TensorDict
from torch import Tensor
from transformers import AutoModelForImageTextToText
from verl import DataProto

from core.model.adapters.base import switched_off
from core.model.logprobs import TokenBatch
from core.model.policy import Policy
from support import verl_step
from support.paths import TESTS

# Renamed in transformers 5, and imported by verl for image models alone.
sys.modules["transformers"].AutoModelForVision2Seq = AutoModelForImageTextToText  # type: ignore[attr-defined]

from verl.trainer.ppo import core_algos  # noqa: E402
from verl.trainer.ppo.ray_trainer import RayPPOTrainer  # noqa: E402
from verl.utils import torch_functional as verl_F  # noqa: E402
from verl.workers.actor.dp_actor import DataParallelPPOActor  # noqa: E402
from verl.workers.config import FSDPActorConfig  # noqa: E402
from verl.workers.config.engine import FSDPEngineConfig  # noqa: E402

REFERENCE = TESTS / "data/verl_reference.json"
TEMPERATURE = 0.7
RANKS, MICRO = 4, 8


def advantages() -> dict[str, Any]:
    rewards = verl_step.rewards()
    flat = rewards.reshape(-1, 1)
    index = np.repeat(np.arange(len(rewards)), rewards.shape[1])
    found: dict[str, Any] = {"rewards": rewards.tolist()}
    for kind, by_std in (("std", True), ("mean", False)):
        args = (flat.clone(), torch.ones_like(flat), index)
        got, _ = core_algos.compute_grpo_outcome_advantage(*args, norm_adv_by_std_in_grpo=by_std)
        found[kind] = got.reshape(rewards.shape).tolist()
    return found


def kl() -> dict[str, Any]:
    """K3 and its gradient by the policy's log-probability, over gaps on both sides of the cap and far beyond."""
    gaps = [-100.0, -25.0, -12.0, -10.9, -3.0, -0.5, 0.0, 0.1, 1.0, 2.0, 2.6, 2.7, 5.0, 15.0, 25.0, 100.0]
    logps = torch.zeros(len(gaps), requires_grad=True)
    divergence = core_algos.kl_penalty(logps, torch.tensor(gaps), "low_var_kl")
    divergence.sum().backward()
    return {"gaps": gaps, "k3": divergence.tolist(), "gradient": logps.grad.tolist()}


def objective() -> dict[str, Any]:
    """The clipped loss of a token and its gradient, by gap to the old policy and advantage; below verl's dual clip."""
    points = [(gap, a) for gap in (-1.0, -0.1, 0.0, 0.1, 1.0) for a in (-1.5, -0.3, 0.0, 0.3, 1.5)]
    losses, gradients = [], []
    for gap, advantage in points:
        logp = torch.tensor([[gap]], requires_grad=True)
        args = (torch.zeros(1, 1), logp, torch.tensor([[advantage]]), torch.ones(1, 1))
        loss, _ = core_algos.compute_policy_loss_vanilla(*args, "token-mean", actor_config(8))
        loss.backward()
        losses.append(loss.item())
        gradients.append(logp.grad.item())
    return {"points": points, "loss": losses, "gradient": gradients}


def token_mean() -> dict[str, Any]:
    values = torch.arange(12.0).reshape(3, 4) ** 1.5
    lengths = [4, 1, 2]
    mask = torch.arange(4) < torch.tensor(lengths)[:, None]
    return {
        "values": values.tolist(),
        "lengths": lengths,
        "mean": core_algos.agg_loss(values, mask, "token-mean").item(),
    }


def schedules() -> dict[str, Any]:
    """The rate of each step: verl steps its scheduler after the optimizer's."""
    found = {"peak": 7e-5, "steps": 60, "warmup": 10}
    for name, make, more in (
        ("cosine", verl_F.get_cosine_schedule_with_warmup, {"num_training_steps": 60}),
        ("constant", verl_F.get_constant_schedule_with_warmup, {}),
    ):
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 7e-5)
        scheduler = make(optimizer, num_warmup_steps=10, **more)
        found[name] = []
        for _ in range(60):
            found[name].append(scheduler.get_last_lr()[0])
            optimizer.step()
            scheduler.step()
    return found


def orders() -> list[dict[str, Any]]:
    """Where _balance_batch puts rollouts of given lengths, for several batches and ranks, ties among them."""
    drawing = random.Random(2)
    found = []
    for rollouts, ranks, longest in (
        (32, 1, 9),
        (32, 4, 40),
        (64, 2, 700),
        (128, 4, 60),
        (128, 4, 3072),
        (256, 4, 3072),
    ):
        lengths = [drawing.randint(1, longest) for _ in range(rollouts)]
        found.append({"lengths": lengths, "ranks": ranks, "order": balanced(lengths, ranks)})
    return found


def balanced(lengths: list[int], ranks: int) -> list[int]:
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    data = DataProto.from_dict({"attention_mask": mask, "place": torch.arange(len(lengths))})
    RayPPOTrainer._balance_batch(trainer(ranks), data, {})
    return data.batch["place"].tolist()


def trainer(ranks: int) -> Any:
    return SimpleNamespace(actor_rollout_wg=SimpleNamespace(world_size=ranks))


def actor_config(rollouts: int) -> FSDPActorConfig:
    """As the benchmark's: defaults but for the KL. What computes, not what is computed, is the CPU's."""
    return FSDPActorConfig(
        strategy="fsdp2", ppo_mini_batch_size=rollouts, ppo_micro_batch_size_per_gpu=MICRO, use_kl_loss=True,
        kl_loss_coef=verl_step.config().kl, kl_loss_type="low_var_kl", grad_clip=1e9, use_torch_compile=False,
        rollout_n=1, fsdp_config=FSDPEngineConfig(dtype="float32"),
    )  # fmt: skip


class Recorder(torch.optim.SGD):
    """An optimizer that keeps the gradient it is given and moves nothing."""

    def step(self, closure: Any = None) -> None:
        self.seen = [p.grad.clone() for group in self.param_groups for p in group["params"]]


def whole_step(policy: Policy) -> dict[str, Any]:
    data = proto(verl_step.batch(), verl_step.rewards())
    reference = DataParallelPPOActor(actor_config(64), policy.adapter.model)
    with switched_off(policy.adapter):
        data.batch["ref_log_prob"], _ = reference.compute_log_prob(data)
    own, _ = reference.compute_log_prob(data)
    said = data.batch["response_mask"].bool()
    gap = (data.batch["ref_log_prob"] - own)[said]
    logps = own[said][:40].tolist()
    RayPPOTrainer._balance_batch(trainer(RANKS), data, {})
    optimizer = Recorder(policy.adapter.parameters.values(), 1.0)
    shares = []
    for share in data.chunk(RANKS):
        actor = DataParallelPPOActor(actor_config(len(share)), policy.adapter.model, optimizer)
        actor.update_policy(share)
        shares.append(optimizer.seen)
    mean = [torch.stack(parts).mean(0) for parts in zip(*shares, strict=True)]
    return {
        "gradient": {n: verl_step.fingerprint(g) for n, g in zip(policy.adapter.parameters, mean, strict=True)},
        "capped": float((gap.exp() - gap - 1 > 10).float().mean()),
        "logps": logps,
    }


def proto(batch: TokenBatch, rewards: Tensor) -> DataProto:
    """The batch as verl's rollout worker leaves it, with advantages of verl's own."""
    ids = torch.cat([batch.prompt_ids[batch.group], batch.completion_ids], 1)
    mask = torch.cat([batch.prompt_mask[batch.group], batch.completion_mask], 1).long()
    response_mask = batch.completion_mask.long()
    scores = torch.zeros_like(batch.completion_ids, dtype=torch.float)
    scores[torch.arange(len(scores)), response_mask.sum(1) - 1] = rewards.flatten()
    advantage, _ = core_algos.compute_grpo_outcome_advantage(scores, response_mask, batch.group.numpy())
    tensors = {
        "responses": batch.completion_ids, "response_mask": response_mask, "input_ids": ids, "attention_mask": mask,
        "position_ids": (mask.cumsum(1) - 1).clamp(min=0), "advantages": advantage,
        "old_log_probs": torch.zeros_like(advantage),  # not read: one update per batch takes the policy's own
    }  # fmt: skip
    meta = {"temperature": TEMPERATURE, "micro_batch_size": MICRO, "use_dynamic_bsz": False}
    return DataProto(batch=TensorDict(tensors, batch_size=len(ids)), meta_info=meta)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=REFERENCE)
    out = parser.parse_args().out
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    found = {
        "verl": "0.6.1",
        "advantages": advantages(),
        "kl": kl(),
        "objective": objective(),
        "token_mean": token_mean(),
        "schedules": schedules(),
        "orders": orders(),
        "step": whole_step(verl_step.policy(verl_step.config())),
    }
    torch.distributed.destroy_process_group()
    sections = ",\n".join(f"{json.dumps(name)}: {json.dumps(section)}" for name, section in found.items())
    out.write_text(f"{{\n{sections}\n}}\n")


if __name__ == "__main__":
    main()
