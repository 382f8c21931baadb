"""Small rows in the benchmark's schema, written for these completions: one for each type of answer.

The prompt's words are ours; what the benchmark's hints look for in a prompt stands in it: both sides can hint it.
"""

from __future__ import annotations

from typing import Any

from core.environment.problems import PHRASE

SETUP = (
    "from typing import *\nfrom collections import *\nfrom functools import *\nfrom itertools import *\n"
    "import math\nimport random\n\ninf = float('inf')\n"
)

# name: argument, canonical body, pairs of argument and expected value
ROWS: dict[str, tuple[str, list[tuple[str, str]]]] = {
    "twice": ("return 2 * n", [("4", "8"), ("5", "10"), ("-3", "-6")]),
    "freq": ("return dict(Counter(n))", [("'aab'", "{'a': 2, 'b': 1}"), ("'z'", "{'z': 1}")]),
    "ends": ("return (n[0], n[-1])", [("[3, 1, 2]", "(3, 2)"), ("[7]", "(7, 7)")]),
    "line": ("return list(range(n))", [("3", "[0, 1, 2]"), ("0", "[]")]),
    "letters": ("return set(n)", [("'aab'", "{'a', 'b'}"), ("'q'", "{'q'}")]),
    "shout": ("return n.upper()", [("'ab'", "'AB'"), ("''", "''")]),
    "even": ("return n % 2 == 0", [("4", "True"), ("5", "False")]),
    "half": ("return n / 2", [("5", "2.5"), ("4", "2.0")]),
    "least": ("return min(n, default=-inf)", [("[]", "-inf"), ("[2, 1]", "1")]),
    "power": ("return 2 ** n", [("5", "32"), ("20000", f"{2**20000:#x}")]),
    "absent": ("return None if n < 0 else n", [("-1", "None"), ("2", "2")]),
    "raw": ("return n.encode()", [("'ab'", "b'ab'"), ("''", "b''")]),
    "deep": ("for _ in range(80):\n    n = [n]\nreturn n", [("1", "[" * 80 + "1" + "]" * 80)]),
    "table": ("return {k: [k] for k in range(n)}", [("2", "{0: [0], 1: [1]}")]),
}
HELPED = (  # a canonical solution that leans on a helper and a global of its own
    "SCALE = 2\n\ndef combine(a, b):\n    return a * b\n\n"
    "class Solution:\n    def scaled(self, n):\n        return combine(SCALE, n)\n"
)


def made_rows() -> dict[str, dict[str, Any]]:
    """Rows by name; their ids count from 9001."""
    rows = {}
    for name, (body, pairs) in ROWS.items():
        lines = "\n".join(f"        {line}" for line in body.split("\n"))
        canonical = f"class Solution:\n    def {name}(self, n):\n{lines}"
        rows[name] = _row(9001 + len(rows), name, canonical, pairs)
    rows["scaled"] = _row(9001 + len(rows), "scaled", HELPED, [("4", "8"), ("5", "10")])
    return rows


def _row(number: int, method: str, canonical: str, pairs: list[tuple[str, str]]) -> dict[str, Any]:
    asserts = [f"assert Solution().{method}(n = {given}) == {expected}" for given, expected in pairs]
    starter = f"class Solution:\n    def {method}(self, n):\n        "
    question = (
        f"PROBLEM:\nA small problem.\n\nWrite the method {method} of class Solution {PHRASE}. "
        f"Use the following starter code:\n```python\n{starter}# Add your code here\n```\n\nSOLUTION:\n"
    )
    return {
        "id": number,
        "dataset": "made",
        "evaluator": "code",
        "difficulty": "medium",
        "question": question,
        "prompt": [{"role": "system", "content": "Write Python."}, {"role": "user", "content": question}],
        "gt_answer": asserts,
        "answer": asserts,
        "hint": None,
        "func_name": f"Solution().{method}",
        "setup_code": SETUP,
        "canonical_solution": canonical,
        "prompt_metadata": {"starter_code": starter},
    }
