"""A worker loads whole, finite weights from this machine, or ends with class data and a path."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.model.finite import not_finite_file
from core.model.load import DataError, load
from support.model_folder import edited, hub_copy_of_nano, nano_folder
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


DO_NOT_GO_TOGETHER = {  # what is written into which file, words
    "vocabulary": ("config.json", {"vocab_size": 7}, r"embed_tokens.weight has shape .* and config.json asks \[7, "),
    "layers": ("config.json", {"num_hidden_layers": 1}, "cannot be loaded"),
    "heads": ("config.json", {"num_attention_heads": 0}, "cannot be loaded: integer division"),
    "end token": ("tokenizer_config.json", {"eos_token": 5}, "cannot be loaded: .*eos_token"),
}


@pytest.mark.parametrize("what", DO_NOT_GO_TOGETHER)
def test_files_that_do_not_go_together_are_refused_whatever_transformers_raises(what: str, tmp_path: Path) -> None:
    name, change, words = DO_NOT_GO_TOGETHER[what]
    folder = nano_folder(tmp_path / "model")
    edited(folder / name, lambda content: content.update(change))
    assert re.search(words, refusal(folder))


@pytest.mark.parametrize(
    "short", [MemoryError(), torch.OutOfMemoryError("x"), RuntimeError("can't allocate memory"), OSError(12, "x")]
)
def test_what_the_machine_lacks_is_not_the_files_fault(
    short: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise short

    monkeypatch.setattr("core.model.load.AutoModelForCausalLM.from_pretrained", fails)
    with pytest.raises(type(short)) as raised:
        load(str(nano_folder(tmp_path / "model")))
    assert raised.value is short


@pytest.mark.parametrize("template", ["{% for x in %}", "{{ raise_exception('no system message') }}"])
def test_a_template_that_takes_no_problem_is_refused(template: str, tmp_path: Path) -> None:
    folder = nano_folder(tmp_path / "model")
    (folder / "chat_template.jinja").write_text(template)
    model = load(str(folder))
    with pytest.raises(DataError, match=f"{folder}: its chat template takes no"):
        model.encode_prompt([{"role": "system", "content": "s"}, {"role": "user", "content": "u"}])


def test_a_hub_model_is_loaded_from_the_cache_and_never_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(DataError, match="download-model org/tiny"):
        load("org/tiny")
    hub_copy_of_nano(tmp_path, "org", "tiny")
    assert load("org/tiny").end_ids == load("nano").end_ids
