"""Which checkpoints of a run may go: all but the newest, the first one with a hack, every Nth step's, and the last.

The first with a hack: of those whose rows hold a student's hack, the one of the lowest step. It stands from when it was
published, so the rule needs no memory. The last step's is the newest, and stays with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from core.spec import TrainConfig


def first_hack(rows: Iterable[Mapping[str, Any]]) -> int | None:
    """The first step in which a student's completion was a hack; None: none was."""
    return next((row["step"] for row in rows if row.get("hack_s")), None)


def outdated(steps: Sequence[int], newest: Sequence[int], hacked: int | None, config: TrainConfig) -> list[int]:
    """Of the standing `steps`, those that nothing keeps; `newest` are the ones that a resume may go back to."""
    with_hack = min((step for step in steps if hacked is not None and step >= hacked), default=None)
    every = config.keep_every
    return [s for s in steps if s not in newest and s != with_hack and not (every and s % every == 0)]
