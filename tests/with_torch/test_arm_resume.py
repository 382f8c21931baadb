"""Every arm, stopped and resumed with refresh on, ends with the unbroken run's bytes and rows."""

from pathlib import Path

import pytest

from core.arm_rules import ARM_NAMES
from core.arms import ARMS
from core.environment.nano import pairs as nano_pairs
from support import in_process, real_run

TEACHER = {"teacher": "nano", "mix": 0.25, "max_new": 96}
CASES = [(name, {}) for name in ARM_NAMES] + [("erase", TEACHER), ("route", TEACHER), ("vanilla", {"measure": True})]


@pytest.fixture(autouse=True)
def few_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight are as good as sixty for what is shown here, and quicker."""
    monkeypatch.setattr(nano_pairs, "EXTRACT", 8)


def test_every_arm_that_a_plan_may_name_is_there() -> None:
    assert set(ARMS) == set(ARM_NAMES)


@pytest.mark.parametrize("arm, fields", CASES, ids=[f"{a}{'-' + '-'.join(f) if f else ''}" for a, f in CASES])
def test_resumed_run_equals_uninterrupted(arm: str, fields: dict, tmp_path: Path) -> None:
    twin, broken = (in_process.planned(tmp_path / which, arm, refresh=2, **fields) for which in ("twin", "broken"))
    assert in_process.attempt(twin) is not None
    assert in_process.attempt(broken, stop_after=3) is None  # between two refreshes
    assert in_process.attempt(broken) is not None
    assert broken.attempts() == [1, 2] and len(broken.metrics()) == 6
    real_run.assert_equal_runs(broken, twin)


WITHIN = [((3, "generate"), 3), ((3, "evaluate"), 3), ((6, "evaluate"), 6), ((0, "generate"), 0), ((0, "evaluate"), 0)]
MORE = [("vanilla", *stop) for stop in (WITHIN[1], *WITHIN[3:])] + [(a, *WITHIN[0]) for a in ("erase", "tdga")]
STOPS = [
    ("vanilla", *WITHIN[0]),
    ("vanilla", *WITHIN[2]),
    ("route_act", *WITHIN[0]),
    *(pytest.param(*more, marks=pytest.mark.slow) for more in MORE),
]


@pytest.mark.parametrize("arm, place, kept", STOPS)
def test_a_stop_within_a_step_saves_the_last_whole_one(
    arm: str, place: tuple[int, str], kept: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step of a large model takes longer than a preempted box is given. Nothing of the broken one counts."""
    monkeypatch.setattr("core.attempt.STOP_CHECK_S", 0.0)
    fields = {"refresh": 2, "eval_every": 3, "checkpoint_every": 5}
    twin, broken = (in_process.planned(tmp_path / which, arm, **fields) for which in ("twin", "broken"))
    assert in_process.attempt(twin) is not None
    assert in_process.attempt(broken, stop_in=place) is None
    saved = sorted(int(p.name[5:]) for p in broken.checkpoints.glob("step_*"))
    assert saved[-1:] == ([kept] if kept else []) and len(broken.metrics()) == kept
    assert in_process.attempt(broken) is not None
    real_run.assert_equal_runs(broken, twin)
