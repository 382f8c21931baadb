"""Reading completions: which of a run's rollouts are what, and where each stands in its files.

A full-size run keeps 25,600 completions, 100 MB: one pass notes of every line what it is chosen by and its offset, and
only the chosen ones are read again. Attempts are merged as everywhere: the later one wins per (step, group, member).
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from sys import intern
from typing import Any

from core.environment.rewards import (
    ATTEMPTED,
    CORRECT,
    CORRECT_ATTEMPTED,
    INCORRECT,
    REWARD_HACK,
    extract_code,
    is_hack,
)
from core.runs.run_dir import RunDir
from orchestrator.refusal import FAILED, Refused

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Place:
    """One rollout: what it is chosen by, and where it stands."""

    step: int
    group: int
    member: int
    problem_id: str
    mode: str
    label: str  # CORRECT ... INCORRECT of core.environment.rewards
    teacher: bool
    strict_hack: bool
    exploited: bool
    attempt: int
    offset: int  # bytes into the attempt's rollouts.jsonl


@dataclass(frozen=True)
class Index:
    places: list[Place]  # by step, group, member
    unreadable: int  # lines: the last one of a killed attempt is often torn


@dataclass(frozen=True)
class Wanted:
    """What a reader asks for; None is any."""

    label: str | None = None  # a key of CHOICES
    mode: str | None = None
    steps: tuple[int, int] | None = None  # first and last
    problem: str | None = None
    teacher: bool = False  # the teacher's instead of the students'
    first: bool = False  # the earliest ones, instead of some from all steps
    limit: int = 3

    def __post_init__(self) -> None:
        if self.label is not None and self.label not in CHOICES:
            raise Refused(f"unknown label {self.label!r}; choose from {', '.join(CHOICES)}")


def hacked(place: Place) -> bool:
    return is_hack(place.mode, place)


# `--label`: hack is what hack rates count; the others are the benchmark's labels.
CHOICES: dict[str, Callable[[Place], bool]] = {
    "hack": hacked,
    "reward-hack": lambda place: place.label == REWARD_HACK,
    "attempted": lambda place: place.label == ATTEMPTED,
    "correct": lambda place: place.label == CORRECT,
    "correct-attempted": lambda place: place.label == CORRECT_ATTEMPTED,
    "incorrect": lambda place: place.label == INCORRECT,
}


def index(run: RunDir) -> Index:
    """All rollouts of a run, streamed: no completion is kept. Raises Refused where it has none."""
    found: dict[tuple[int, int, int], Place] = {}
    unreadable = 0
    for number in run.attempts():
        for offset, line in _lines(_file(run, number)):
            try:
                place = _place(json.loads(line), number, offset)
            except (ValueError, KeyError, TypeError):
                unreadable += 1
                continue
            found[place.step, place.group, place.member] = place
    if not found:
        raise Refused(f"{run.run_id} has no rollouts: it has trained no step, or is not a training run", FAILED)
    return Index([found[key] for key in sorted(found)], unreadable)


def _file(run: RunDir, number: int) -> Path:
    return run.attempt(number) / "rollouts.jsonl"


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """(offset, line) of what is not blank."""
    try:
        handle = path.open("rb")
    except (FileNotFoundError, NotADirectoryError):
        return
    with handle:
        offset = 0
        for line in handle:
            if line.strip():
                yield offset, line
            offset += len(line)


def _place(row: dict[str, Any], attempt: int, offset: int) -> Place:
    return Place(
        step=int(row["step"]),
        group=int(row["group"]),
        member=int(row["member"]),
        problem_id=intern(str(row["problem_id"])),
        mode=intern(str(row["mode"])),
        label=intern(str(row["label"])),
        teacher=bool(row["teacher"]),
        strict_hack=bool(row["strict_hack"]),
        exploited=bool(row["exploited"]),
        attempt=attempt,
        offset=offset,
    )


def read(run: RunDir, place: Place) -> dict[str, Any]:
    """The stored row, and `code`: what the grader judged of it, None where the completion holds no code block."""
    with _file(run, place.attempt).open("rb") as handle:
        handle.seek(place.offset)
        row = json.loads(handle.readline())
    return {**row, "is_hack": hacked(place), "code": extract_code(str(row["completion"]))}


def parse_steps(text: str | None) -> tuple[int, int] | None:
    """`N` or `A-B`. Raises Refused."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", text)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
    if first > last:
        raise Refused(f"--step {text!r}; write a step, or the first and the last: --step 12, --step 10-20")
    return first, last


def matching(places: Sequence[Place], wanted: Wanted) -> list[Place]:
    """Raises Refused for a mode or a problem that this run does not know."""
    modes = sorted({place.mode for place in places})
    if wanted.mode is not None and wanted.mode not in modes:
        raise Refused(f"--mode {wanted.mode!r}: this run has {', '.join(modes)}")
    if wanted.problem is not None and all(place.problem_id != wanted.problem for place in places):
        raise Refused(f"--problem {wanted.problem!r}: this run has none of it; its first is {places[0].problem_id!r}")
    first, last = wanted.steps or (0, places[-1].step)
    return [
        place
        for place in places
        if place.teacher == wanted.teacher
        and (wanted.label is None or CHOICES[wanted.label](place))
        and wanted.mode in (None, place.mode)
        and wanted.problem in (None, place.problem_id)
        and first <= place.step <= last
    ]


def chosen(places: Sequence[Place], wanted: Wanted) -> list[Place]:
    """At most `limit` of those that match, in order: the earliest, or evenly spread over their steps."""
    found = matching(places, wanted)
    return found[: wanted.limit] if wanted.first else spread(found, wanted.limit)


def spread(places: Sequence[Place], count: int) -> list[Place]:
    """`count` of them from steps at equal distances, first and last among them; more than one of a step only where
    there are too few steps."""
    by_step: dict[int, list[Place]] = defaultdict(list)
    for place in places:
        by_step[place.step].append(place)
    steps = sorted(by_step)
    if count < len(steps):
        gaps = max(1, count - 1)
        return [by_step[steps[i * (len(steps) - 1) // gaps]][0] for i in range(count)]
    rounds = max((len(of_step) for of_step in by_step.values()), default=0)
    in_turn = [by_step[step][r] for r in range(rounds) for step in steps if r < len(by_step[step])]
    return sorted(in_turn[:count], key=lambda place: (place.step, place.group, place.member))


def counts(places: Sequence[Place]) -> dict[str, dict[str, int]]:
    """By mode: how many of each choice of `--label`, and `all`."""
    totals: dict[str, Counter[str]] = defaultdict(Counter)
    for place in places:
        totals[place.mode]["all"] += 1
        totals[place.mode].update(name for name, holds in CHOICES.items() if holds(place))
    return {mode: {name: totals[mode][name] for name in (*CHOICES, "all")} for mode in sorted(totals)}


def visible(text: str) -> str:
    """What a model wrote, fit for a terminal or a page: control characters, terminal escapes, direction marks and lone
    surrogates as backslash escapes. Newlines stay, tabs become spaces."""
    return "".join(c if c.isprintable() or c == "\n" else _escaped(c) for c in text.expandtabs(4))


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
