"""What a finished run leaves of its weights.

    adapter/                what is deployed, with a README.md; result.json's adapter_sha256 is of its tensors
    quarantine.safetensors  beside it, of arms that deploy without their quarantine; quarantine_sha256 is of its tensors

So whoever loads the folder gets the deployed model, and what was trained can still be put together again.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from core.direction.directions import base_sha256
from core.model.adapters.base import Adapter, save_tensors, tensors_sha256
from core.model.policy import Policy
from core.runs import durable
from core.runs.run_dir import QUARANTINE, RunDir
from core.spec import RunSpec
from core.training.model_card import model_card


def weights_sha256(adapter: Adapter, ablated: bool) -> dict[str, str]:
    """For result.json. ablated: the arm deploys without its quarantine, which then has a hash of its own."""
    found = {"adapter_sha256": tensors_sha256(adapter.deployed(ablated))}
    return found | ({"quarantine_sha256": tensors_sha256(adapter.set_aside())} if ablated else {})


def write_weights(folder: Path, policy: Policy, spec: RunSpec, result: dict[str, Any], ablated: bool) -> None:
    """adapter/ as it will be, and in it, until it is published, the quarantine; all on disk."""
    policy.adapter.save(folder, ablated)
    (folder / "README.md").write_text(model_card(spec, result, base_sha256(policy), ablated))
    if ablated:
        save_tensors(policy.adapter.set_aside(), folder / QUARANTINE)
    for path in folder.iterdir():
        durable.fsync_file(path)
    durable.fsync_dir(folder)


def publish_weights(folder: Path, run: RunDir) -> None:
    """Under the run's lock. What lies there is of an attempt that died between these renames."""
    shutil.rmtree(run.adapter, ignore_errors=True)
    if (folder / QUARANTINE).exists():
        (folder / QUARANTINE).replace(run.quarantine)
    folder.rename(run.adapter)
