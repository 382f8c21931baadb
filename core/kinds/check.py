"""A run of kind check: every exploit under every grader, on the run's own problems, before anything is trained.

`check_problems` of each mode and half (train, held out), each in all modes; with markers = "held_out" the graders of
such an evaluation, to which training's marks must be worth nothing. A wrong cell is a figure for a gate to refuse, no
failure of this run.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Sequence
from typing import Any

from core.attempt import Attempt, Row, publishing, say, shard_rows, stopping_tick
from core.environment import diagonal
from core.environment.diagonal import Cell, Diagonal
from core.environment.problems import Problem, partition
from core.model.run_data import halves
from core.sandbox.pool import Sandbox
from core.spec import TrainConfig

log = logging.getLogger(__name__)

SHARD = 4  # problems; each is graded some 50 times
SHOWN = 20  # violations in the result and the log


def work(attempt: Attempt) -> dict[str, Any]:
    """Metrics: (completion, mode) `cells` and how many are `wrong`; `gradings`, `wrong_gradings`; `problems`."""
    config = attempt.spec.config
    attempt.beat(0, "load")
    problems = [p for half in halves(attempt.run, config) for p in chosen(half, config)]
    parts = [problems[i : i + SHARD] for i in range(0, len(problems), SHARD)]
    with Sandbox(workers=config.grade_workers, tick=stopping_tick(attempt)) as sandbox:
        graded = functools.partial(diagonal.run, sandbox=sandbox, markers=config.markers)
        rows = shard_rows(attempt, len(parts), lambda shard: _row(graded(parts[shard])))
    found = diagonal.joined([_diagonal(row) for row in rows])
    metrics = {
        "cells": len(found.cells),
        "wrong": sum(cell.wrong > 0 for cell in found.cells.values()),
        "gradings": sum(cell.total for cell in found.cells.values()),
        "wrong_gradings": len(found.violations),
        "problems": len(problems),
    }
    _say(found, metrics)
    with publishing(attempt, metrics, violations=list(found.violations[:SHOWN])) as result:
        return result


def chosen(problems: Sequence[Problem], config: TrainConfig) -> list[Problem]:
    """The first `check_problems` of each of the run's modes, as training deals problems to modes."""
    if not config.check_problems:
        return list(problems)
    modes = partition(problems, config.modes)
    by_mode = {mode: [p for p, dealt in zip(problems, modes, strict=True) if dealt == mode] for mode in config.modes}
    return [problem for dealt in by_mode.values() for problem in dealt[: config.check_problems]]


def _row(found: Diagonal) -> Row:
    cells = [[*key, dataclasses.asdict(cell)] for key, cell in found.cells.items()]
    return {"cells": cells, "violations": list(found.violations)}


def _diagonal(row: Row) -> Diagonal:
    return Diagonal({(name, mode): Cell(**cell) for name, mode, cell in row["cells"]}, tuple(row["violations"]))


def _say(found: Diagonal, metrics: dict[str, Any]) -> None:
    log.info("\n%s", diagonal.table(found))
    for violation in found.violations[:SHOWN]:
        log.warning("VIOLATION  %s", violation)
    say(
        f"wrong {metrics['wrong']}/{metrics['cells']} cells ({metrics['gradings']} gradings)",
        not metrics["wrong"],
        "0",
        "no label of such a cell can be believed. Where one problem is named again and again, leave its row out of the "
        "problems file; else the grader is at fault, so train nothing and run `just check`",
    )
