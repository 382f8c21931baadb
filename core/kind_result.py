"""How a run ends: what result.json says, and for kinds other than train, figures that gates read, published once."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

from core.attempt import Attempt
from core.runs import durable
from core.spec import SCHEMA

log = logging.getLogger(__name__)


@contextlib.contextmanager
def publishing(attempt: Attempt, metrics: dict[str, Any], **more: Any) -> Iterator[dict[str, Any]]:
    """result.json's content, written as the context ends; what belongs to it is written within, lock held."""
    attempt.require_disk()
    result = head(attempt) | {"metrics": metrics} | more
    with attempt.run.commit(attempt.number, "result"):
        yield result
        durable.write_json(attempt.run.result_path, result)


def head(attempt: Attempt) -> dict[str, Any]:
    """What every kind's result.json says of its run."""
    spec = attempt.spec
    return {
        "schema": SCHEMA,
        "run_id": spec.run_id,
        "kind": spec.kind,
        "plan_hash": spec.plan_hash,
        "label": spec.label,
        "seed": spec.seed,
        "attempts": len(attempt.run.attempts()),
    }


def say(figure: str, is_good: bool, expect: str, otherwise: str) -> None:
    """One line that a reader who was away can judge by; with the way out where the figure is bad."""
    if is_good:
        log.info("%s  expect %s", figure, expect)
    else:
        log.warning("%s  expect %s; it is not: %s", figure, expect, otherwise)
