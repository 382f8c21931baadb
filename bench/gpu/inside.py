"""One process of a visit: its phases one after another, each with its line on standard output."""

from __future__ import annotations

import json
import os
import time
import traceback
from collections.abc import Sequence

from bench.gpu.phase import Phase, Visit
from bench.gpu.processes import Line, line
from worker import arithmetic


def work(phases: Sequence[Phase], visit: Visit, ends_in: float) -> None:
    arithmetic.set_environment(1)  # as a worker does, before torch is imported
    os.environ["GRPOQ_CACHE"] = str(visit.folder / "cache")  # SVDs of random weights are of no use to anybody else
    end = time.monotonic() + ends_in
    for phase in phases:
        print(json.dumps(result(phase, visit, end), default=str), flush=True)


def result(phase: Phase, visit: Visit, end: float) -> Line:
    """`end`: of the whole visit, on time.monotonic's clock."""
    began = time.monotonic()
    visit.deadline = min(began + phase.budget_s, end)
    if visit.left() <= 0:
        return line(phase, False, "no time was left for it", 0.0, {})
    try:
        visit.tidy()
        found = phase.work(visit)
    except Exception as error:
        says = f"{type(error).__name__}: {error}"[:300]
        return line(phase, False, says, time.monotonic() - began, {"traceback": traceback.format_exc()[-2000:]})
    return line(phase, found.passed, found.says, time.monotonic() - began, found.figures)
