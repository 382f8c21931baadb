"""What keeps held-out problems out of training: no problem is in both files, and the held-out ones are the newer.

A problem is known by its id and by its text, since a copy under another id is the same problem to a model. It does not
find a problem that is told in other words.
"""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.environment.problems import Problem
from core.runs import durable

DATA_FILE = "data.json"  # beside the two files of `grpoq data leetcode`, which it describes
TRAIN_FILE, HELD_OUT_FILE = "train.jsonl", "held_out.jsonl"


def text_of(problem: Problem) -> str:
    """The user message without its blanks' kind and number."""
    return " ".join(problem.messages[1].content.split())


def in_both(train: Sequence[Problem], held_out: Sequence[Problem]) -> list[str]:
    """Ids of training problems that are held out too, by id or by text."""
    ids, texts = {p.problem_id for p in held_out}, {text_of(p) for p in held_out}
    return [p.problem_id for p in train if p.problem_id in ids or text_of(p) in texts]


def median_ids(train: Sequence[Problem], held_out: Sequence[Problem]) -> tuple[int, int]:
    """Ids grow with time: the newest problems are held out (docs/protocol.md 1.1)."""
    ids = [[int(p.problem_id) for p in problems] for problems in (train, held_out)]
    return int(statistics.median(ids[0])), int(statistics.median(ids[1]))


def recorded(file: Path, sha256: str) -> tuple[dict[str, Any], str]:
    """What the data.json beside a file records, and as which of its outputs ("" where as none of them)."""
    content = durable.read_json(file.parent / DATA_FILE)
    outputs = content.get("outputs") if isinstance(content, dict) else None
    if not isinstance(content, dict) or not isinstance(outputs, dict):
        return {}, ""
    named = (name for name, about in outputs.items() if isinstance(about, dict) and about.get("sha256") == sha256)
    return content, next(named, "")
