"""Work without checkpoints, in shards: a finished one is a row on disk, and a later attempt begins after it.

A shard depends on the run's spec and its own number alone, so rows of several attempts are what one would have written.
Rows of another machine are left aside, unless the plan said same_machine=false: the shards are worked again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from core.attempt import Attempt
from core.runs import durable

FILE = "shards.jsonl"
Row = dict[str, Any]  # JSON, so that a row that was read equals the one that was written


def rows(attempt: Attempt, count: int, work: Callable[[int], Row]) -> list[Row]:
    """`work(shard)` for shards 0 to count - 1, those that are finished read. Raises Preempted between two of them."""
    done = _finished(attempt)
    for shard in range(count):
        if shard in done:
            continue
        attempt.stop_if_asked()
        attempt.beat(0, f"shard {shard + 1}/{count}")
        done[shard] = {"shard": shard, "machine": attempt.machine, **work(shard)}
        attempt.require_disk()
        durable.append_line(attempt.folder / FILE, done[shard])
    return [done[shard] for shard in range(count)]


def _finished(attempt: Attempt) -> dict[int, Row]:
    anywhere = not attempt.spec.config.same_machine
    found = attempt.run.merged(FILE, ("shard",))
    return {row["shard"]: row for row in found if anywhere or row["machine"] == attempt.machine}
