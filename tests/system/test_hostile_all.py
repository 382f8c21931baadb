"""Hostile completions that are not tried at each commit, and all at once, in any order and on two workers."""

import random

import pytest

from core.environment.problems import fenced
from core.environment.rewards import GradeItem, grade
from core.sandbox.pool import Sandbox
from hostile.arena import (
    AT_EACH_COMMIT,
    CASES,
    CPU_LIMIT_S,
    WALL_LIMIT_S,
    arena_among,
    assert_deserved,
    canaries_listening,
    gets_what_it_deserves,
)
from hostile.case import RIGHT, TWICE, WRONG


@pytest.fixture(scope="module")
def canaries():
    with canaries_listening() as canaries:
        yield canaries


@pytest.fixture(scope="module")
def arena(canaries):
    with arena_among(canaries) as arena:
        yield arena


@pytest.mark.parametrize("name", [name for name in CASES if name not in AT_EACH_COMMIT])
def test_a_hostile_completion_gets_what_it_deserves_and_nothing_gets_out(name, arena):
    gets_what_it_deserves(name, arena)


def test_all_at_once_in_any_order_get_the_same_verdicts(canaries):
    """Each beside others, right and wrong ones among them, on two workers."""
    items = [(name, case) for name, case in CASES.items() if case.rounds == 1]
    random.Random(0).shuffle(items)
    witnesses = [GradeItem(TWICE, "gt_only", fenced(f"# {k}\n{(RIGHT, WRONG)[k % 2]}")) for k in range(len(items))]
    batch = []
    for (_, case), witness in zip(items, witnesses, strict=True):
        code = canaries.filled(case.code)
        batch += [GradeItem(case.problem, case.mode, fenced(code) if case.fenced else code), witness]
    with Sandbox(workers=2, cpu_limit_s=CPU_LIMIT_S, wall_limit_s=WALL_LIMIT_S) as sandbox:
        grades = grade(batch, sandbox)
    canaries.touched()  # that nothing gets out is told case by case above
    unfair = [k for k, g in enumerate(grades[1::2]) if g.gt_correct is not (k % 2 == 0)]
    assert unfair == [], f"witnesses beside {[items[k][0] for k in unfair]}"
    wrong = []
    for (name, case), g in zip(items, grades[::2], strict=True):
        try:
            assert_deserved(g, case)
        except AssertionError as error:
            wrong.append(f"{name}: {str(error)[:300]}")
    assert wrong == [], "\n".join(wrong)
