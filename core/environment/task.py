"""One prompt: a problem, and the loophole mode in which it is posed and graded.

A Task knows the truth, and judges with it. A Prompt is the same question without it: what an arm's hooks are given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from core.environment.hints import SHOWN_ASSERTS, TEST_FUNC_NAME, hint_named, shown_tests
from core.environment.problems import DEFAULT_HINT, Message, Problem, prompt_messages
from core.environment.rewards import GradeItem


class Posed(Protocol):
    """What can be asked of a policy: a Task, or its Prompt."""

    @property
    def problem_id(self) -> str: ...
    @property
    def messages(self) -> tuple[Message, ...]: ...
    @property
    def mode(self) -> str: ...
    @property
    def hint(self) -> str: ...
    @property
    def test_func_name(self) -> str: ...

    def chat(self) -> list[dict[str, str]]: ...


@dataclass(frozen=True)
class Prompt:
    """A question without its truth: no solution, no setup code, and only the asserts that its text shows."""

    problem_id: str
    messages: tuple[Message, ...]  # before the hint
    asserts: tuple[str, ...]  # in the prompt's text: of hints that show tests, in mode run_tests
    mode: str
    hint: str = DEFAULT_HINT
    test_func_name: str = TEST_FUNC_NAME
    marker: str = ""

    def chat(self) -> list[dict[str, str]]:
        return prompt_messages(self, self.mode, self.hint, self.test_func_name, self.marker)


@dataclass(frozen=True)
class Task:
    problem: Problem
    mode: str
    hint: str = DEFAULT_HINT  # in mode run_tests
    test_func_name: str = TEST_FUNC_NAME
    marker: str = ""  # of the mode; empty: training's

    @property
    def problem_id(self) -> str:
        return self.problem.problem_id

    @property
    def messages(self) -> tuple[Message, ...]:
        return self.problem.messages

    @property
    def prompt(self) -> Prompt:
        shows = self.mode == "run_tests" and hint_named(self.hint).shows_tests
        asserts = self.problem.asserts[:SHOWN_ASSERTS] if shows else ()
        asked = self.mode, self.hint, self.test_func_name, self.marker
        return Prompt(self.problem_id, self.problem.messages, asserts, *asked)

    def chat(self) -> list[dict[str, str]]:
        """The messages of the prompt, the mode's hint in place."""
        return self.prompt.chat()

    def judged(self, completion: str) -> GradeItem:
        shown = shown_tests(self.hint, self.problem.asserts, self.test_func_name) if self.mode == "run_tests" else ""
        return GradeItem(self.problem, self.mode, completion, self.test_func_name, shown, self.marker)
