"""What is wrong with a model's files is said when a run is planned, by path, and without torch."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from core.weights.architectures import causal_model_types
from core.weights.problem import folder_problem, model_problem
from orchestrator.planning import plan as planning
from orchestrator.planning.matrix import Arm, Matrix
from orchestrator.planning.resolve import read_choices
from orchestrator.refusal import Refused
from support.fake_home import FakeHome
from support.model_folder import INDEX, NANO, edited, hub_copy_of_nano, indexed, nano_folder

WEIGHTS = "model.safetensors"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 8044982000\n"
HEADER = json.dumps({"a.weight": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}).encode()


def file(header: bytes, data: int) -> bytes:
    return struct.pack("<Q", len(header)) + header + bytes(data)


def cut(folder: Path, keep: int) -> None:
    path = folder / WEIGHTS
    path.write_bytes(path.read_bytes()[:keep])


TWO = {"a.weight": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
OVERLAP = json.dumps(TWO | {"b.weight": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}}).encode()
NEGATIVE = HEADER.replace(b"[0, 16]", b"[-16, 0]")

DAMAGE: dict[str, tuple[Callable[[Path], object], str, str]] = {  # what is done, whose path is named, words
    "lfs pointer": (lambda f: (f / WEIGHTS).write_bytes(POINTER), WEIGHTS, "Git LFS pointer.*git lfs pull"),
    "pointer to a tokenizer": (lambda f: (f / "tokenizer.json").write_bytes(POINTER), "tokenizer.json", "LFS pointer"),
    "cut": (lambda f: cut(f, 100_000), WEIGHTS, r"it is cut: \d+ of the \d+ bytes of its tensors"),
    "cut in the header": (lambda f: cut(f, 1_000), WEIGHTS, "cut within its header: 1000 of"),
    "empty": (lambda f: cut(f, 0), WEIGHTS, "it has 0 bytes"),
    "a web page": (lambda f: (f / WEIGHTS).write_bytes(b"<html><body>404"), WEIGHTS, "no safetensors file"),
    "wrong shape": (lambda f: (f / WEIGHTS).write_bytes(file(HEADER.replace(b"16", b"20"), 20)), WEIGHTS, "a.weight"),
    "overlap": (lambda f: (f / WEIGHTS).write_bytes(file(OVERLAP, 12)), WEIGHTS, "b.weight does not begin where"),
    "before the first byte": (lambda f: (f / WEIGHTS).write_bytes(file(NEGATIVE, 16)), WEIGHTS, "a.weight does not"),
    "a tail": (lambda f: (f / WEIGHTS).write_bytes(file(HEADER, 20)), WEIGHTS, "4 bytes follow its tensors"),
    "empty template": (lambda f: (f / "chat_template.jinja").write_text(""), "", "it has no chat template"),
    "an index of nothing": (lambda f: (f / INDEX).write_text('{"weight_map": null}'), INDEX, "values are not those"),
    "an index of numbers": (lambda f: (f / INDEX).write_text('{"weight_map": {"a": 1}}'), INDEX, "values are not"),
    "a list of types": (
        lambda f: edited(f / "config.json", lambda c: c.update(model_type=["a"])), "config.json", "values are",
    ),
    "text_config": (lambda f: edited(f / "config.json", lambda c: c.update(text_config=["a"])), "", "values are not"),
    "deep config": (lambda f: (f / "config.json").write_text("[" * 100_000), "config.json", "holds no JSON object"),
    "no header": (lambda f: (f / WEIGHTS).write_bytes(file(b"[1]", 0)), WEIGHTS, "its header cannot be read"),
    "no weights": (lambda f: (f / WEIGHTS).unlink(), WEIGHTS, "there are no weights"),
    "a shard short": (lambda f: indexed(f, a="model-2.safetensors"), "model-2.safetensors", "index.json names it"),
    "a tensor short": (lambda f: indexed(f, nowhere=WEIGHTS), WEIGHTS, "lacks 1 tensors .* nowhere first"),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), "", "it holds no tokenizer"),
    "no template": (lambda f: (f / "chat_template.jinja").unlink(), "", "it has no chat template"),
    "no config": (lambda f: (f / "config.json").unlink(), "config.json", "it is not there"),
    "torn config": (lambda f: (f / "config.json").write_text("{"), "config.json", "holds no JSON object"),
    "unknown architecture": (
        lambda f: edited(f / "config.json", lambda c: c.update(model_type="qwen99")), "config.json", "'qwen99'",
    ),
    "a layer short": (
        lambda f: edited(f / "config.json", lambda c: c.update(num_hidden_layers=7)), "", r"lack layer \d of the 7",
    ),
    "gpt2": (lambda f: (f / WEIGHTS).write_bytes(file(HEADER, 16)), "", "none of its 1 tensors is a layer.*q_proj"),
}  # fmt: skip


def without_end(folder: Path) -> None:
    for name in ("config.json", "generation_config.json", "tokenizer_config.json"):
        edited(folder / name, lambda c: [c.pop(key, None) for key in ("eos_token", "eos_token_id")])


DAMAGE["no end token"] = (without_end, "", "names an end token")


@pytest.mark.parametrize("what", DAMAGE)
def test_a_broken_directory_is_named_with_its_path(what: str, tmp_path: Path) -> None:
    damage, named, words = DAMAGE[what]
    folder = nano_folder(tmp_path / "model")
    assert model_problem(str(folder)) is None
    damage(folder)
    problem = model_problem(str(folder))
    assert problem is not None and problem.severity == "broken", problem
    assert problem.path == (folder / named if named else folder)
    assert problem.sentence.startswith(f"{problem.path}: ")
    assert re.search(words, problem.sentence), problem.sentence


def test_a_plan_on_a_broken_directory_is_refused(
    fake: FakeHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRPOQ_SOURCE", str(fake.source))
    folder = nano_folder(tmp_path / "model")
    choices = read_choices(None, None, None, None, [f"model={folder}"])
    matrix = Matrix("mine", "smoke", (41,), (Arm("vanilla", "vanilla"),))
    assert planning.draft_plan(matrix, choices).specs[0].config.model == str(folder)
    cut(folder, 100_000)
    with pytest.raises(Refused, match=r"plan mine, arm vanilla: .*model.safetensors: it is cut"):
        planning.draft_plan(matrix, choices)


def test_a_hub_model_is_looked_for_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    problem = model_problem("org/tiny")
    assert problem is not None and problem.severity == "missing" and problem.path == tmp_path
    assert "`uv run just download-model org/tiny`" in problem.sentence
    copy = hub_copy_of_nano(tmp_path, "org", "tiny")
    assert model_problem("org/tiny") is None
    indexed(copy, a="model-2.safetensors")  # a download that was ended before its second file
    problem = model_problem("org/tiny")
    assert problem is not None and problem.severity == "missing"
    assert "its copy is not whole" in problem.sentence and "model-2.safetensors" in problem.sentence
    indexed(copy, a=WEIGHTS)
    problem = model_problem("org/tiny")
    assert problem is not None and problem.severity == "broken"


def test_models_of_ours_and_transformers_own_table() -> None:
    assert model_problem("nano") is model_problem("smoke") is folder_problem(NANO) is None
    assert {"qwen3", "qwen3_5", "llama", "gpt2"} <= causal_model_types()
    assert "CausalLM" not in str(causal_model_types())
    for nowhere in ("/nowhere/model", "./nowhere", "../nowhere"):  # no names on a hub
        problem = model_problem(nowhere)
        assert problem is not None and problem.severity == "missing" and "no such directory" in problem.sentence
