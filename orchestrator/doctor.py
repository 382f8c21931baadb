"""`grpoq doctor`: what this machine gives a run, and what it does not."""

from __future__ import annotations

import os
from typing import Any

from core.sandbox import active_level, why_not
from core.sandbox_levels import CHOICE_VARIABLE, LEVELS

SHUTS_IN = ("bubblewrap", "namespaces")


def examine() -> dict[str, Any]:
    """The sandbox as it would be started now: the active level, what it covers, and why others do not work."""
    reasons = {name: why_not(level) for name, level in LEVELS.items()}
    try:
        active = active_level(os.environ.get(CHOICE_VARIABLE, ""))
    except (RuntimeError, ValueError) as error:
        return {"schema": 1, "sandbox": {"level": None, "levels": reasons}, "found": [str(error)]}
    found = []
    if active.name not in SHUTS_IN:
        found.append(
            f"judged code is held by {active.name} alone: install bubblewrap, or allow this user namespaces of its own"
        )
    sandbox = {
        "level": active.name,
        "covers": list(active.covers),
        "leaves_open": list(active.leaves_open),
        "levels": reasons,
    }
    return {"schema": 1, "sandbox": sandbox, "found": found}


def lines(answer: dict[str, Any]) -> list[str]:
    sandbox = answer["sandbox"]
    shown = [f"sandbox: {sandbox['level'] or 'none works'}"]
    for title, key in (("covers", "covers"), ("does not cover", "leaves_open")):
        shown += [f"  {title + ':':<16}{sentence}" for sentence in sandbox.get(key, [])]
    for name, reason in sandbox["levels"].items():
        shown.append(f"  level {name:<12}{'works' if reason is None else 'does not work: ' + reason}")
    return [*shown, *(f"found: {sentence}" for sentence in answer["found"])]
