"""A stored rollout, given to `grpoq grade`, is the item that it was graded as."""

import json

import pytest

from core.environment.hints import HELD_OUT, HINTS, drawn_test_func_name
from core.environment.nano.world import sample_problems
from core.environment.problems import MODES, drawn_marker
from core.environment.task import Task
from orchestrator.tools.grading import read_rows

PROBLEM = sample_problems(1, seed=3)[0]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("hint", HINTS)
def test_the_item_is_the_same(mode: str, hint: str) -> None:
    name = drawn_test_func_name(hint, PROBLEM.problem_id, 0, HELD_OUT)
    task = Task(PROBLEM, mode, hint, name, drawn_marker(mode, PROBLEM.problem_id, 0, HELD_OUT))
    stored = {"problem_id": PROBLEM.problem_id, "mode": mode, "hint": hint, "test_func_name": name}
    stored |= {"marker": task.marker, "completion": "x", "step": 3, "reward": 0.0, "label": "Correct"}
    (row,) = read_rows([json.dumps({"id": 0, **stored}).encode()], {PROBLEM.problem_id: PROBLEM})
    assert row.error is None and row.item == task.judged("x")
