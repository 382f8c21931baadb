"""Evaluations kept by what decides their figures, so that the same one is never sampled twice.

The key is the digest of an evaluation's conditions: the weights' hashes, the protocol, the draws' seed, code, libraries
and machine. The base model's evaluation is so made once for all plans. An entry is believed where its conditions are
those asked for and its counts are whole; any other is made anew and replaced.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.environment.task import Task
from core.runs import durable
from core.runs.cache import cache_folder
from core.spec import SCHEMA, digest
from core.statistics.evaluations import figures_sha256
from core.training.evaluate import Outcome, rates

log = logging.getLogger(__name__)

ROWS = ("problems", "problems_as_trained")


def figures_of(rows: Sequence[Outcome], rows_as_trained: Sequence[Outcome]) -> dict[str, Any]:
    """What an evaluation measured: `metrics` and the counts by problem that they are made of."""
    metrics = rates(rows)
    if not rows_as_trained:
        return {"metrics": metrics, "problems": list(rows)}
    metrics["as_trained"] = rates(rows_as_trained)
    return {"metrics": metrics, "problems": list(rows), "problems_as_trained": list(rows_as_trained)}


def entry_of(conditions: Mapping[str, Any], figures: Mapping[str, Any], made_by: Mapping[str, str]) -> dict[str, Any]:
    """The part of an eval file that does not depend on who asks."""
    return {
        "schema": SCHEMA,
        "conditions": dict(conditions),
        **figures,
        "figures_sha256": figures_sha256(figures),
        "made_by": dict(made_by),
    }


def entry_path(conditions: Mapping[str, Any]) -> Path:
    return cache_folder() / "evals" / f"{digest(conditions)}.json"


def read_entry(path: Path, conditions: Mapping[str, Any], tasks: Sequence[Task]) -> dict[str, Any] | None:
    """From a cache entry, or an eval file that stands already. None, and a line in the log, where it is no use."""
    if not path.exists():
        return None
    found = durable.read_json(path)
    try:
        entry = _checked(found, conditions, tasks)
    except (KeyError, TypeError, AttributeError, ZeroDivisionError, ValueError) as error:
        log.warning("%s is not believed (%s): the evaluation is made anew", path, error)
        return None
    return entry


def _checked(found: Any, conditions: Mapping[str, Any], tasks: Sequence[Task]) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise ValueError("it is torn")
    if digest(found["conditions"]) != digest(conditions):
        raise ValueError("it was made under other conditions")
    both = conditions["without_quarantine"]
    asked = [(task.problem.problem_id, task.mode) for task in tasks]
    for name in ROWS if both else ROWS[:1]:
        if [(row["problem_id"], row["mode"]) for row in found[name]] != asked:
            raise ValueError(f"its {name} are not those asked for")
        if any({row["n_hinted"], row["n_pass"]} != {conditions["eval_samples"]} for row in found[name]):
            raise ValueError(f"its {name} have other counts than samples")
    figures = figures_of(found["problems"], found["problems_as_trained"] if both else [])
    if figures_sha256(figures) != found["figures_sha256"] or figures_sha256(figures) != figures_sha256(found):
        raise ValueError("its figures are not those that were written")
    made_by = {key: str(found["made_by"][key]) for key in ("run_id", "plan_hash")}
    return entry_of(conditions, figures, made_by)


def keep_entry(entry: Mapping[str, Any]) -> None:
    """A cache that cannot be written costs time, not the evaluation."""
    path = entry_path(entry["conditions"])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        durable.write_json(path, entry)
    except OSError as error:
        log.warning("this evaluation is not cached (%s); whoever asks for it again samples again", error)
