"""The kinds of runs by name: each is one function, which works an attempt to its end and returns the published result.

core.spec.KINDS has the names alone, for whoever must not load torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from core.attempt import Attempt
from core.kinds import check, evaluate, extract, fit, steer
from core.spec import KINDS
from core.training.train import train

WORK_BY_KIND: dict[str, Callable[[Attempt], dict[str, Any]]] = {
    "check": check.work,
    "extract": extract.work,
    "steer": steer.work,
    "train": train,
    "eval": evaluate.work,
    "fit": fit.work,
}
assert tuple(WORK_BY_KIND) == KINDS, f"{tuple(WORK_BY_KIND)} differ from core.spec.KINDS"
