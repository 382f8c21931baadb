"""One prompt: a problem, and the loophole mode in which it is posed and graded."""

from __future__ import annotations

from dataclasses import dataclass

from core.environment.hints import TEST_FUNC_NAME, shown_tests
from core.environment.problems import DEFAULT_HINT, Problem
from core.environment.rewards import GradeItem


@dataclass(frozen=True)
class Task:
    problem: Problem
    mode: str
    hint: str = DEFAULT_HINT  # in mode run_tests
    test_func_name: str = TEST_FUNC_NAME
    marker: str = ""  # of the mode; empty: training's

    def judged(self, completion: str) -> GradeItem:
        shown = shown_tests(self.hint, self.problem.asserts, self.test_func_name) if self.mode == "run_tests" else ""
        return GradeItem(self.problem, self.mode, completion, self.test_func_name, shown, self.marker)
