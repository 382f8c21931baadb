"""One attempt at a run: what its work needs of the process around it, how it ends early, what it leaves.

Work without checkpoints is cut into shards: a finished one is a row on disk, and a later attempt begins after it. A
shard depends on the run's spec and its own number alone, so rows of several attempts are what one would have written.
Rows of another machine are left aside, unless the plan said same_machine=false: the shards are worked again.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.runs import durable
from core.runs.run_dir import RunDir
from core.spec import SCHEMA, RunSpec

log = logging.getLogger(__name__)

SHARDS = "shards.jsonl"
Row = dict[str, Any]  # JSON, so that a row that was read equals the one that was written
STOP_CHECK_S = 0.25  # a check reads files; a tick comes with every token


class Preempted(Exception):
    """Somebody wants this process to end, and what is worth keeping is kept. Worker exit code 75."""


@dataclass(frozen=True)
class Attempt:
    run: RunDir
    spec: RunSpec
    number: int
    machine: dict[str, str]
    beat: Callable[[int, str], None]  # (last finished step, phase); kinds without steps say step 0
    tick: Callable[[], None]  # within a phase: still at it
    wants_stop: Callable[[], bool]
    require_disk: Callable[[], None]  # raises below the plan's floor

    @property
    def folder(self) -> Path:
        return self.run.attempt(self.number)

    def stop_if_asked(self) -> None:
        """Raises Preempted. For work that changes nothing between two units, wherever it stands."""
        if self.wants_stop():
            raise Preempted("stopped; finished units of work are kept, the one under way begins anew")


class Notice:
    """A tick that also ends the work where that is wanted and where it may end: a step of a large model takes longer
    than a preempted box is given."""

    def __init__(self, attempt: Attempt, everywhere: bool = False) -> None:
        self._attempt, self._open, self._asked = attempt, everywhere, time.monotonic()

    def tick(self) -> None:
        self._attempt.tick()
        if self._open and time.monotonic() - self._asked >= STOP_CHECK_S:
            self._asked = time.monotonic()
            self._attempt.stop_if_asked()

    @contextlib.contextmanager
    def may_stop(self) -> Iterator[None]:
        """Within: nothing is changed that would have to be put back."""
        self._open = True
        try:
            yield
        finally:
            self._open = False


def stopping_tick(attempt: Attempt) -> Callable[[], None]:
    """For work that changes nothing between two units, wherever it stands."""
    return Notice(attempt, everywhere=True).tick


# ---- work without checkpoints, in shards
def shard_rows(attempt: Attempt, count: int, work: Callable[[int], Row]) -> list[Row]:
    """`work(shard)` for shards 0 to count - 1, those that are finished read. Raises Preempted between two of them."""
    done = _finished_shards(attempt)
    for shard in range(count):
        if shard in done:
            continue
        attempt.stop_if_asked()
        attempt.beat(0, f"shard {shard + 1}/{count}")
        done[shard] = {"shard": shard, "machine": attempt.machine, **work(shard)}
        attempt.require_disk()
        durable.append_line(attempt.folder / SHARDS, done[shard])
    return [done[shard] for shard in range(count)]


def _finished_shards(attempt: Attempt) -> dict[int, Row]:
    anywhere = not attempt.spec.config.same_machine
    found = attempt.run.merged(SHARDS, ("shard",))
    return {row["shard"]: row for row in found if anywhere or row["machine"] == attempt.machine}


# ---- the end
@contextlib.contextmanager
def publishing(attempt: Attempt, metrics: dict[str, Any], **more: Any) -> Iterator[dict[str, Any]]:
    """result.json's content, written as the context ends; what belongs to it is written within, lock held."""
    attempt.require_disk()
    result = result_head(attempt) | {"metrics": metrics} | more
    with attempt.run.commit(attempt.number, "result"):
        yield result
        durable.write_json(attempt.run.result_path, result)


def result_head(attempt: Attempt) -> dict[str, Any]:
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
