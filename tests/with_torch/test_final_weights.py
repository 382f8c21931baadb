"""What a finished run leaves of its weights is what is deployed, and a stranger can load it by its own README."""

import json
import os
import re
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from core.arms import ARMS
from core.kinds import eval_subject
from core.model.adapters import basis, blocks, svd
from core.model.adapters.base import tensors_sha256
from core.model.load import NANO, DataError, load
from core.model.origin import how_to_get, public_name
from core.runs.run_dir import RunDir
from support import in_process, small_policy
from support.evaluated_runs import spec_of
from support.final_weights import IDS, code_of, deployed_logits, finished
from support.paths import REPO

CASES = [
    ("vanilla", "lora"),
    ("vanilla", "lora_frozen_a"),
    ("route", "svd"),
    ("erase", "svd"),
    ("absorb", "lora_blocks"),
    ("vanilla", "lora_blocks"),
]
FILES = {
    "lora": "adapter_model.safetensors",
    "lora_frozen_a": "adapter_model.safetensors",
    "svd": svd.FILE,
    "lora_blocks": blocks.FILE,
}


@pytest.mark.parametrize(("arm", "adapter"), CASES)
def test_a_folder_holds_what_is_deployed_and_the_hash_covers_it_to_the_last_tensor(
    arm: str, adapter: str, tmp_path: Path
) -> None:
    run, _ = finished(tmp_path, arm, adapter)
    result, ablated = json.loads(run.result_path.read_text()), ARMS[arm].deploys_ablated
    found = load_file(run.adapter / FILES[adapter])
    names = {re.sub(r"(lora_[AB])\.weight", r"\1.default.weight", name): t for name, t in found.items()}
    assert tensors_sha256(names) == result["adapter_sha256"]
    parked = {name for name in found if "dS_hack" in name or ".quarantine." in name}
    assert bool(parked) is (not ablated and adapter in ("svd", "lora_blocks"))
    assert run.quarantine.exists() is ablated is ("quarantine_sha256" in result)
    if ablated:
        aside = load_file(run.quarantine)
        assert tensors_sha256(aside) == result["quarantine_sha256"] and not set(aside) & set(found)
    assert {p.name for p in run.adapter.iterdir()} <= {FILES[adapter], "README.md", "adapter_config.json"}


@pytest.mark.parametrize(("arm", "adapter"), CASES)
def test_deployed_weights_and_the_quarantine_come_back_apart_and_together(
    arm: str, adapter: str, tmp_path: Path
) -> None:
    run, policy = finished(tmp_path, arm, adapter)
    other = small_policy.moved(small_policy.policy(spec_of(run).config, seed=8), seed=9).adapter
    other.load(run.adapter)
    assert torch.equal(other.model(IDS).logits, deployed_logits(run, policy))
    if ARMS[arm].deploys_ablated:
        other.load_set_aside(load_file(run.quarantine))
    assert torch.equal(other.model(IDS).logits, policy.adapter.model(IDS).logits)


@pytest.mark.parametrize(("arm", "adapter"), [("vanilla", "lora"), ("route", "svd"), ("absorb", "lora_blocks")])
def test_the_code_of_a_card_gives_the_deployed_model(
    arm: str, adapter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside a copy of the folder; in a process of its own: tests/system/test_adapter_cards.py."""
    run, policy = finished(tmp_path / "runs", arm, adapter)
    shutil.copytree(run.adapter, tmp_path / "adapter")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(code_of((Path("adapter") / "README.md").read_text()), names)
    assert torch.equal(names["model"](IDS).logits, deployed_logits(run, policy))


@pytest.mark.parametrize("model", ["nano", "smoke"])
@pytest.mark.parametrize("adapter", ["lora", "svd", "lora_blocks"])
def test_a_card_says_which_run_it_is_of_and_names_no_place_of_this_machine(
    model: str, adapter: str, tmp_path: Path
) -> None:
    run, _ = finished(tmp_path, "absorb" if adapter == "lora_blocks" else "vanilla", adapter, model=model)
    spec, card = spec_of(run), (run.adapter / "README.md").read_text()
    _, front, body = card.split("---\n", 2)
    fields = yaml.safe_load(front)
    assert fields["base_model"] == model and f"arm:{spec.arm}" in fields["tags"]
    assert fields["library_name"] == ("peft" if adapter == "lora" else "grpoq")
    for fact in (spec.run_id, spec.plan_name, spec.plan_hash, spec.arm, f"| seed | {spec.seed} |", how_to_get(model)):
        assert fact in body
    assert f"| steps | {spec.config.steps} |" in body
    if adapter == "lora":
        settings = json.loads((run.adapter / "adapter_config.json").read_text())
        assert settings["base_model_name_or_path"] == model
    for text in (p.read_bytes() for p in run.adapter.iterdir()):
        assert str(REPO).encode() not in text and str(tmp_path).encode() not in text


def test_the_place_that_nanos_card_names_is_in_the_wheel() -> None:
    (named,) = re.findall(r"`(core/[^`]+)`", how_to_get("nano"))
    assert REPO / named == NANO and (NANO / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("Qwen/Qwen3-4B", "Qwen/Qwen3-4B"),
        ("/x/hub/models--Qwen--Qwen3-4B/snapshots/1cf/", "Qwen/Qwen3-4B"),
        ("/data/my-model", "my-model"),
        ("nano", "nano"),
    ],
)
def test_a_base_model_is_named_as_a_stranger_knows_it(model: str, name: str) -> None:
    assert public_name(model) == name


@pytest.fixture(scope="module")
def routed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunDir]:
    """A run from its first step to its end, with umask 027 and a cache of its own."""
    folder = tmp_path_factory.mktemp("routed")
    before = os.umask(0o027)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRPOQ_CACHE", str(folder / "cache"))
        run = in_process.planned(folder, "route", steps=2)
        assert in_process.attempt(run) is not None
        finished(folder / "lora", "vanilla", "lora")
    os.umask(before)
    yield run


def test_files_have_the_mode_that_the_umask_gives(routed: RunDir) -> None:
    files = list(routed.path.parent.rglob("*.safetensors"))
    assert {p.parent.name for p in files} == {"svd", "step_000002", "adapter", "route"}
    assert {oct(stat.S_IMODE(p.stat().st_mode)) for p in files} == {"0o640"}


def test_a_checkpoint_keeps_the_quarantine_and_its_hash_is_of_what_would_be_deployed(routed: RunDir) -> None:
    last, result = routed.checkpoints / "step_000002", json.loads(routed.result_path.read_text())
    kept = load_file(last / "adapter.safetensors")
    assert json.loads((last / "state.json").read_text())["adapter_sha256"] == result["adapter_sha256"]
    parts = load_file(routed.adapter / svd.FILE) | load_file(routed.quarantine)
    assert tensors_sha256(kept) == tensors_sha256(parts)


# ---- the basis of knobs


def other_basis(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on another machine: the same SVD, rounded otherwise."""
    true = svd.svd_basis

    def rounded(weight: torch.Tensor, given: Path | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        U, Vh = true(weight, given)
        own = given is not None and (given / svd.basis_file_name(weight)).exists()
        return (U, Vh) if own else (U * (1 + 2**-22), Vh)

    monkeypatch.setattr(svd, "svd_basis", rounded)


def test_knobs_are_refused_in_another_basis_and_load_exactly_with_the_one_that_is_brought(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, policy = finished(tmp_path, "erase", "svd")
    expected = deployed_logits(run, policy)
    assert torch.equal(svd.load_knobs(load("nano").model, run.adapter)(IDS).logits, expected)
    with monkeypatch.context() as elsewhere:
        other_basis(elsewhere)
        with pytest.raises(ValueError, match=r"28 of 28 layers .*another SVD basis.*adapters.basis adapter` where"):
            svd.load_knobs(load("nano").model, run.adapter)
        with pytest.raises(DataError, match="another SVD basis"):
            eval_subject._load(
                small_policy.policy(spec_of(run).config), run, json.loads(run.result_path.read_text()), False
            )
    monkeypatch.setattr(sys, "argv", ["basis", str(run.adapter)])
    assert basis.main() == 0 and "28 layers" in capsys.readouterr().out
    other_basis(monkeypatch)
    assert torch.equal(svd.load_knobs(load("nano").model, run.adapter)(IDS).logits, expected)
    evaluated = small_policy.policy(spec_of(run).config)
    eval_subject._load(evaluated, run, json.loads(run.result_path.read_text()), False)
    assert torch.equal(evaluated.adapter.model(IDS).logits, expected)


def test_knobs_of_another_model_are_refused(tmp_path: Path) -> None:
    run, _ = finished(tmp_path, "erase", "svd")
    with pytest.raises(ValueError, match="another SVD basis"):
        svd.load_knobs(load("smoke").model, run.adapter)


# ---- runs of before the quarantine lay apart


@pytest.mark.parametrize(("arm", "adapter"), [("route", "svd"), ("absorb", "lora_blocks"), ("vanilla", "lora_blocks")])
def test_an_old_run_with_its_quarantine_within_is_read_as_before(arm: str, adapter: str, tmp_path: Path) -> None:
    run, policy = finished(tmp_path, arm, adapter)
    whole = policy.adapter.deployed(ablated=False)
    save_file(whole, run.adapter / FILES[adapter], metadata={"format": "1"})
    run.quarantine.unlink(missing_ok=True)
    result = json.loads(run.result_path.read_text())
    result.pop("quarantine_sha256", None)
    result["adapter_sha256"] = tensors_sha256(policy.adapter.state())
    other = small_policy.policy(spec_of(run).config, seed=8)
    eval_subject._load(other, run, result, ARMS[arm].deploys_ablated)
    assert tensors_sha256(other.adapter.state()) == result["adapter_sha256"]
    assert torch.equal(other.adapter.model(IDS).logits, policy.adapter.model(IDS).logits)
    with pytest.raises(DataError, match="holds other weights"):
        eval_subject._load(other, run, result | {"adapter_sha256": "f" * 64}, ARMS[arm].deploys_ablated)


def test_a_quarantine_that_is_not_the_runs_is_refused(tmp_path: Path) -> None:
    run, policy = finished(tmp_path, "absorb", "lora_blocks")
    result = json.loads(run.result_path.read_text())
    aside = load_file(run.quarantine)
    save_file({name: t + 1 for name, t in aside.items()}, run.quarantine)
    with pytest.raises(DataError, match="quarantine_sha256"):
        eval_subject._load(policy, run, result, True)
    run.quarantine.unlink()
    with pytest.raises(DataError, match="cannot be read"):
        eval_subject._load(policy, run, result, True)
