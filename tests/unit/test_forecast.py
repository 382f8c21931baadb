"""Disk and host memory are foretold from the config, and a plan that the machine cannot hold says so beforehand."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from core.spec import PRESETS, RunSpec, TrainConfig
from core.weights.places import hub_cache
from core.weights.shapes import Shape, shape_of
from orchestrator.planning import disk_forecast, forecast, host_forecast
from support.model_folder import hub_copy_of_nano

FULL = PRESETS["full"]
GB = 10**9


def qwen() -> Shape:
    shape = shape_of("Qwen/Qwen3-4B")
    assert shape is not None
    return shape


def spec(kind: str = "train", **fields: object) -> RunSpec:
    config: TrainConfig = dataclasses.replace(FULL, space="activation", **fields)
    return RunSpec("r", kind, "vanilla", "vanilla", 41, "p", "h", "full", config)


@pytest.fixture
def empty_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("GRPOQ_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({"keep_newest": 0, "keep_every": 0}, 8),  # every 25th of 200
        ({"keep_newest": 2, "keep_every": 100}, 4),  # 100, 175, 200, and the first with a hack
        ({"keep_newest": 2, "keep_every": 0}, 3),
        ({"keep_newest": 2, "keep_every": 0, "steps": 30}, 2),
        ({"keep_newest": 0, "keep_every": 0, "steps": 30}, 2),  # 25 and the last
    ],
)
def test_checkpoints_are_counted_by_the_rule_that_keeps_them(fields: dict[str, int], kept: int) -> None:
    assert disk_forecast.kept_checkpoints(dataclasses.replace(FULL, **fields)) == kept


def test_a_checkpoint_of_lora_holds_parameters_moments_and_directions() -> None:
    """66,060,288 numbers at rank 32; V and its null are one axis each in activation space."""
    config = dataclasses.replace(FULL, space="activation")
    assert disk_forecast.checkpoint_bytes(qwen(), config) == 4 * 66_060_288 * (3 + 2)


def test_the_basis_of_knobs_takes_twenty_gigabytes_of_cache() -> None:
    assert disk_forecast.svd_bytes(qwen()) == pytest.approx(19.6 * GB, rel=0.03)


def test_a_model_that_is_there_is_not_fetched_again(empty_caches: Path) -> None:
    model = "Qwen/Qwen3-4B"
    assert disk_forecast.downloaded(qwen(), FULL) == {model: 2 * qwen().parameters()}
    hub_copy_of_nano(hub_cache(), *model.split("/"))
    assert disk_forecast.downloaded(qwen(), FULL) == {}


def test_runs_add_up_and_what_they_share_counts_once(empty_caches: Path) -> None:
    one, three = (disk_forecast.places(empty_caches / "home", [spec()] * n, 1) for n in (1, 3))
    assert [p.path.name for p in one] == ["home", "cache", "hub"]
    assert [p.total for p in one[1:]] == [p.total for p in three[1:]]
    rollouts = 200 * 128 * (4 * 1536 + 1000)
    assert one[0].items["rollouts"] * 3 == three[0].items["rollouts"] == 3 * rollouts


def test_a_disk_that_is_too_small_is_named_with_the_figures(
    empty_caches: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = disk_forecast.places(empty_caches / "home", [spec()] * 15, 1)
    total = sum(place.total for place in found)
    monkeypatch.setattr(disk_forecast, "free", lambda path: total + 19 * GB)
    (sentence,) = disk_forecast.warnings(found, 20.0)
    assert f"may write {total / GB:.1f} GB and want 20 GB left" in sentence and "keep_newest" in sentence
    monkeypatch.setattr(disk_forecast, "free", lambda path: total + 21 * GB)
    assert disk_forecast.warnings(found, 20.0) == []


def test_host_memory_is_the_largest_phase_with_its_judged_code(monkeypatch: pytest.MonkeyPatch) -> None:
    loading = 3 * GB + 2 * qwen().parameters()
    found = host_forecast.forecast([spec("eval", grade_workers=8), spec(grade_workers=8)], 2)
    assert found is not None
    assert found["by_phase"]["loading"] == loading
    assert found["bytes"] == 2 * (loading + 8 * 2**30)
    gradient = host_forecast.of_run(qwen(), dataclasses.replace(FULL, space="gradient"), "extract")
    assert gradient["extraction"] > 15 * GB  # pair gradients in parts, and V
    monkeypatch.setattr(host_forecast, "free", lambda: found["bytes"] - 1)
    short = forecast.needs(Path("/"), [spec()] * 2, 2).lines()[-1]
    assert short.startswith("not enough: these runs may take") and "grade_workers" in short


def test_a_model_of_unknown_shape_foretells_nothing() -> None:
    unknown = [spec(model="ORG/UNKNOWN")]
    assert host_forecast.forecast(unknown, 1) is None
    assert forecast.needs(Path("/"), unknown, 1).lines() == []
