"""Sizes follow from bytes and from nothing of this machine; what cannot fit is refused with the figures."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from core.spec import PRESETS, TrainConfig
from core.weights.shapes import from_config, shape_of
from orchestrator.planning import gpu_memory, sizes, sizes_text
from orchestrator.planning.matrix import find_matrix, read_matrix
from orchestrator.planning.plan import Draft, draft_plan
from orchestrator.planning.resolve import read_choices
from orchestrator.refusal import Refused
from orchestrator.store.snapshot import source_root

FULL = PRESETS["full"]


def wanted(label: str = "vanilla", family: str = sizes.TRAINING, given: str = "", **fields: object) -> sizes.Wanted:
    return sizes.Wanted(label, family, dataclasses.replace(FULL, **fields), frozenset(given.split()))


def one(*runs: sizes.Wanted) -> TrainConfig:
    return sizes.sized(runs)[0][runs[0].label]


def full(*overrides: str) -> Draft:
    choices = read_choices(arms=None, seeds=None, slots=1, problems=None, overrides=overrides)
    return draft_plan(read_matrix(find_matrix("full")), choices)


# ---- shapes


@pytest.mark.parametrize(
    ("model", "parameters", "adapted"),
    [("Qwen/Qwen3-4B", 4_022_468_096, 3_633_315_840), ("smollm2-135m", 134_515_008, 106_168_320)],
)
def test_a_published_config_gives_the_published_count(model: str, parameters: int, adapted: int) -> None:
    shape = shape_of(model)
    assert shape is not None
    assert (shape.parameters(), shape.adapted()) == (parameters, adapted)


def test_a_hybrid_model_is_counted_layer_by_layer() -> None:
    """1,881,825,088 is what the library's Qwen3_5ForCausalLM of this config has."""
    shape = shape_of("Qwen/Qwen3.5-2B")
    assert shape is not None
    assert (shape.parameters(), shape.attention_layers, shape.layers) == (1_881_825_088, 6, 24)
    a_token = gpu_memory.kv_cache(shape, FULL, 1, 2) - gpu_memory.kv_cache(shape, FULL, 1, 1)
    assert a_token == 2 * 2 * 6 * 2 * 256  # keys and values in bf16, of the layers that attend


def test_every_shape_in_the_tree_is_read_by_its_name() -> None:
    folder = source_root() / "core" / "weights" / "shapes"
    for path in folder.glob("*--*.json"):
        assert shape_of(path.stem.replace("--", "/")) == from_config(json.loads(path.read_text()))


def test_a_directory_and_the_hub_s_cache_tell_a_shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = (source_root() / "core" / "weights" / "shapes" / "Qwen--Qwen3-4B.json").read_text()
    snapshot = tmp_path / "hub" / "models--ORG--NAME" / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text(facts)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("0123")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    assert shape_of("ORG/NAME") == shape_of(str(snapshot)) == shape_of("Qwen/Qwen3-4B")
    assert shape_of("ORG/OTHER") is None
    (snapshot / "config.json").write_text('{"num_experts": 8, ' + facts.lstrip()[1:])
    assert shape_of("ORG/NAME") is None


@pytest.mark.parametrize(
    "change",
    [{"vocab_size": "151936"}, {"num_attention_heads": 0, "head_dim": None}, {"num_hidden_layers": -1},
     {"hidden_size": 2560.5}, {"text_config": ["a"]}],
)  # fmt: skip
def test_a_config_whose_sizes_are_no_counts_tells_no_shape(change: dict[str, object], tmp_path: Path) -> None:
    facts = json.loads((source_root() / "core" / "weights" / "shapes" / "Qwen--Qwen3-4B.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(facts | change))
    assert shape_of(str(tmp_path)) is None


def test_qwen3_4b_keeps_147456_bytes_a_token_and_row() -> None:
    shape = shape_of("Qwen/Qwen3-4B")
    assert shape is not None
    assert gpu_memory.kv_cache(shape, FULL, 1, 1) == 147_456


# ---- the rule


def test_the_full_plan_stays_within_its_share_of_the_card() -> None:
    training, evaluation = full().content["gpu_memory"]
    assert (training["runs"], evaluation["runs"]) == ("training", "eval")
    assert max(training["tensor_bytes"].values()) <= 75 * 10**9 and training["allowed_bytes"] == 78 * 10**9
    assert max(evaluation["card_bytes"].values()) <= 90 * 10**9 == evaluation["allowed_bytes"]


@pytest.mark.parametrize("adapter", ["lora", "lora_frozen_a", "lora_blocks", "svd"])
def test_each_adapter_fits_the_full_shape(adapter: str) -> None:
    runs = [wanted(adapter=adapter), wanted("eval-a", "eval", adapter=adapter, eval_problems=113, eval_samples=10)]
    for table in sizes.sized(runs)[1]:
        assert table.peak <= table.run.allowed


def test_runs_of_one_family_share_their_sizes_and_the_largest_decides() -> None:
    alone = one(wanted("eval-a", "eval", eval_problems=113, eval_samples=10))
    small = wanted("eval-a", "eval", eval_problems=113, eval_samples=10)
    large = wanted("eval-b", "eval", eval_problems=113, eval_samples=10, adapter="svd")
    configs, tables = sizes.sized([small, large])
    assert configs["eval-a"].decode_rows == configs["eval-b"].decode_rows < alone.decode_rows
    assert [table.run.label for table in tables] == ["eval-b"]


def test_an_evaluation_decodes_whole_problems_in_nearly_equal_parts() -> None:
    config = one(wanted("eval-a", "eval", eval_problems=113, eval_samples=10))
    at_once = config.decode_rows // 10
    assert config.decode_rows == 10 * at_once
    assert -(-113 // at_once) * at_once - 113 < at_once


def test_checkpointing_is_off_where_a_group_fits_without_it() -> None:
    assert not one(wanted(max_prompt=300, max_new=300)).grad_checkpointing
    assert one(wanted(max_prompt=300, max_new=300)).micro_batch == 8
    tight = one(wanted(gpu_memory_gb=36.0))
    assert tight.grad_checkpointing
    assert tight.micro_batch in (1, 2, 4, 8)


def test_a_model_whose_activations_are_known_roughly_is_checkpointed() -> None:
    assert one(wanted(model="Qwen/Qwen3.5-2B", max_prompt=300, max_new=300)).grad_checkpointing


def test_a_larger_card_never_gets_smaller_parts() -> None:
    found = [one(wanted(gpu_memory_gb=float(gb))) for gb in (60, 80, 96, 141, 192)]
    assert [c.decode_rows for c in found] == sorted(c.decode_rows for c in found)
    assert [c.grad_checkpointing for c in found] == sorted((c.grad_checkpointing for c in found), reverse=True)


def test_what_is_given_stays() -> None:
    config = one(wanted(given="decode_rows micro_batch grad_checkpointing", decode_rows=24, micro_batch=3))
    assert (config.decode_rows, config.micro_batch, config.grad_checkpointing) == (24, 3, True)
    assert one(wanted(given="grad_checkpointing", max_prompt=300, max_new=300)).grad_checkpointing


def test_what_is_given_and_cannot_fit_is_refused_with_the_figures() -> None:
    words = (
        r"vanilla: prefill takes .* GB at 1536 \+ 1536 tokens with decode_rows = 512.* and 78\.0 of the card's 96 GB"
    )
    with pytest.raises(Refused, match=words) as refused:
        one(wanted(given="decode_rows", decode_rows=512, batch=512))
    assert "leave decode_rows to be computed" in str(refused.value)
    with pytest.raises(Refused, match=r"forward takes .* micro_batch = 8, grad_checkpointing = False"):
        one(wanted(given="micro_batch grad_checkpointing", micro_batch=8, grad_checkpointing=False))


def test_a_card_that_cannot_hold_a_step_is_refused() -> None:
    with pytest.raises(Refused, match=r"of the card's 12 GB may be used: .*lower max_new or max_prompt"):
        one(wanted(gpu_memory_gb=12.0))


def test_more_completions_of_a_problem_than_fit_are_named_as_the_reason() -> None:
    for family in (sizes.TRAINING, "eval"):
        with pytest.raises(Refused, match=r"may be used: lower eval_samples = 1000, lower max_new"):
            one(wanted(family=family, eval_samples=1000))


def test_an_unknown_model_is_refused_with_what_to_give() -> None:
    with pytest.raises(
        Refused,
        match=r"how large model 'ORG/UNKNOWN' is .*download-model ORG/UNKNOWN.* its config.json, or .*gpu_memory_gb=0",
    ):
        one(wanted(model="ORG/UNKNOWN"))
    assert one(wanted(model="ORG/UNKNOWN", gpu_memory_gb=0.0)).decode_rows == FULL.decode_rows


@pytest.mark.parametrize("fields", [{"gpu_memory_gb": 0.0}, {"device": "cpu"}])
def test_without_a_card_sizes_stand_as_they_are(fields: dict[str, object]) -> None:
    run = wanted(**fields)
    assert sizes.sized([run]) == ({"vanilla": run.config}, [])


# ---- the plan


def test_a_plan_locks_the_sizes_in_every_spec() -> None:
    draft = full("gpu_memory_gb=141")
    by_kind = {kind: {s.config.decode_rows for s in draft.specs if s.kind == kind} for kind in ("train", "eval")}
    assert by_kind["train"] == {128}
    (rows,) = by_kind["eval"]
    assert rows == draft.content["gpu_memory"][1]["decode_rows"]


def test_set_is_given_and_reaches_the_table() -> None:
    draft = full("micro_batch=1", "grad_checkpointing=true")
    assert {(s.config.micro_batch, s.config.grad_checkpointing) for s in draft.specs if s.kind == "train"} == {
        (1, True)
    }
    text = sizes_text.lines(draft.content["gpu_memory"])
    assert any("micro_batch 1, gradient checkpointing on" in line for line in text)
    assert text[0].startswith("GPU memory, GB: training at 1536 + 1536 tokens")


def test_a_fallback_that_cannot_fit_is_found_when_its_plan_is_made() -> None:
    matrix = read_matrix(find_matrix("full"))
    gates = tuple(
        dataclasses.replace(g, fallback=g.fallback | {"max_new": 60_000}) if g.fallback else g for g in matrix.gates
    )
    choices = read_choices(arms=None, seeds=None, slots=1, problems=None, overrides=())
    with pytest.raises(Refused, match=r"gate h4, fallback: .* of the card's 96 GB"):
        draft_plan(dataclasses.replace(matrix, gates=gates), choices)
