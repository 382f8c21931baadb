"""A small file that says the loop is alive, where it is, and how fast: replaced whole at every step and phase.

Ages and paces are taken from `clock`, the monotonic one: a wall clock that jumps must make no sound loop look stalled.
"""

from __future__ import annotations

import time
from typing import Any

from core.runs import durable, host_memory
from core.runs.run_dir import Claim, identity

TICK_S = 5.0
SMOOTHING = 0.3  # weight of the newest step in seconds_per_step


class Heartbeat:
    """The loop's own thread beats, so a hung loop falls silent."""

    def __init__(self, claim: Claim, steps: int | None) -> None:
        self.claim = claim
        self.paced, self.paced_at = 0, 0.0  # the step at which the pace was last taken, and when
        self.row: dict[str, Any] = identity() | {
            "attempt": claim.number,
            "started": time.time(),
            "started_clock": time.monotonic(),
            "step": 0,
            "steps": steps,
            "step_at": None,
            "seconds_per_step": None,
            "checkpoint_step": None,
            "oom": host_memory.oom_kills(),  # what a killed worker cannot say: core.runs.host_memory
        }

    def beat(self, step: int, phase: str) -> None:
        """`step`: the last finished one. The pace covers whole steps, evaluations and checkpoints included."""
        clock, row = time.monotonic(), self.row
        if phase == "generate":
            if row["step_at"] is not None and step > self.paced:
                took = (clock - self.paced_at) / (step - self.paced)
                last = row["seconds_per_step"] or took
                row["seconds_per_step"] = round(last + SMOOTHING * (took - last), 4)
            row["step_at"], self.paced, self.paced_at = time.time(), step, clock
        if phase in ("ready", "saved") and step:
            row["checkpoint_step"] = step
        row |= {"step": step, "phase": phase}
        self._write()

    def tick(self) -> None:
        """Beat again if the last one is TICK_S old: a phase of a large model can take many minutes."""
        if time.monotonic() - self.row.get("clock", 0.0) >= TICK_S:
            self._write()

    def _write(self) -> None:
        self.row |= {"beat": time.time(), "clock": time.monotonic()}
        if self.row["oom"]:
            count = host_memory.count_at(self.row["oom"]["path"])
            self.row["oom"]["count"] = self.row["oom"]["count"] if count is None else count
        durable.replace_json_fast(self.claim.path / "heartbeat.json", self.row)
