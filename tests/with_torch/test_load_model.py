"""A worker loads whole, finite weights from this machine, or ends with class data and a path."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.model.finite import not_finite_file
from core.model.load import DataError, load
from support.model_folder import hub_copy_of_nano, nano_folder
from worker.failures import classify


def rewritten(folder: Path, **tensors: torch.Tensor | None) -> None:
    """None takes a tensor out."""
    path = folder / "model.safetensors"
    found = load_file(path) | {name.replace("__", "."): tensor for name, tensor in tensors.items()}
    save_file({name: t for name, t in found.items() if t is not None}, path, metadata={"format": "pt"})


def refusal(folder: Path) -> str:
    with pytest.raises(DataError) as refused:
        load(str(folder))
    assert classify(refused.value).error_class == "data" and str(folder) in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(value: float, tmp_path: Path) -> None:
    folder = nano_folder(tmp_path / "model")
    assert not_finite_file(folder) == ""
    norm = load_file(folder / "model.safetensors")["model.norm.weight"]
    norm[3] = value
    rewritten(folder, model__norm__weight=norm)
    words = f"1 of the {norm.numel()} numbers of model.norm.weight are NaN or infinite"
    assert words in refusal(folder) and words in not_finite_file(folder)


def test_a_tensor_that_is_in_no_file_is_not_drawn_at_random(tmp_path: Path) -> None:
    folder = nano_folder(tmp_path / "model")
    rewritten(folder, model__norm__weight=None)
    assert "1 tensors of the model are in no file of weights, model.norm.weight first" in refusal(folder)


def test_broken_files_are_refused_before_transformers_reads_them(tmp_path: Path) -> None:
    folder = nano_folder(tmp_path / "model")
    (folder / "chat_template.jinja").unlink()
    assert "chat template" in refusal(folder)


def test_a_hub_model_is_loaded_from_the_cache_and_never_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(DataError, match="download-model org/tiny"):
        load("org/tiny")
    hub_copy_of_nano(tmp_path, "org", "tiny")
    assert load("org/tiny").end_ids == load("nano").end_ids
