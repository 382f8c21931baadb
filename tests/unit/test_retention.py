"""The rule by which checkpoints go, worked out by hand."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from core.spec import PRESETS, TrainConfig
from core.training.retention import first_hack, outdated


def config(**fields: Any) -> TrainConfig:
    return dataclasses.replace(PRESETS["nano"], **fields)


@pytest.mark.parametrize(
    "steps, newest, hacked, every, gone",
    [
        ([25], [25], None, 0, []),
        ([25, 50, 75], [50, 75], None, 0, [25]),
        ([25, 50, 75, 100], [75, 100], 26, 0, [25]),  # 50 is the first whose rows hold the hack
        ([50, 75, 100, 125], [100, 125], 26, 0, [75]),  # and it stays when 25 is long gone
        ([25, 50, 75, 100], [75, 100], 150, 0, [25, 50]),
        ([100, 150, 175, 200], [175, 200], None, 100, [150]),
        ([25, 50, 75], [25, 75], None, 0, [50]),  # 50 is damaged, so 25 is what 75 would go back to
    ],
)
def test_all_go_but_newest_first_hack_and_every_nth(
    steps: list[int], newest: list[int], hacked: int | None, every: int, gone: list[int]
) -> None:
    assert outdated(steps, newest, hacked, config(keep_newest=2, keep_every=every)) == gone


def test_the_first_hack_is_a_students() -> None:
    rows = [{"step": 1, "hack_s": 0.0, "hack_t": 1.0}, {"step": 2, "hack_s": None}, {"step": 3, "hack_s": 0.125}]
    assert first_hack(rows) == 3 and first_hack(rows[:2]) is None


@pytest.mark.parametrize(
    "fields, expected",
    [({"keep_newest": 1}, "nothing would be left to go back to"), ({"keep_every": 50}, "set keep_newest = 2 as well")],
)
def test_rules_that_would_lose_or_do_nothing_are_refused(fields: dict[str, int], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        config(**fields)


def test_runs_on_a_gpu_keep_few_and_small_ones_all() -> None:
    assert [PRESETS[name].keep_newest for name in ("nano", "smoke", "fast", "full")] == [0, 0, 2, 2]
    assert PRESETS["full"].keep_every == 100
