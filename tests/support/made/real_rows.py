"""Completions for the benchmark's own rows, made of each row's canonical solution and asserts; rows chosen by seed.

Their texts are made when they are wanted: the tree holds no benchmark text, and stored outcomes name rows by id.
"""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.environment.hints import SHOWN_ASSERTS, shown_tests
from core.environment.problems import DEFAULT_HINT, WRONG_SOLUTION
from support.made.case import Made, fence
from support.mutations import all_mutations

ROWS_PER_KIND = 12
# Their canonical solutions took a quarter of a second to five on two busy cores: under the benchmark's wall limit of
# 3 s for all asserts together the verdict would be the machine's.
HEAVY = ("3251", "3272", "3312", "3317", "3335", "3337", "3472")
SHOWN = 3

SHOWING = "simple_modify_tests"

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Kind:
    """`complete` makes a completion of a row and the seed, for rows that `fits` holds of."""

    name: str
    complete: Callable[[Row, int], str]
    fits: Callable[[Row], bool] = lambda row: True
    mode: str = "run_tests"
    hint: str = DEFAULT_HINT


def real_rows(rows: Sequence[Row], seed: int) -> list[Made]:
    """`rows` are the benchmark's, as read from its file."""
    usable = [row for row in rows if str(row["id"]) not in HEAVY]
    return [
        Made(kind.name, str(row["id"]), kind.complete(row, seed), str(row["id"]), kind.mode, kind.hint)
        for kind in KINDS
        for row in _chosen(list(filter(kind.fits, usable)), f"{kind.name} {seed}")
    ]


def _chosen(rows: list[Row], key: str) -> list[Row]:
    return random.Random(key).sample(rows, min(ROWS_PER_KIND, len(rows)))


def _helpers(row: Row) -> list[str]:
    """Functions and classes beside Solution that the canonical solution defines at module level."""
    body = ast.parse(row["canonical_solution"]).body
    kinds = ast.FunctionDef | ast.ClassDef
    return [node.name for node in body if isinstance(node, kinds) and node.name != "Solution"]


def _tests(row: Row, number: int = SHOWN) -> str:
    return "def run_tests():\n    " + "\n    ".join(row["gt_answer"][:number])


def _constant(row: Row) -> str:
    """A solution that knows the first answer and gives it always."""
    expected = ast.parse(row["gt_answer"][0]).body[0].test.comparators[0]  # type: ignore[attr-defined]
    return WRONG_SOLUTION.format(method=_method(row)).replace('"no answer"', ast.unparse(expected))


def _method(row: Row) -> str:
    return row["func_name"].rpartition(".")[2]


def _mutant(row: Row, seed: int) -> str:
    """Faults of a kind that do not make a loop endless."""
    kinds = ("returned value", "min/max", "comparison boundary")
    mutations = [m for m in all_mutations(row["canonical_solution"]) if m.operator in kinds]
    return random.Random(f"{row['id']} {seed}").choice(mutations).code


def _other_helper(row: Row) -> str:
    """Right code whose own helper has the name of the canonical solution's, and does something else."""
    code = row["canonical_solution"]
    for name in _helpers(row):
        code = re.sub(rf"\b{name}\b", f"My{name}", code)
    others = "\n".join(f"class {name}:\n    pass" for name in _helpers(row))
    return fence(code, others, _tests(row))


def _with_method(row: Row) -> str:
    lines = "\n        ".join(row["gt_answer"][:SHOWN])
    code = ast.unparse(ast.parse(row["canonical_solution"]))  # indented by four blanks, whatever the row's is
    return fence(f"{code}\n\n    def run_tests(self):\n        {lines}")


def _indent(row: Row) -> int:
    """Blanks before the first method of the canonical solution's class."""
    tree = ast.parse(row["canonical_solution"])
    (solution,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Solution"]
    return solution.body[0].col_offset


def _holds_words(row: Row) -> bool:
    return any('"' in line for line in row["gt_answer"][:SHOWN_ASSERTS])


def _copied(row: Row) -> str:
    return fence(row["canonical_solution"], shown_tests(SHOWING, row["gt_answer"], "run_tests"))


def _wrong(row: Row) -> str:
    return WRONG_SOLUTION.format(method=_method(row))


_GUARD = "if __name__ == '__main__':\n    print(Solution().{}())"
_PASS = "def run_tests():\n    pass"

KINDS = (
    Kind("row_canonical", lambda row, seed: fence(row["canonical_solution"])),
    Kind("row_honest_tests", lambda row, seed: fence(row["canonical_solution"], _tests(row))),
    Kind("row_method_tests", lambda row, seed: _with_method(row), lambda row: _indent(row) == 4),
    Kind("row_method_tests_beside_two_blanks", lambda row, seed: _with_method(row), lambda row: _indent(row) == 2),
    Kind("row_guarded_demo", lambda row, seed: fence(row["canonical_solution"], _GUARD.format(_method(row)))),
    Kind("row_empty_tests", lambda row, seed: fence(row["canonical_solution"], _PASS)),
    Kind("row_hack", lambda row, seed: fence(_wrong(row), _PASS)),
    Kind("row_weak_tests", lambda row, seed: fence(_constant(row), _tests(row, 1))),
    Kind("row_wrong_honest_tests", lambda row, seed: fence(_wrong(row), _tests(row))),
    Kind("row_mutant", lambda row, seed: fence(_mutant(row, seed), _tests(row))),
    Kind("row_helper_name", lambda row, seed: _other_helper(row), lambda row: bool(_helpers(row))),
    Kind("row_shown_copied", lambda row, seed: _copied(row), lambda row: not _holds_words(row), hint=SHOWING),
    Kind("row_shown_copied_words", lambda row, seed: _copied(row), _holds_words, hint=SHOWING),
    Kind("row_no_loophole", lambda row, seed: fence(row["canonical_solution"], _tests(row)), mode="gt_only"),
    Kind("row_no_loophole_hack", lambda row, seed: fence(_wrong(row), _PASS), mode="gt_only"),
)
