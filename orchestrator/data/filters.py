"""What a row must be to stay, each rule by its name, in the order in which they are applied: docs/protocol.md 1.1.

A filter says which rows it drops, or that it could not be applied here, and why.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from core.environment.held_out import in_both, text_of
from core.environment.hints import HELD_OUT, HINTS, TRAIN, drawn_test_func_name
from core.environment.problems import Problem, fenced, prompt_messages
from core.environment.rewards import GradeItem, grade
from core.sandbox.pool import CPU_LIMIT_S, GraderFault, Sandbox
from core.weights.places import hub_copy, is_hub_id
from orchestrator.data.sources import Row
from orchestrator.refusal import FAILED, Refused

DIFFICULTIES = ("medium", "hard")
HINT_SEED = 0  # of the drawn names that lengths are measured with
AT_ONCE = 32  # solutions judged between two looks at the clock


Rows = Sequence[Row]


@dataclass(frozen=True)
class Settings:
    model: str  # whose tokenizer measures prompts
    max_prompt: int  # tokens
    workers: int  # solutions judged at a time


@dataclass(frozen=True)
class Dropped:
    train: list[Row] = field(default_factory=list)
    held_out: list[Row] = field(default_factory=list)
    why_not_applied: str = ""


def _of_both(drops: Callable[[Rows], list[Row]], train: Rows, held_out: Rows) -> Dropped:
    return Dropped(drops(train), drops(held_out))


Rule = Callable[[Rows, Rows, Settings], Dropped]


@dataclass(frozen=True)
class Filter:
    words: str  # with {max_prompt}, {model}
    drops: Rule  # of training rows and held-out rows


def _difficulty(train: Rows, held_out: Rows, _: Settings) -> Dropped:
    return _of_both(lambda rows: [row for row in rows if row.difficulty not in DIFFICULTIES], train, held_out)


def _duplicates(train: Rows, held_out: Rows, _: Settings) -> Dropped:
    return _of_both(_repeated, train, held_out)


def _repeated(rows: Rows) -> list[Row]:
    seen: set[str] = set()
    found = []
    for row in rows:
        keys = {f"id {row.problem.problem_id}", text_of(row.problem)}
        found += [row] if keys & seen else []
        seen |= keys
    return found


def _in_both(train: Rows, held_out: Rows, _: Settings) -> Dropped:
    both = set(in_both([row.problem for row in train], [row.problem for row in held_out]))
    return Dropped([row for row in train if row.problem.problem_id in both])


def _every_variant(train: Rows, held_out: Rows, _: Settings) -> Dropped:
    return _of_both(lambda rows: [row for row in rows if not _variants(row.problem)], train, held_out)


def _variants(problem: Problem) -> list[list[dict[str, str]]]:
    """The prompt under every hint, with training's names and held-out ones; empty where one cannot be made."""
    chats = []
    try:
        for hint in HINTS:
            for markers in (TRAIN, HELD_OUT):
                name = drawn_test_func_name(hint, problem.problem_id, HINT_SEED, markers)
                chats.append(prompt_messages(problem, "run_tests", hint, name))
    except ValueError:
        return []
    return chats


def _fits(train: Rows, held_out: Rows, settings: Settings) -> Dropped:
    rows = [*train, *held_out]
    chats = [_variants(row.problem) for row in rows]
    try:
        lengths = iter(_lengths([chat for of_row in chats for chat in of_row], settings.model))
    except ValueError as error:
        return Dropped(why_not_applied=str(error))
    longest = {id(row): max(next(lengths) for _ in of_row) for row, of_row in zip(rows, chats, strict=True)}
    return _of_both(lambda part: [row for row in part if longest[id(row)] > settings.max_prompt], train, held_out)


def _lengths(chats: Sequence[list[dict[str, str]]], model: str) -> list[int]:
    """In tokens. Raises ValueError where the model's tokenizer cannot be had."""
    if is_hub_id(model) and hub_copy(model) is None:
        raise ValueError(f"the tokenizer of {model} is not on this machine: `uv run just download-model {model}`")
    command = [sys.executable, "-P", "-m", "core.model.prompt_lengths", model]
    asked = "".join(json.dumps(chat) + "\n" for chat in chats)
    done = subprocess.run(command, input=asked, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError((done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1])
    return [int(length) for length in json.loads(done.stdout)]


def _solved(train: Rows, held_out: Rows, settings: Settings) -> Dropped:
    try:
        with Sandbox(workers=settings.workers) as sandbox:
            return _of_both(lambda rows: _unsolved(rows, sandbox), train, held_out)
    except (GraderFault, RuntimeError) as error:
        raise Refused(str(error), FAILED) from None


def _unsolved(rows: Rows, sandbox: Sandbox) -> list[Row]:
    """Those whose canonical solution is not right by the oracle that training pays by."""
    found = []
    for start in range(0, len(rows), AT_ONCE):
        part = rows[start : start + AT_ONCE]
        items = [GradeItem(row.problem, "gt_only", fenced(row.problem.canonical_solution)) for row in part]
        found += [row for row, g in zip(part, grade(items, sandbox, full=False), strict=True) if not g.gt_correct]
    return found


FILTERS: dict[str, Filter] = {
    "difficulty": Filter(f"difficulty is {' or '.join(DIFFICULTIES)}", _difficulty),
    "duplicate": Filter("the first row of an id, and of a text", _duplicates),
    "held out too": Filter("a training problem is in the test file neither by id nor by text", _in_both),
    "every hint": Filter("every hint variant of the prompt can be made", _every_variant),
    "prompt too long": Filter(
        "the prompt has at most {max_prompt} tokens of {model} under every hint, with either set of names",
        _fits,
    ),
    "canonical solution": Filter(
        f"the canonical solution is right in the sandbox within {CPU_LIMIT_S} s of CPU", _solved
    ),
}


@dataclass(frozen=True)
class Step:
    name: str  # of FILTERS
    dropped: Dropped
    left: tuple[Rows, Rows]  # training rows and held-out rows after it


def filtered(train: Rows, held_out: Rows, settings: Settings) -> Iterator[Step]:
    """One filter after the other, each on what the one before has left."""
    left: tuple[Rows, Rows] = (train, held_out)
    for name, rule in FILTERS.items():
        dropped = rule.drops(*left, settings)
        gone = {id(row) for row in (*dropped.train, *dropped.held_out)}
        left = ([r for r in left[0] if id(r) not in gone], [r for r in left[1] if id(r) not in gone])
        yield Step(name, dropped, left)
