"""When attempts lived, and how long the box was busy with them. Reads only; standard library only."""

from __future__ import annotations

import time
from collections.abc import Iterable

from core.runs import durable
from core.runs.run_dir import RunDir

Span = tuple[float, float | None]  # Unix seconds of claim and end; the end is None while it lives


def lifetime(run: RunDir, number: int) -> Span | None:
    """Of a killed attempt the last beat is taken for the end; None: nothing is known of it."""
    path = run.attempt(number)
    try:
        claimed = (path / "lock").stat().st_mtime
    except FileNotFoundError:
        return None
    beat = run.heartbeat(number) or {}
    first = beat.get("started_clock")
    if run.is_alive(number):
        return (claimed if first is None else time.time() - (time.monotonic() - first)), None
    end = beat.get("beat", claimed)
    for name in ("exit.json", "error.json"):
        row = durable.read_json(path / name)
        if row is not None and "time" in row:
            end = row["time"]
            break
    if first is not None:  # a wall clock that was set meanwhile lengthens nothing
        return end - max(0.0, beat.get("clock", first) - first), end
    return claimed, max(claimed, end)


def lifetimes(run: RunDir) -> list[Span]:
    return [span for number in run.attempts() if (span := lifetime(run, number)) is not None]


def total_seconds(spans: Iterable[Span]) -> float:
    now = time.time()
    return sum(max(0.0, (now if end is None else end) - start) for start, end in spans)


def busy_seconds(spans: Iterable[Span]) -> float:
    """Length of the union: a box is paid once, however many runs share it."""
    now, busy, until = time.time(), 0.0, float("-inf")
    for start, end in sorted((start, now if end is None else end) for start, end in spans):
        busy += max(0.0, end - max(start, until))
        until = max(until, end)
    return busy
