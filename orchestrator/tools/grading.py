"""`grpoq grade`: label (problem, completion) pairs from anywhere, line by line, in the order in which they stand.

A row that cannot be read is answered with its line and what is wrong with it, and the rest is graded.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from core.environment.hints import TEST_FUNC_NAME, shown_tests
from core.environment.problems import Problem, json_object, load_problems, problem_from_row
from core.environment.rewards import Grade, GradeItem, Unjudged, checked_item, grade_each
from core.sandbox.pool import Sandbox
from orchestrator.refusal import FAILED, Refused

CHUNK = 64  # rows graded together; answers come out after each chunk


@dataclass(frozen=True)
class Row:
    """One line of the file: what to grade, or what is wrong with it."""

    line: int
    identifier: Any = None
    item: GradeItem | None = None
    error: str | None = None


@dataclass
class Totals:
    rows: int = 0
    bad: int = 0
    unjudged: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    refused: int = 0  # not the listed answer, and right by the row's own rule
    open: int = 0  # of rows that admit other answers and have no checker

    def count(self, answer: Mapping[str, Any]) -> None:
        self.rows += 1
        if "label" not in answer:
            self.bad += 1
        elif answer["unjudged"]:
            self.unjudged += 1
        else:
            self.labels[answer["label"]] += 1
            self.refused += answer["gt_accepted"] is True and not answer["gt_correct"]
            self.open += answer["gt_accepted"] is None


def grade_file(path: Path, problems_path: Path | None, out: TextIO, workers: int) -> Totals:
    """Answer every row of the file on `out`. Raises Refused where a file cannot be read or no sandbox works."""
    try:
        lines = path.read_bytes().split(b"\n")
        known = {p.problem_id: p for p in load_problems(problems_path, prompts=False)} if problems_path else {}
    except (OSError, ValueError) as error:
        raise Refused(str(error)) from None
    rows = read_rows(lines, known)
    totals = Totals()
    try:
        with Sandbox(workers=workers) as sandbox:
            while chunk := list(islice(rows, CHUNK)):
                for answer in _answers(chunk, sandbox):
                    totals.count(answer)
                    out.write(json.dumps(answer) + "\n")
                out.flush()
    except (RuntimeError, ValueError) as error:
        raise Refused(str(error)) from None
    return totals


def read_rows(lines: list[bytes], known: Mapping[str, Problem]) -> Iterator[Row]:
    parsed: dict[str, Problem] = {}  # a file of many completions of few problems repeats their rows
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json_object(line.decode())
            item = checked_item(_item(row, _problem(row, known, parsed)))
            if "id" not in row:
                raise ValueError("field 'id': missing")
            yield Row(number, row["id"], item)
        except ValueError as error:
            yield Row(number, error=str(error))


def _item(row: Mapping[str, Any], problem: Problem) -> GradeItem:
    """A stored rollout's row reads as it was graded: with the hint that its prompt held, and the mark that counted."""
    mode, name = _text(row, "mode", "run_tests"), _text(row, "test_func_name", TEST_FUNC_NAME)
    hint = _text(row, "hint", "nohint") if row.get("hint") is not None and mode == "run_tests" else "nohint"
    return GradeItem(
        problem=problem,
        mode=mode,
        completion=_text(row, "completion"),
        test_func_name=name,
        prompt_tests=_shown_code(row) or shown_tests(hint, problem.asserts, name),
        marker=_text(row, "marker", ""),
    )


def _problem(row: Mapping[str, Any], known: Mapping[str, Problem], parsed: dict[str, Problem]) -> Problem:
    if "problem" in row:
        if not isinstance(row["problem"], dict):
            raise ValueError(f"field 'problem': a {type(row['problem']).__name__}, expected an object")
        key = json.dumps(row["problem"], sort_keys=True)
        if key not in parsed:
            # A row that a hint has been put into no longer holds the phrase, and needs none to be graded.
            parsed[key] = problem_from_row(row["problem"], prompts=row["problem"].get("hint") is None)
        return parsed[key]
    if "problem_id" not in row:
        raise ValueError("field 'problem': missing, and so is 'problem_id'")
    identifier = row["problem_id"]
    if isinstance(identifier, bool) or not isinstance(identifier, int | str):
        raise ValueError(f"field 'problem_id': a {type(identifier).__name__}, expected a number or text")
    if str(identifier) not in known:
        where = "none of the --problems file" if known else "unknown without --problems FILE.jsonl"
        raise ValueError(f"field 'problem_id': {identifier!r} is {where}")
    return known[str(identifier)]


def _text(row: Mapping[str, Any], name: str, default: str | None = None) -> str:
    value = row.get(name, default)
    if name not in row and default is None:
        raise ValueError(f"field {name!r}: missing")
    if not isinstance(value, str):
        raise ValueError(f"field {name!r}: a {type(value).__name__}, expected str")
    return value


def _shown_code(row: Mapping[str, Any]) -> str:
    """The test function that a hinted row's prompt shows."""
    problem = row.get("problem")
    metadata = problem.get("prompt_metadata") if isinstance(problem, dict) else None
    code = metadata.get("test_func_code") if isinstance(metadata, dict) else None
    return code if isinstance(code, str) else ""


def _answers(rows: list[Row], sandbox: Sandbox) -> Iterator[dict[str, Any]]:
    grades = iter(grade_each([row.item for row in rows if row.item is not None], sandbox))
    for row in rows:
        if row.item is None:
            yield {"line": row.line, "error": row.error}
        else:
            yield {"id": row.identifier, **_columns(next(grades))}


def _columns(outcome: Grade | Unjudged) -> dict[str, Any]:
    """Every column of a grade; all verdicts are null where there is none."""
    verdicts = dict.fromkeys(Grade.__dataclass_fields__) if isinstance(outcome, Unjudged) else {}
    found = verdicts | asdict(outcome) | {"unjudged": isinstance(outcome, Unjudged)}
    return found | {"seconds": round(outcome.seconds, 4)}


def grade_to(path: Path, problems_path: Path | None, destination: Path | None, stdout: TextIO, workers: int) -> Totals:
    """On stdout as it comes, or into a file that appears whole when all is graded."""
    if destination is None:
        return grade_file(path, problems_path, stdout, workers)
    if not destination.parent.is_dir():
        raise Refused(f"--out {destination}: {destination.parent} is no directory")
    try:
        handle, name = tempfile.mkstemp(dir=destination.parent, prefix=f".{destination.name}.")
    except OSError as error:
        raise Refused(f"--out {destination}: {error}") from None
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w") as out:
            totals = grade_file(path, problems_path, out, workers)
        temporary.chmod(0o644)
        temporary.replace(destination)
    finally:
        temporary.unlink(missing_ok=True)
    return totals


def summary(totals: Totals) -> list[str]:
    """For the last lines of a terminal: how many, what labels, what was wrong."""
    counts = ", ".join(f"{label} {n}" for label, n in totals.labels.most_common())
    lines = [f"graded {totals.labels.total()} of {totals.rows} rows{': ' + counts if counts else ''}"]
    if totals.refused or totals.open:
        lines.append(
            f"gt_accepted: {totals.refused} refused that its row's own rule accepts; "
            f"{totals.open} of rows whose rule is open"
        )
    if totals.bad:
        lines.append(f"{totals.bad} rows could not be read; each is answered with its line and error")
    if totals.unjudged:
        lines.append(
            f"{totals.unjudged} rows are unjudged: the grader, not their code, is why; see `grpoq doctor`, "
            "then grade them again"
        )
    return lines


def exit_code(totals: Totals) -> int:
    return FAILED if totals.bad or totals.unjudged else 0
