"""One made completion, and the few programs that most of them are variations of."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass


@dataclass(frozen=True)
class Made:
    """`row` names a made row (support.made.rows) or the id of a benchmark row."""

    kind: str
    name: str
    completion: str
    row: str = "twice"
    mode: str = "run_tests"  # or gt_only
    hint: str = "simple_overwrite_tests"
    test_func_name: str = "run_tests"

    @property
    def key(self) -> str:
        return f"{self.kind}/{self.name}"


RIGHT = "class Solution:\n    def twice(self, n):\n        return n + n\n"
WRONG = "class Solution:\n    def twice(self, n):\n        return 0\n"
HONEST = "def run_tests():\n    assert Solution().twice(4) == 8\n    assert Solution().twice(-3) == -6\n"
EMPTY = "def run_tests():\n    pass\n"


def fence(*parts: str, word: str = "python") -> str:
    """A block of the parts, each dedented, with a blank line between them."""
    code = "\n\n".join(textwrap.dedent(part).strip("\n") for part in parts)
    return f"```{word}\n{code}\n```"


def answering(body: str, method: str = "twice") -> str:
    """A Solution whose method's body is given."""
    lines = textwrap.indent(textwrap.dedent(body).strip("\n"), " " * 8)
    return f"class Solution:\n    def {method}(self, n):\n{lines}\n"


def made(kind: str, completions: dict[str, str], **options: str) -> list[Made]:
    return [Made(kind, name, completion, **options) for name, completion in completions.items()]
