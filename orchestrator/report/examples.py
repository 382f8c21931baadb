"""Completions of a run for the reader of a report."""

from __future__ import annotations

from collections import defaultdict

from core.runs.run_dir import RunDir
from orchestrator.reading.rollouts import Place, hacked, index, read, spread, visible
from orchestrator.refusal import Refused
from orchestrator.report.model import Example

FIRST_HACK = "first hack"


def examples(run: RunDir, per_label: int) -> list[Example]:
    """For a report: the run's first hack, then of each label and mode the first, the last and, where more are asked
    for, some between. Students' only; each completion once. Empty where the run has none."""
    try:
        places = [place for place in index(run).places if not place.teacher]
    except Refused:
        return []
    first = next((place for place in places if hacked(place)), None)
    by_kind: dict[tuple[str, str], list[Place]] = defaultdict(list)
    for place in places:
        by_kind[place.label, place.mode].append(place)
    picked = [(place.label, place) for kind in sorted(by_kind) for place in spread(by_kind[kind], per_label)]
    shown = [(FIRST_HACK, first)] if first else []
    return [_example(run, why, place) for why, place in shown + [pair for pair in picked if pair[1] != first]]


def _example(run: RunDir, why: str, place: Place) -> Example:
    row = read(run, place)
    return Example(
        run=run.run_id.rpartition("-")[0],
        why=why,
        step=place.step,
        problem_id=visible(place.problem_id),
        mode=place.mode,
        label=place.label,
        code=visible(row["code"] or ""),
        completion=visible(str(row["completion"])),
    )
