"""The kinds of runs by name: each is one function, which works an attempt to its end and returns the published result.

core.spec.KINDS has the names alone, for whoever must not load torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from core.attempt import Attempt
from core.kinds.check import check
from core.kinds.evaluate import evaluate_run
from core.kinds.extract import extract
from core.kinds.steer import steer
from core.spec import KINDS
from core.training.train import train

WORK_BY_KIND: dict[str, Callable[[Attempt], dict[str, Any]]] = {
    "check": check,
    "extract": extract,
    "steer": steer,
    "train": train,
    "eval": evaluate_run,
}
assert tuple(WORK_BY_KIND) == KINDS, f"{tuple(WORK_BY_KIND)} differ from core.spec.KINDS"
