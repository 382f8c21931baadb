"""Plans that an older version made, and directories that could be a model's."""

from __future__ import annotations

import json
from pathlib import Path

from core.runs import durable
from orchestrator.store.home import Home
from support.paths import REPO

# Made by commit 364b7b6 on two cores: `plan full --arms vanilla --seeds 41`, `plan nano --arms vanilla,erase --seeds
# 41`, `plan smoke --arms vanilla --seeds 41 --set steps=2`, and, once that had run, `eval --problems 2 --samples 1`.
OLD = json.loads((REPO / "tests" / "data" / "plans_of_schema_1.json").read_text())


def old_home(folder: Path) -> Home:
    """As an older version left it, without the code that it froze."""
    home = Home(folder)
    for plan_id, stored in OLD.items():
        for run_id, spec in stored["specs"].items():
            (home.runs / run_id).mkdir(parents=True)
            durable.write_json(home.runs / run_id / "spec.json", spec)
        (home.plans / plan_id).mkdir(parents=True)
        durable.write_json(home.plans / plan_id / "plan.json", stored["plan"])
    return home


def model_at(folder: Path, weights: bytes = b"\0" * 64) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"architectures": ["Qwen3ForCausalLM"]}')
    (folder / "tokenizer.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(weights)
    return folder
