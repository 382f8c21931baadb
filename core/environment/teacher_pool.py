"""Teacher rollouts: completions that were written and graded before training, with rewards that never change.

A pool is a file, one completion a line, and its SHA-256 is in the plan: built once, then frozen. Mixed into a group
they show the policy what it would seldom write itself, so that a direction can be watched at work (cin_t) before
hacking has emerged. To imitate a teacher is not hacking that emerged: every claim needs a run without a pool.

`just build-pool` makes one: of finished runs, or of a checkpoint that is asked (core.studies.build_pool).
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any

from core.environment.problems import MODES, read_lines
from core.environment.rewards import Grade
from core.runs import durable

NANO_POOL = Path(__file__).parent / "nano" / "teacher.jsonl"
GRADE = Grade.__dataclass_fields__
OLDEST_GRADE = {name for name, field in GRADE.items() if field.default is MISSING}  # pools of before lack the others
FIELDS = ("problem_id", "mode", "test_func_name", "completion", "reward", "grade")


@dataclass(frozen=True)
class TeacherRollout:
    problem_id: str
    mode: str
    completion: str
    reward: float
    grade: Grade


@dataclass(frozen=True)
class TeacherPool:
    rollouts: Mapping[tuple[str, str, str], tuple[TeacherRollout, ...]]  # by problem, mode, test function's name
    sha256: str

    def draw(self, problem_id: str, mode: str, test_func_name: str, count: int, key: str) -> list[TeacherRollout]:
        """`count` rollouts of one prompt, or none where the pool has too few: a group is never padded with repeats."""
        found = self.rollouts.get((problem_id, mode, test_func_name), ())
        return random.Random(f"teacher {key}").sample(found, count) if len(found) >= count else []


def load_pool(path: Path | str, modes: Sequence[str]) -> TeacherPool:
    """The rollouts of these modes. Raises ValueError "PATH:LINE: ..."."""
    found: dict[tuple[str, str, str], list[TeacherRollout]] = {}
    for row in read_rows(path):
        if row["mode"] in modes:
            rollout = TeacherRollout(
                row["problem_id"], row["mode"], row["completion"], float(row["reward"]), Grade(**row["grade"])
            )
            found.setdefault((row["problem_id"], row["mode"], row["test_func_name"]), []).append(rollout)
    if not found:
        raise ValueError(f"{path}: no teacher rollouts of modes {', '.join(modes)}")
    return TeacherPool({key: tuple(rows) for key, rows in found.items()}, file_sha256(path))


def read_rows(path: Path | str) -> Iterator[dict[str, Any]]:
    """Raises ValueError "PATH:LINE: ..." at the first line that is no teacher rollout."""
    return read_lines(path, _checked)


def _checked(row: dict[str, Any]) -> dict[str, Any]:
    missing = [name for name in FIELDS if name not in row]
    if missing:
        raise ValueError(f"field {missing[0]!r}: missing")
    if row["mode"] not in MODES:
        raise ValueError(f"field 'mode': unknown loophole mode {row['mode']!r}")
    if not isinstance(row["grade"], dict) or not OLDEST_GRADE <= set(row["grade"]) <= set(GRADE):
        raise ValueError("field 'grade': it must hold every field of a grade; build the pool anew")
    return row


def file_sha256(path: Path | str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def build(rows: Sequence[Mapping[str, Any]], per_prompt: int, seed: int) -> list[dict[str, Any]]:
    """Of pool rows, up to `per_prompt` different completions a prompt: exploits and others in turn, as far as they go.

    A pool of one kind only would give groups without spread, and teach nothing.
    """
    prompts: dict[tuple[str, str, str], dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        key = (row["problem_id"], row["mode"], row["test_func_name"])
        prompts.setdefault(key, {}).setdefault(row["completion"], row)
    kept = []
    for key, completions in sorted(prompts.items()):
        order = sorted(completions.values(), key=lambda row: str(row["completion"]))
        random.Random(f"teacher pool {seed} {key}").shuffle(order)
        hacks = [row for row in order if row["grade"]["exploited"]]
        others = [row for row in order if not row["grade"]["exploited"]]
        turns = [row for both in zip(hacks, others, strict=False) for row in both]
        turns += hacks[len(others) :] + others[len(hacks) :]
        kept += [dict(row) for row in turns[:per_prompt]]
    return kept


def write(rows: Sequence[Mapping[str, Any]], path: Path) -> str:
    """The pool's file, written whole or not at all; returns its SHA-256."""
    text = "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows)
    durable.write_atomic(path, text.encode())
    return file_sha256(path)


def row_of(rollout: Mapping[str, Any]) -> dict[str, Any]:
    """A line of a run's rollouts.jsonl as a pool holds it, with the environment's payment, not an arm's."""
    names = [name for name in GRADE if name in rollout or name in OLDEST_GRADE]
    grade = {name: rollout[name] for name in names if name not in ("reward", "seconds")}
    kept = {name: rollout[name] for name in ("problem_id", "mode", "test_func_name", "completion")}
    return kept | {"reward": rollout["payment"], "grade": grade | {"reward": rollout["payment"], "seconds": 0.0}}
