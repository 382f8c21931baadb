"""`grpoq data leetcode`: from the benchmark's files to the two that a plan takes, and data.json, which says how.

Nothing in data.json depends on when or where it was made, so the same files give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.environment.held_out import DATA_FILE, HELD_OUT_FILE, TRAIN_FILE, in_both, median_ids
from core.runs import durable, versions
from core.sandbox.pool import CPU_LIMIT_S, MEMORY_LIMIT_BYTES, WALL_LIMIT_S
from orchestrator.data.filters import FILTERS, Rows, Settings, Step, filtered
from orchestrator.data.sources import Source, Sources
from orchestrator.refusal import FAILED, Refused

SCHEMA = 1
SAME = 0.5  # share of either file in the other from which on they are taken for the same file
SOLVE_RATES = (
    "training problems that the base model solves 16 times out of 16 are left out by the benchmark: {state}; it takes "
    "the model to check"
)
STATES = {
    "files": "they are missing from its training file already, if that is what was given",
    "mirror": "they are missing from its training file already",
    "hub": "the hub's set holds them still, so they are trained on",
}


def build(sources: Sources, settings: Settings, say: Callable[[str], None]) -> dict[str, str]:
    """Texts of the three files by name. Raises Refused where the test file was given as training data."""
    _require_apart(sources)
    steps = []
    for step in filtered(sources.train.rows, sources.held_out.rows, settings):
        steps.append(step)
        say(_said(step))
    train, held_out = steps[-1].left
    if not train or not held_out:
        raise Refused(f"{len(train)} training and {len(held_out)} held-out problems are left; a plan needs both")
    texts = {TRAIN_FILE: _text(train), HELD_OUT_FILE: _text(held_out)}
    content = {
        "schema": SCHEMA,
        "dataset": "leetcode",
        "origin": sources.origin,
        "inputs": {"train": _about(sources.train), "held_out": _about(sources.held_out)},
        "settings": {
            "model": settings.model,
            "max_prompt": settings.max_prompt,
            "cpu_limit_s": CPU_LIMIT_S,
            "wall_limit_s": WALL_LIMIT_S,
            "memory_limit_bytes": MEMORY_LIMIT_BYTES,
        },
        "filters": [_filter(step, settings) for step in steps],
        "left_out": {s.name: {"train": _ids(s.dropped.train), "held_out": _ids(s.dropped.held_out)} for s in steps},
        "not_checked": [SOLVE_RATES.format(state=STATES[sources.origin])],
        "outputs": {name: {"rows": text.count("\n"), "sha256": _sha256(text)} for name, text in texts.items()},
        "versions": versions.here(),
    }
    return texts | {DATA_FILE: json.dumps(content, indent=1, sort_keys=True) + "\n"}


def _said(step: Step) -> str:
    if step.dropped.why_not_applied:
        return f"{step.name}: not applied: {step.dropped.why_not_applied}"
    return f"{step.name}: {len(step.dropped.train)} of train, {len(step.dropped.held_out)} of test left out"


def _filter(step: Step, settings: Settings) -> dict[str, Any]:
    words = FILTERS[step.name].words.format(model=settings.model, max_prompt=settings.max_prompt)
    why = step.dropped.why_not_applied
    counts = {"train": len(step.dropped.train), "held_out": len(step.dropped.held_out)}
    return {"name": step.name, "rule": words, "applied": not why, "why": why, **counts}


def require_folder(out: Path) -> None:
    """Before solutions are judged for minutes. Raises Refused where the three files cannot come to lie there."""
    if (out.exists() or out.is_symlink()) and not out.is_dir():
        raise Refused(f"--out {out} is no folder; give another one, or remove it")
    above = next(path for path in out.absolute().parents if path.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise Refused(f"--out {out}: {above} is no folder that may be written to; give another one")


def write(texts: dict[str, str], out: Path) -> bool:
    """Whether they are new: a folder that holds the same is left alone. Whole or absent, by one rename. Raises Refused
    where the folder holds something else, or the disk takes no more."""
    if out.is_dir() and any(out.iterdir()):
        if all((out / name).is_file() and (out / name).read_bytes() == text.encode() for name, text in texts.items()):
            return False
        raise Refused(f"{out} holds something else already; give another folder with --out, or remove it")
    try:
        _write(texts, out.resolve())
    except OSError as error:
        raise Refused(f"--out {out} cannot be written: {error}", FAILED) from None
    return True


def _write(texts: dict[str, str], out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    with durable.building(out.parent / f".building-{out.name}") as folder:
        for name, text in texts.items():
            durable.write_atomic(folder / name, text)
        folder.rename(out)
    durable.fsync_dir(out.parent)


def summary(data: dict[str, Any], out: Path) -> list[str]:
    """What came out, and the command that takes it."""
    counts = {name: about["rows"] for name, about in data["outputs"].items()}
    read = {name: about["rows"] for name, about in data["inputs"].items()}
    return [
        f"{counts[TRAIN_FILE]} of {read['train']} training and {counts[HELD_OUT_FILE]} of {read['held_out']} held-out "
        f"problems, in {out}",
        *(f"not checked: {sentence}" for sentence in data["not_checked"]),
        f"next: grpoq plan full --problems {out / TRAIN_FILE} --held-out {out / HELD_OUT_FILE}",
    ]


def _require_apart(sources: Sources) -> None:
    train, held_out = sources.train, sources.held_out
    problems = [row.problem for row in train.rows], [row.problem for row in held_out.rows]
    both = in_both(*problems)
    if len(both) > SAME * min(len(train.rows), len(held_out.rows)):
        raise Refused(
            f"{train.name} was given as training data, and {len(both)} of its {len(train.rows)} problems are those of "
            f"the test file {held_out.name}: held-out problems are never trained on"
        )
    of_train, of_held_out = median_ids(*problems)
    if of_train > of_held_out:
        raise Refused(
            f"{train.name} was given as training data, and its problems (median id {of_train}) are newer than those of "
            f"{held_out.name} (median id {of_held_out}): the newest are held out, so exchange the two"
        )


def _about(source: Source) -> dict[str, Any]:
    return {
        "file": source.name,
        "sha256": source.sha256,
        "rows": len(source.rows),
        "unreadable": list(source.unreadable),
    }


def _ids(rows: Rows) -> list[int]:
    return sorted(int(row.problem.problem_id) for row in rows)


def _text(rows: Rows) -> str:
    return "".join(row.text + "\n" for row in rows)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
