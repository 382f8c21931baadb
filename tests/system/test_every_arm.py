"""Every arm that does not stand for all at each commit: resumed to the byte, stopped anywhere, blind to labels; and
all of them by what they ask of torch."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.arm_rules import ORACLE_ARMS
from core.arms import ARMS
from support.arm_runs import (
    MORE_STOPS,
    OTHERS,
    STANDING,
    Case,
    few_pairs,
    measured_in_every_step_and_otherwise_the_same_run,
    name_of,
    poisoned_labels_change_nothing,
    resumed_equals_unbroken,
    stopped_within_a_step_saves_the_last_whole_one,
)

STANDING_NAMES = {name for name, _ in STANDING}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    few_pairs(monkeypatch)


def test_no_arm_is_left_out() -> None:
    assert STANDING_NAMES | {name for name, _ in OTHERS} == set(ARMS)


@pytest.mark.parametrize("case", OTHERS, ids=name_of)
def test_resumed_run_equals_uninterrupted(case: Case, tmp_path: Path) -> None:
    resumed_equals_unbroken(case, tmp_path)


def test_a_random_direction_of_coordinates_resumes_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.direction.directions.MOST_NUMBERS", 0)
    resumed_equals_unbroken(("random_V", {"match": "energy", "space": "activation"}), tmp_path)


@pytest.mark.parametrize("arm, place, kept", MORE_STOPS)
def test_a_stop_within_a_step_saves_the_last_whole_one(
    arm: str, place: tuple[int, str], kept: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped_within_a_step_saves_the_last_whole_one(arm, place, kept, tmp_path, monkeypatch)


@pytest.mark.parametrize("arm", sorted(set(ARMS) - STANDING_NAMES - set(ORACLE_ARMS)))
def test_poisoned_labels_leave_training_identical(arm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    poisoned_labels_change_nothing(arm, tmp_path, monkeypatch)


@pytest.mark.parametrize("case", [("projected", {"lift": "subspace"}), *STANDING, *OTHERS], ids=name_of)
def test_diagnostics_do_not_vanish_change_nothing_and_ask_for_no_operation_that_raises_on_a_gpu(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured_in_every_step_and_otherwise_the_same_run(case, tmp_path, monkeypatch)
