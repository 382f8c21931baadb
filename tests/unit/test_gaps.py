"""What is not known is not drawn: a line breaks where a step has no value, and a mean does not reach across."""

import math

import pytest

from core.figures import curves
from core.figures.curves import Track, smoothed, with_gaps


def test_a_line_breaks_at_steps_without_a_value() -> None:
    track = Track("vanilla-s41", "vanilla", 41, (1, 2, 3, 4, 5), {"cin": (None, 0.1, None, float("nan"), 0.3)})
    steps, values = with_gaps(track.steps, track.points("cin"))
    assert steps == [2, 3, 4, 5]
    assert [None if math.isnan(value) else value for value in values] == [0.1, None, None, 0.3]


def test_a_point_between_two_gaps_is_a_dot() -> None:
    drawn = curves._lone((1, 2, 3, 4, 5, 6), [(1, 0.1), (3, 0.2), (4, 0.2), (6, 0.3)])
    assert drawn["markevery"] == [0, 5] and drawn["marker"] == "o"
    assert curves._lone((1, 2, 3), [(1, 0.1), (2, 0.2), (3, 0.3)]) == {}


def test_a_mean_over_steps_does_not_reach_beyond_a_gap_of_its_own_length() -> None:
    values = [(1, 1.0), (2, 3.0), (40, 7.0), (42, 9.0)]
    assert smoothed(values) == [(1, 1.0), (2, pytest.approx(2.0)), (40, 7.0), (42, pytest.approx(8.0))]
