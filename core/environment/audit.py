"""Which rows of a file admit other answers than the listed one: what a person reads before trusting its labels.

    python -m core.environment.audit FILE.jsonl [--json]

Found by the words of the prompts (core.environment.uniqueness), so a row that says it in other words is not listed.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from core.environment.problems import Problem, load_problems


def not_unique(problems: Sequence[Problem]) -> list[dict[str, Any]]:
    """One JSON object per such row: its id, its rule, whether that rule can judge an answer, the words that say so."""
    return [
        {"id": p.problem_id, "rule": p.rule.kind, "judged": p.rule.judged, "phrase": p.rule.phrase}
        for p in problems
        if not p.rule.unique
    ]


def in_short(found: Sequence[dict[str, Any]], rows: int) -> str:
    """3 of 80 rows admit other answers than the listed one: 3313 (checker), ..."""
    if not found:
        return f"none of {rows} rows admits other answers than the listed one"
    named = ", ".join(f"{row['id']} ({row['rule'] if row['judged'] else 'no checker'})" for row in found)
    admit = "row admits" if len(found) == 1 else "rows admit"
    return f"{len(found)} of {rows} {admit} other answers than the listed one: {named}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m core.environment.audit", description="rows that admit other answers than the listed one"
    )
    parser.add_argument("file", metavar="FILE.jsonl", help="benchmark rows, one JSON object a line")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    options = parser.parse_args(arguments)
    try:
        problems = load_problems(options.file, prompts=False)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    found = not_unique(problems)
    if options.json:
        print(json.dumps({"rows": len(problems), "not_unique": found}))
        return 0
    for row in found:
        print(f"{row['id']:>6}  {row['rule']:<10}  {row['phrase']}")
    print(in_short(found, len(problems)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
