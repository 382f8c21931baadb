"""A config field names its bounds beside its default, and refuses what lies outside with a sentence."""

from __future__ import annotations

import dataclasses
import math

import pytest

from bench import config_reference
from core.spec import BOUNDS, PRESETS, VERL, RunSpec, TrainConfig, resolve_config
from orchestrator.report.gather import ALIKE


@pytest.mark.parametrize(
    "name, value, sentence",
    [
        ("steps", 0, "steps = 0; it must be at least 1"),
        ("lr", 0.0, "lr = 0.0; it must be above 0"),
        ("lr", math.inf, "lr = inf; it must be above 0"),
        ("kl", math.nan, "kl = nan; it must be at least 0"),
        ("mix", 1.0, "mix = 1.0; it must be in [0, 1)"),
        ("top_p", 1.5, "top_p = 1.5; it must be in (0, 1]"),
        ("beta1", 1.0, "beta1 = 1.0; it must be in (0, 1)"),
        ("route_tail", 0.5, "route_tail = 0.5; it must be in (0, 0.5)"),
        ("gate", "two_sided", "gate = 'two_sided'; choose from one_sided, no_gate, reverse"),
        ("modes", ("sentinel", "nope"), "modes = 'nope'; choose from run_tests, sentinel"),
        ("layers_to", 0.5, "layers_from = 0.6, layers_to = 0.5; they must ascend"),
    ],
)
def test_a_value_out_of_bounds_is_refused_with_what_is_allowed(name: str, value: object, sentence: str) -> None:
    with pytest.raises(ValueError) as refused:
        TrainConfig(**{name: value})
    assert str(refused.value).startswith(sentence)


@pytest.mark.parametrize("name, value", [("top_p", 1.0), ("mix", 0.0), ("layers_to", 1.0), ("steps", 1), ("kl", 0.0)])
def test_a_value_on_a_closed_bound_is_taken(name: str, value: float) -> None:
    assert getattr(TrainConfig(**{name: value}), name) == value


def test_micro_batches_that_are_not_whole_are_refused_where_they_have_a_meaning() -> None:
    with pytest.raises(
        ValueError, match=r"batch = 48 rollouts is no multiple of loss_micro_batch x loss_ranks = 8 x 4"
    ):
        resolve_config("fast", {"batch": 48})
    assert resolve_config("fast", {"batch": 48, "loss_ranks": 2}).batch == 48
    assert resolve_config("fast", {"batch": 48, "aggregate": "token_mean"}).batch == 48


def test_a_kl_limit_that_capped_values_cannot_pass_is_refused() -> None:
    with pytest.raises(ValueError, match=r"max_kl = 10.0 with kl_cap = 10.0: .* never fires; set max_kl below kl_cap"):
        resolve_config("full", {"max_kl": 10.0})
    assert resolve_config("full", {"max_kl": 10.0, "kl_cap": 0.0}).max_kl == 10


def test_a_spec_from_before_the_benchmarks_arithmetic_means_what_it_meant() -> None:
    """It lacks the fields, and its preset's values of today are not its own."""
    full = dataclasses.asdict(PRESETS["full"]) | {"max_kl": 10.0}
    config = {name: value for name, value in full.items() if name not in VERL}
    spec = {"run_id": "v-s41-abcdef", "kind": "train", "label": "v", "arm": "vanilla", "seed": 41, "plan_name": "full"}
    read = RunSpec.from_json({**spec, "plan_hash": "0" * 64, "preset": "full", "config": config, "schema": 1}).config
    assert (read.logp_temperature, read.aggregate, read.kl_cap) == ("one", "token_mean", 0)
    assert (read.warmup_from_zero, read.order, read.max_kl) == (False, "draws", 10)


def test_runs_are_compared_only_where_their_arithmetic_is_alike() -> None:
    assert set(VERL) <= set(ALIKE)


def test_every_field_has_a_meaning_and_every_number_known_bounds() -> None:
    fields = dataclasses.fields(TrainConfig)
    assert [f.name for f in fields if not f.metadata["meaning"]] == []
    assert {bound for f in fields for bound in f.metadata["bounds"]} == set(BOUNDS)
    free = [f.name for f in fields if f.type in ("int", "float") and not f.metadata["bounds"]]
    assert free == ["hint_seed"]


def test_the_reference_page_is_what_the_fields_say() -> None:
    assert config_reference.PAGE.read_text() == config_reference.page(), "run `just config-reference`"


def test_the_reference_page_has_every_field_once() -> None:
    names = [name for _, section in config_reference.sections() for name in section]
    assert names == [f.name for f in dataclasses.fields(TrainConfig)]
    assert [heading for heading, _ in config_reference.sections()][:2] == [
        "What is trained, on what",
        "The hack direction: docs/protocol.md 4.1, 4.2",
    ]
