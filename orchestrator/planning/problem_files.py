"""A plan's benchmark rows: the file that is trained on, the file that only evaluates, and whether they go together."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.environment import audit
from core.environment.held_out import DATA_FILE, HELD_OUT_FILE, TRAIN_FILE, in_both, median_ids, recorded
from core.environment.problems import Problem, load_problems, train_and_held_out
from core.spec import TrainConfig
from orchestrator.refusal import Refused

BUILD = "`grpoq data leetcode` builds both files"


@dataclass(frozen=True)
class ProblemFiles:
    path: Path
    problems: list[Problem]
    held_out: list[Problem]  # of a file of its own; empty: a share of `problems`
    given: dict[str, Any]  # config fields that follow
    notes: tuple[str, ...]

    def halves(self, config: TrainConfig) -> tuple[list[Problem], list[Problem]]:
        return train_and_held_out(self.problems, config.held_out_share, config.not_unique, self.held_out)

    def content(self, config: TrainConfig) -> dict[str, Any]:
        """As plan.json holds it: counts, and the rows whose answers are not unique."""
        everything = [*self.problems, *self.held_out]
        count, held_out = len(everything), len(self.halves(config)[1])
        return {"count": count, "held_out": held_out, "not_unique": audit.not_unique(everything)}

    def require_enough(self, label: str, config: TrainConfig) -> None:
        """Here, so that a plan that cannot take its first step is never made."""
        train = len(self.halves(config)[0])
        needed = config.batch // config.completions
        if train < needed:
            raise Refused(
                f"--problems {self.path}: {len(self.problems)} rows leave {train} to train on, and a step of arm "
                f"{label} asks {needed} (batch / completions); add rows, or lower batch with --set batch=N"
            )


def read_problem_files(problems: Path | None, held_out: Path | None) -> ProblemFiles | None:
    """None without --problems. Raises Refused for a bad row, by its line, and for held-out rows to be trained on."""
    if problems is None:
        if held_out is not None:
            raise Refused(f"--held-out {held_out} without --problems: what is to be trained on? {BUILD}")
        return None
    rows, sha256 = _read("--problems", problems)
    role = recorded(problems, sha256)[1]
    if role == HELD_OUT_FILE:
        raise Refused(
            f"--problems {problems}: {DATA_FILE} beside it records it as held out, and held-out rows are never "
            f"trained on; give {TRAIN_FILE}"
        )
    _require_none_of_those_beside(problems, rows)
    given = {"problems": "rows", "problems_sha256": sha256}
    if held_out is None:
        return ProblemFiles(problems, rows, [], given, _without_held_out(problems, role))
    kept, held_out_sha256 = _read("--held-out", held_out)
    _require_apart(problems, rows, held_out, kept)
    given |= {"held_out_sha256": held_out_sha256}
    return ProblemFiles(problems, rows, kept, given, _left_out(held_out, held_out_sha256, len(kept)))


def _read(flag: str, path: Path) -> tuple[list[Problem], str]:
    try:
        return load_problems(path), hashlib.sha256(path.read_bytes()).hexdigest()
    except (OSError, ValueError) as error:
        raise Refused(f"{flag}: {error}") from None


def _require_none_of(path: Path, train: Sequence[Problem], held_out_path: Path, held_out: Sequence[Problem]) -> None:
    both = in_both(train, held_out)
    if both:
        raise Refused(
            f"--problems {path}: {len(both)} of its {len(train)} problems stand in held-out {held_out_path} too "
            f"(first: {both[0]}), and held-out rows are never trained on; {BUILD}"
        )


def _require_apart(path: Path, train: Sequence[Problem], held_out_path: Path, held_out: Sequence[Problem]) -> None:
    _require_none_of(path, train, held_out_path, held_out)
    of_train, of_held_out = median_ids(train, held_out)
    if of_train > of_held_out:
        raise Refused(
            f"--problems {path}: its problems (median id {of_train}) are newer than those of --held-out "
            f"{held_out_path} (median id {of_held_out}); the newest are held out, so exchange the two; {BUILD}"
        )


def _require_none_of_those_beside(path: Path, train: Sequence[Problem]) -> None:
    """An edited copy of the held-out file has a hash that no data.json records; its rows are held out all the same."""
    beside = path.parent / HELD_OUT_FILE
    if beside.is_file() and (path.parent / DATA_FILE).is_file():
        _require_none_of(path, train, beside, _read(str(beside), beside)[0])


def _without_held_out(path: Path, role: str) -> tuple[str, ...]:
    if role != TRAIN_FILE:
        return ()
    beside = path.parent / HELD_OUT_FILE
    return (f"a share of {path.name} is held out; --held-out {beside} would evaluate on the benchmark's test file",)


def _left_out(path: Path, sha256: str, count: int) -> tuple[str, ...]:
    """What `grpoq data` left out of the held-out file: the evaluation's number of problems has a reason."""
    content, role = recorded(path, sha256)
    unknown = (f"held out: {count} rows of {path.name}; no {DATA_FILE} beside it says what was left out",)
    try:
        return (_recorded_counts(content, count),) if role == HELD_OUT_FILE else unknown
    except (KeyError, TypeError, AttributeError):  # somebody edited it
        return unknown


def _recorded_counts(content: dict[str, Any], count: int) -> str:
    read = content["inputs"]["held_out"]["rows"]
    ids = {reason: rows["held_out"] for reason, rows in content["left_out"].items() if rows["held_out"]}
    named = "; ".join(f"{reason}: {', '.join(map(str, found))}" for reason, found in ids.items())
    unapplied = [f"{f['name']} not applied, {f['why']}" for f in content["filters"] if not f["applied"]]
    said = f"held out: {count} of the {read} rows that were read{f'; left out: {named}' if named else ''}"
    return "; ".join([said, *unapplied])
