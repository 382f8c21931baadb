"""Arms stopped and resumed with refresh on end with the unbroken run's bytes and rows.

Ten arms here, which cover every hook and adapter; the others in tests/system/test_every_arm.py.
"""

import dataclasses
from pathlib import Path

import pytest

from core.arm_rules import ARM_NAMES, ORACLE_ARMS
from core.arms import ARMS
from core.arms.arm import Arm
from core.model.adapters import ADAPTERS
from support import in_process
from support.arm_runs import (
    STANDING,
    STOPS,
    Case,
    few_pairs,
    measured_in_every_step_and_otherwise_the_same_run,
    name_of,
    resumed_equals_unbroken,
    stopped_within_a_step_saves_the_last_whole_one,
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    few_pairs(monkeypatch)


def test_every_arm_that_a_plan_may_name_is_there() -> None:
    assert set(ARMS) == set(ARM_NAMES)


def test_the_standing_arms_cover_every_hook_and_every_adapter() -> None:
    hooks = {f.name for f in dataclasses.fields(Arm) for name, _ in STANDING if getattr(ARMS[name], f.name)}
    assert hooks == {f.name for f in dataclasses.fields(Arm)} - {"sees_labels"}  # the oracles': test_every_arm
    assert not {name for name, _ in STANDING} & set(ORACLE_ARMS)
    adapters = {(in_process.NEEDS.get(name, {}) | fields).get("adapter", "lora") for name, fields in STANDING}
    assert adapters == set(ADAPTERS)


@pytest.mark.parametrize("case", STANDING, ids=name_of)
def test_resumed_run_equals_uninterrupted(case: Case, tmp_path: Path) -> None:
    resumed_equals_unbroken(case, tmp_path)


@pytest.mark.parametrize("arm, place, kept", STOPS)
def test_a_stop_within_a_step_saves_the_last_whole_one(
    arm: str, place: tuple[int, str], kept: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped_within_a_step_saves_the_last_whole_one(arm, place, kept, tmp_path, monkeypatch)


def test_diagnostics_do_not_vanish_and_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured_in_every_step_and_otherwise_the_same_run(("vanilla", {}), tmp_path, monkeypatch)
