"""Which figures a report has: its data in the plain form that core's figures take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from core.figures.bars import Modes, Takeoff, modes_sheet, takeoff_sheet
from core.figures.contrasts import Difference, Effect, contrasts_sheet
from core.figures.curves import Track, arms_sheet, diagnostics_sheet, overview_sheet
from core.figures.scatter import COLLAPSED, COUNTED, EXCLUDED, Point, Region, scatter_sheet
from core.figures.sheet import Sheet, save
from orchestrator.report.model import Comparison, Contrast, Report, RunRow

GROUPS = ("scatter", "contrasts", "curves", "diagnostics", "modes")


def sheets(report: Report) -> dict[str, list[Sheet]]:
    """By section of the page; a figure without data is left out."""
    arms, plan_hash = [arm.label for arm in report.arms], report.plan["hash"]
    tracks = _tracks(report)
    found: dict[str, list[Sheet | None]] = {
        "scatter": [_scatter(report, arms)],
        "contrasts": [contrasts_sheet([_effect(c) for c in report.contrasts if not c.blinded], plan_hash)],
        "curves": [overview_sheet(tracks, arms, plan_hash), arms_sheet(tracks, arms, plan_hash)],
        "diagnostics": [diagnostics_sheet(tracks, arms, plan_hash)],
        "modes": [modes_sheet(_modes(report), arms, plan_hash), takeoff_sheet(_takeoffs(report), arms, plan_hash)],
    }
    return {group: [sheet for sheet in found[group] if sheet is not None] for group in GROUPS}


def write_figures(report: Report, folder: Path) -> dict[str, Path]:
    """Every figure as PNG and SVG: {"scatter.png": path, ...}."""
    paths: dict[str, Path] = {}
    for of_group in sheets(report).values():
        for sheet in of_group:
            paths |= {path.name: path for path in save(sheet, folder).values()}
    return paths


def standing(row: RunRow) -> str:
    """A word for a run that does not count: why it does not."""
    if row.counted:
        return COUNTED
    if row.state != "done":
        return row.state
    return COLLAPSED if row.collapsed else "blinded" if row.blinded else EXCLUDED


def _shown(report: Report) -> list[RunRow]:
    """Runs that have outcomes."""
    return [row for row in report.runs if row.rates.get("hack_rate") is not None]


def _scatter(report: Report, arms: Sequence[str]) -> Sheet | None:
    points = [
        Point(
            f"{row.label}-s{row.seed}",
            row.label,
            passing,
            hack,
            row.bounds.get("pass_rate"),
            row.bounds.get("hack_rate"),
            standing(row),
            row.n_hinted,
        )
        for row in _shown(report)
        if (hack := row.rates.get("hack_rate")) is not None and (passing := row.rates.get("pass_rate")) is not None
    ]
    if not points:
        return None
    rebound = [row.label for row in report.runs if row.arm.startswith("rebound")]
    base = report.base or {}
    spot = (base["pass_rate"], base["hack_rate"]) if {"pass_rate", "hack_rate"} <= base.keys() else None
    if spot is not None and None in spot:
        spot = None
    t = report.target
    region = Region(t.text, t.pass_low, t.pass_high, t.hack_at_most) if t else None
    return scatter_sheet(points, arms, report.plan["hash"], tuple(dict.fromkeys(rebound)), spot, region)


def _tracks(report: Report) -> list[Track]:
    rows = {f"{row.label}-s{row.seed}": row for row in report.runs}
    return [
        Track(
            curve.run,
            curve.label,
            curve.seed,
            curve.steps,
            curve.columns,
            curve.eval_steps,
            curve.evals,
            standing(rows[curve.run]) if curve.run in rows else COUNTED,
        )
        for curve in report.curves
    ]


def _modes(report: Report) -> list[Modes]:
    return [
        Modes(f"{row.label}-s{row.seed}", row.label, row.hack_by_mode, row.pass_by_mode, row.counted, standing(row))
        for row in _shown(report)
    ]


def _takeoffs(report: Report) -> list[Takeoff]:
    return [
        Takeoff(f"{row.label}-s{row.seed}", row.label, row.takeoff_step, row.steps, standing(row))
        for row in _shown(report)
    ]


def _effect(contrast: Contrast) -> Effect:
    def difference(c: Comparison | None, name: str) -> Difference | None:
        if c is None or c.difference is None:
            return None
        seeds = [row.get(f"{name}_difference") for row in contrast.by_seed]
        return Difference(c.difference, c.bounds, tuple(s for s in seeds if s is not None), c.band)

    return Effect(
        contrast.purpose,
        contrast.treatment,
        contrast.baseline,
        contrast.seeds,
        max((c.n_problems for c in (contrast.hack, contrast.passing) if c), default=0),
        difference(contrast.hack, "hack"),
        difference(contrast.passing, "pass"),
    )
