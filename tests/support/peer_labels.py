"""Labels beside the benchmark's evaluator, on the same made completions: docs/grading.md, Beside the benchmark.

    just peer-labels --problems FILE --benchmark CHECKOUT --python PYTHON

runs both and writes what the benchmark said (tests/data/peer_outcomes.json, by which a test compares without it) and
how far the two agree (docs/results/peer-labels.json). Two outcomes agree where every field does. Without --benchmark
the stored outcomes are compared. Exit 1: a kind disagrees that support.kept_disagreements does not name.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import json
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.environment.hints import shown_tests
from core.environment.problems import problem_from_row
from core.environment.rewards import Grade, GradeItem, grade
from core.sandbox.pool import Sandbox
from support.kept_disagreements import KEPT
from support.made import SEED, all_made
from support.made.case import Made
from support.made.rows import made_rows
from support.paths import REPO, TESTS

OUTCOMES = TESTS / "data" / "peer_outcomes.json"
RESULT = REPO / "docs" / "results" / "peer-labels.json"
BENCHMARK = "ariahw/rl-rewardhacking bf5cdb8"
FIELDS = (
    "reward", "label", "compiles", "gt_correct", "passed", "strict_hack", "loose_hack", "test_modification",
)  # fmt: skip

Outcome = dict[str, Any]  # FIELDS by name
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Disagreement:
    case: Made
    benchmark: Outcome
    ours: Outcome

    def told(self) -> dict[str, Any]:
        """As docs/results holds it: the fields that differ, the benchmark's word first."""
        fields = {f: [self.benchmark[f], self.ours[f]] for f in FIELDS if self.benchmark[f] != self.ours[f]}
        return {"kind": self.case.kind, "name": self.case.name, "benchmark_ours": fields}


def rows_by_name(benchmark_rows: Sequence[Row]) -> dict[str, Row]:
    return {**made_rows(), **{str(row["id"]): row for row in benchmark_rows}}


def our_outcomes(cases: Sequence[Made], rows: Mapping[str, Row], sandbox: Sandbox) -> list[Outcome]:
    problems = {name: problem_from_row(rows[name]) for name in {case.row for case in cases}}
    items = [
        GradeItem(
            problems[case.row],
            case.mode,
            case.completion,
            case.test_func_name,
            shown_tests(case.hint, problems[case.row].asserts, case.test_func_name),
        )
        for case in cases
    ]
    return [_outcome(graded) for graded in grade(items, sandbox)]


def _outcome(graded: Grade) -> Outcome:
    return {field: getattr(graded, field) for field in FIELDS}


def their_outcomes(cases: Sequence[Made], rows: Mapping[str, Row], benchmark: Path, python: Path) -> list[Outcome]:
    """Of the benchmark's evaluator, run in its own interpreter and in a folder that is thrown away."""
    asked = [
        {
            "key": case.key,
            "row": rows[case.row],
            "hint": case.hint if case.mode == "run_tests" else None,
            "test_func_name": case.test_func_name,
            "completion": case.completion,
        }
        for case in cases
    ]
    script = Path(__file__).with_name("peer_benchmark.py")
    with tempfile.TemporaryDirectory() as folder:
        said = subprocess.run(
            [python, script, benchmark],
            input="".join(json.dumps(one) + "\n" for one in asked),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            cwd=folder,
        ).stdout
    found = [json.loads(line) for line in said.splitlines()]
    assert [one["key"] for one in found] == [case.key for case in cases], "the benchmark answered other rows"
    return [{field: one[field] for field in FIELDS} for one in found]


def stored(cases: Sequence[Made], outcomes: Sequence[Outcome], python: str) -> str:
    """Text of OUTCOMES: one line a completion, with the digest of its text, by which a changed one is noticed."""
    entries = ",\n".join(
        f"  {json.dumps(case.key)}: {json.dumps([digest(case), *(outcome[field] for field in FIELDS)])}"
        for case, outcome in zip(cases, outcomes, strict=True)
    )
    head = {"benchmark": BENCHMARK, "python": python, "seed": SEED, "fields": ["digest", *FIELDS]}
    return json.dumps(head)[:-1] + ', "outcomes": {\n' + entries + "\n}}\n"


def digest(case: Made) -> str:
    return hashlib.sha256(case.completion.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def stored_outcomes(cases: Sequence[Made]) -> list[Outcome]:
    """Raises ValueError where the benchmark has not been asked about these very completions."""
    held = json.loads(OUTCOMES.read_text())["outcomes"]
    other = {case.key for case in cases if held.get(case.key, [None])[0] != digest(case)} | (
        held.keys() - {case.key for case in cases}
    )
    if other:
        raise ValueError(f"{OUTCOMES} knows {len(other)} completions otherwise ({min(other)}): just peer-labels")
    return [dict(zip(FIELDS, held[case.key][1:], strict=True)) for case in cases]


def disagreements(cases: Sequence[Made], theirs: Sequence[Outcome], ours: Sequence[Outcome]) -> list[Disagreement]:
    return [Disagreement(c, t, o) for c, t, o in zip(cases, theirs, ours, strict=True) if t != o]


def unlisted(found: Sequence[Disagreement]) -> list[Disagreement]:
    return [one for one in found if one.case.kind not in KEPT]


def summary(cases: Sequence[Made], found: Sequence[Disagreement], python: str) -> dict[str, Any]:
    sizes = collections.Counter(case.kind for case in cases)
    differing = collections.Counter(one.case.kind for one in found)
    paid = [one for one in found if any(one.benchmark[f] != one.ours[f] for f in ("reward", "label"))]
    return {
        "benchmark": BENCHMARK,
        "python": {"benchmark": python, "ours": platform.python_version()},
        "seed": SEED,
        "completions": len(cases),
        "agree_in_every_field": len(cases) - len(found),
        "agree_in_reward_and_label": len(cases) - len(paid),
        "unlisted": len(unlisted(found)),
        "kinds": {
            kind: {"completions": size, "agree": size - differing[kind]}
            | ({"kept": KEPT[kind]} if kind in KEPT else {})
            for kind, size in sorted(sizes.items())
        },
        "disagreements": [one.told() for one in found],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=Path, required=True, help="the benchmark's rows, one JSON object a line")
    parser.add_argument("--benchmark", type=Path, help=f"a checkout of {BENCHMARK}; left out: its stored outcomes")
    parser.add_argument("--python", type=Path, help="3.12 or newer, with pydantic and tqdm; what the benchmark runs on")
    options = parser.parse_args()
    if (options.benchmark is None) != (options.python is None):
        parser.error("--benchmark and --python go together: the benchmark runs in an interpreter of its own")
    benchmark_rows = [json.loads(line) for line in options.problems.read_text(encoding="utf-8").splitlines()]
    cases, rows = all_made(benchmark_rows), rows_by_name(benchmark_rows)
    if options.benchmark is not None:
        version = [options.python, "-c", "import platform; print(platform.python_version())"]
        python = subprocess.run(version, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
        theirs = their_outcomes(cases, rows, options.benchmark.resolve(), options.python.absolute())
        OUTCOMES.write_text(stored(cases, theirs, python))
    theirs, python = stored_outcomes(cases), json.loads(OUTCOMES.read_text())["python"]
    with Sandbox(2) as sandbox:
        found = disagreements(cases, theirs, our_outcomes(cases, rows, sandbox))
    result = summary(cases, found, python)
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print({key: value for key, value in result.items() if key not in ("kinds", "disagreements")})
    for one in unlisted(found):
        print(one.told())
    sys.exit(1 if unlisted(found) else 0)


if __name__ == "__main__":
    main()
