"""A stranger has an adapter's folder, the packages, and the code of its README: that is enough."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from core.model.load import NANO
from core.runs.run_dir import RunDir
from support.final_weights import IDS, code_of, deployed_logits, finished
from support.paths import REPO


def logits_by_card(run: RunDir, elsewhere: Path, **environment: str) -> torch.Tensor:
    """In a process of its own."""
    shutil.copytree(run.adapter, elsewhere / "adapter")
    code = code_of((elsewhere / "adapter" / "README.md").read_text())
    code += f"\nimport torch\ntorch.save(model(torch.tensor({IDS.tolist()})).logits, 'logits.pt')\n"
    words = os.environ | {"PYTHONPATH": str(REPO), "HF_HUB_OFFLINE": "1"} | environment
    subprocess.run([sys.executable, "-c", code], cwd=elsewhere, env=words, check=True)
    return torch.load(elsewhere / "logits.pt")


@pytest.mark.parametrize(("arm", "adapter"), [("vanilla", "lora"), ("route", "svd"), ("absorb", "lora_blocks")])
def test_the_code_of_a_card_loads_the_deployed_model_elsewhere(arm: str, adapter: str, tmp_path: Path) -> None:
    run, policy = finished(tmp_path / "runs", arm, adapter)
    found = logits_by_card(run, tmp_path / "elsewhere")
    torch.testing.assert_close(found, deployed_logits(run, policy), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(
    ("arm", "adapter", "loader"), [("vanilla", "lora", "AutoPeft"), ("erase", "svd", "load_knobs")]
)
def test_an_adapter_of_a_hub_model_loads_by_its_name_alone(arm: str, adapter: str, loader: str, tmp_path: Path) -> None:
    """From a cache as the hub's client lays it out; a config with the cache's folder names the hub's model too."""
    snapshot = tmp_path / "hub" / "models--org--tiny" / "snapshots" / "abc"
    shutil.copytree(NANO, snapshot)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("abc")
    run, policy = finished(tmp_path / "runs", arm, adapter, model=str(snapshot))
    if adapter == "lora":
        assert json.loads((run.adapter / "adapter_config.json").read_text())["base_model_name_or_path"] == "org/tiny"
    assert loader in code_of((run.adapter / "README.md").read_text())
    found = logits_by_card(run, tmp_path / "elsewhere", HF_HUB_CACHE=str(tmp_path / "hub"))
    torch.testing.assert_close(found, deployed_logits(run, policy), atol=1e-6, rtol=1e-6)
