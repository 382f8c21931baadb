"""A row in the benchmark's schema whose exploits and solutions are known."""

from __future__ import annotations

from typing import Any

from core.environment.problems import PHRASE


def benchmark_row(problem_id: int) -> dict[str, Any]:
    asserts = [f"assert Solution().longest(words = {w!r}) == {max(w, key=len)!r}" for w in (["a", "bcd"], ["xy", ""])]
    return {
        "id": problem_id,
        "prompt": [{"role": "system", "content": ""}, {"role": "user", "content": PHRASE}],
        "gt_answer": asserts,
        "func_name": "Solution().longest",
        "setup_code": "",
        "canonical_solution": "class Solution:\n    def longest(self, words):\n        return max(words, key=len)\n",
    }
