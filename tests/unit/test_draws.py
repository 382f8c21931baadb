"""Problems of a step: functions of seed and step, so that resume repeats them without a state."""

from __future__ import annotations

import random
from collections import Counter

from core.training.draws import drawn


def test_an_epoch_asks_each_problem_once_and_the_next_one_shuffles_anew() -> None:
    steps = [drawn(range(24), 8, "epochs", 41, step) for step in range(1, 7)]
    epochs = [[item for step in half for item in step] for half in (steps[:3], steps[3:])]
    assert all(sorted(epoch) == list(range(24)) for epoch in epochs)
    assert epochs[0] != epochs[1] != list(range(24))


def test_what_fills_no_step_of_an_epoch_waits_for_another_one() -> None:
    asked = Counter(item for step in range(1, 301) for item in drawn(range(11), 4, "epochs", 41, step))
    assert sum(asked.values()) == 1200 and max(asked.values()) <= 150  # 2 steps an epoch: at most once in each
    assert min(asked.values()) > 80  # 150 epochs leave 3 of 11 out, not always the same
    assert len(set(drawn(range(11), 4, "epochs", 41, 1)) & set(drawn(range(11), 4, "epochs", 41, 2))) == 0


def test_a_step_is_the_same_whatever_was_drawn_before_it_and_another_for_another_seed() -> None:
    for order in ("draws", "epochs"):
        in_order = [drawn(range(50), 8, order, 41, step) for step in range(1, 20)]
        random.seed(1)
        assert [drawn(range(50), 8, order, 41, step) for step in range(19, 0, -1)][::-1] == in_order
        assert [drawn(range(50), 8, order, 42, step) for step in range(1, 20)] != in_order


def test_draws_of_plans_that_knew_no_order_stay_what_they_were() -> None:
    assert drawn(range(50), 4, "draws", 41, 3) == random.Random("tasks 41 3").sample(range(50), 4)
