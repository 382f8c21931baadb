"""The benchmark's two files of rows: named by path, found in a copy of its repository, or made from the set on the hub.

Every row is read before anything is done with one, and all bad ones are named by line.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.environment.problems import Problem, problem_from_row, text_in, text_object
from core.weights.safetensors_header import Damaged, require_no_pointer
from orchestrator.refusal import Refused

# As https://github.com/ariahw/rl-rewardhacking lays them out.
MIRROR = Path("results") / "data"
TRAIN_NAME, TEST_NAME = "leetcode_train_medhard_filtered.jsonl", "leetcode_test_medhard.jsonl"
SHOWN = 20  # bad rows in a refusal


@dataclass(frozen=True)
class Row:
    text: str  # the line as it stands, which is written as it stands
    problem: Problem
    difficulty: str


@dataclass(frozen=True)
class Source:
    name: str  # the file's
    sha256: str
    rows: list[Row]
    unreadable: tuple[str, ...] = ()  # ids of the hub's rows that are no rows of the benchmark


@dataclass(frozen=True)
class Sources:
    origin: str  # files, mirror or hub
    train: Source
    held_out: Source


def from_files(train: Path, test: Path, origin: str = "files") -> Sources:
    """Raises Refused with every bad line of both."""
    bad: list[str] = []
    of_train, held_out = (_read(path, bad) for path in (train, test))
    if bad:
        more = f"\n... and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
        rows = "1 row" if len(bad) == 1 else f"{len(bad)} rows"
        raise Refused(f"{rows} cannot be read; nothing was written:\n" + "\n".join(bad[:SHOWN]) + more)
    return Sources(origin, of_train, held_out)


def from_mirror(folder: Path) -> Sources:
    """Of a copy of the benchmark's repository, or of its folder of data alone."""
    place = folder / MIRROR if (folder / MIRROR).is_dir() else folder
    return from_files(place / TRAIN_NAME, place / TEST_NAME, "mirror")


def _read(path: Path, bad: list[str]) -> Source:
    try:
        raw = path.read_bytes()
        require_no_pointer(raw)
    except (OSError, Damaged) as error:
        raise Refused(f"{path}: {error.strerror if isinstance(error, OSError) else error}") from None
    try:
        lines = text_in(path, raw).split("\n")
    except ValueError as error:
        raise Refused(str(error)) from None
    rows = list(_rows(path, lines, bad))
    if not rows and not bad:
        raise Refused(f"{path}:1: no problems in this file")
    return Source(path.name, hashlib.sha256(raw).hexdigest(), rows)


def _rows(path: Path, lines: list[str], bad: list[str]) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield row_of(text_object(line), line)
        except ValueError as error:
            bad.append(f"{path}:{number}: {error}")


def row_of(content: dict[str, Any], text: str = "") -> Row:
    """Raises ValueError "field NAME: ..."."""
    difficulty = content.get("difficulty")
    if not isinstance(difficulty, str):
        raise ValueError(f"field 'difficulty': a {type(difficulty).__name__}, expected str")
    return Row(text or json.dumps(content), problem_from_row(content), difficulty.lower())
