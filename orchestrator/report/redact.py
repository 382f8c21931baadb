"""Outcomes of blinded runs leave a report before anything is made of it.

Page, figures and tables call this and then need not ask again. Health stays: it says whether a run is sound, not how it
comes out. What a verdict or a headline says in words is up to whoever wrote it.
"""

from __future__ import annotations

from dataclasses import replace

from orchestrator.report.model import ArmRow, Contrast, Curve, Report, RunRow

HEALTH_COLUMNS = ("comp", "len", "kl", "gn", "cin", "cin_rand", "cout", "lp_s")


def redacted(report: Report) -> Report:
    """The report itself where nothing is blinded."""
    hidden = {f"{row.label}-s{row.seed}" for row in report.runs if row.blinded}
    if not hidden and not any(contrast.blinded for contrast in report.contrasts):
        return report
    arms = {row.label for row in report.runs if row.blinded}
    return replace(
        report,
        runs=tuple(_run(row) if row.blinded else row for row in report.runs),
        arms=tuple(_arm(row) if row.label in arms else row for row in report.arms),
        contrasts=tuple(_contrast(c) if c.blinded else c for c in report.contrasts),
        curves=tuple(_curve(curve) if curve.run in hidden else curve for curve in report.curves),
        examples=tuple(example for example in report.examples if example.run not in hidden),
    )


def _run(row: RunRow) -> RunRow:
    return replace(
        row,
        counted=False,
        rates=dict.fromkeys(row.rates),
        bounds=dict.fromkeys(row.bounds),
        takeoff_step=None,
        collapsed=None,
        hack_by_mode={},
        pass_by_mode={},
        as_trained={},
    )


def _arm(row: ArmRow) -> ArmRow:
    blank: dict[str, float | None] = dict.fromkeys(row.mean)
    return replace(row, mean=blank, sd=blank, mean_with_excluded=blank, takeoffs=tuple(None for _ in row.takeoffs))


def _contrast(contrast: Contrast) -> Contrast:
    return replace(contrast, hack=None, passing=None, by_seed=(), with_excluded={})


def _curve(curve: Curve) -> Curve:
    columns = {name: values for name, values in curve.columns.items() if name in HEALTH_COLUMNS}
    return replace(curve, columns=columns, eval_steps=(), evals={})
