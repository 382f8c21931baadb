"""Finished runs with moved weights, and what a reader of an adapter's README would do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

from core.arms import ARMS
from core.model.policy import Policy
from core.runs.run_dir import RunDir
from support import in_process, small_policy
from support.evaluated_runs import done, spec_of

IDS = torch.tensor([[5, 77, 300, 12, 9, 41, 8]])


def finished(folder: Path, arm: str, adapter: str, **fields: Any) -> tuple[RunDir, Policy]:
    """A finished run whose weights, the quarantine's too, stand away from their start."""
    run = in_process.planned(folder, arm, **({"model": "nano", "adapter": adapter} | fields))
    policy = small_policy.moved(small_policy.policy(spec_of(run).config, seed=7))
    done(run, policy)
    return run, policy


def deployed_logits(run: RunDir, policy: Policy) -> torch.Tensor:
    if not ARMS[spec_of(run).arm].deploys_ablated:
        return policy.adapter.model(IDS).logits
    with policy.adapter.ablated():
        return policy.adapter.model(IDS).logits


def code_of(card: str) -> str:
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    return code
