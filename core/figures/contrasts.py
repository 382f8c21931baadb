"""Differences with their intervals: what each contrast says about the hack rate, and about the pass rate beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.figures.bars import ROW_LETTERS, name_rows
from core.figures.sheet import GRID, INK, PAPER, Extra, Panel, Pen, Sheet
from core.figures.style import wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Bounds = tuple[float, float]


@dataclass(frozen=True)
class Difference:
    """Of one rate, in percentage points, treatment minus baseline. `by_seed` in the order of the seeds."""

    value: float
    bounds: Bounds | None
    by_seed: tuple[float, ...] = ()
    band: float | None = None  # pass only


@dataclass(frozen=True)
class Effect:
    purpose: str
    treatment: str
    baseline: str
    seeds: tuple[int, ...]
    n_problems: int
    hack: Difference | None
    passing: Difference | None

    @property
    def name(self) -> str:
        return f"{self.purpose}: {self.treatment} - {self.baseline}"


def contrasts_sheet(effects: Sequence[Effect], plan_hash: str) -> Sheet | None:
    """None where no contrast has a figure yet."""
    shown = [effect for effect in effects if effect.hack is not None or effect.passing is not None]
    if not shown:
        return None
    panels = tuple(
        Panel(name, title, _Forest(shown, name), _aspect(shown), rows=True)
        for name, title in (("hack", "Hack rate, points"), ("pass", "Pass rate, points"))
    )
    extras = [
        Extra("difference and 95 % interval over problems", {"color": INK, "marker": "s", "markersize": 4.5}),
        Extra("one seed", {"marker": "o", "markersize": 3.5, "markerfacecolor": PAPER, "markeredgecolor": INK}
              | {"linestyle": "none"}),
    ]  # fmt: skip
    if any(effect.passing and effect.passing.band for effect in shown):
        extras.append(Extra("band of equivalence", {"facecolor": GRID, "alpha": 0.45, "linewidth": 0}, patch=True))
    problems = sorted({effect.n_problems for effect in shown})
    n = f"n = {problems[0]}" + ("" if len(problems) == 1 else f" to {problems[-1]}")
    return Sheet(
        "contrasts",
        "Contrasts, treatment minus baseline",
        f"{n} problems a contrast",
        plan_hash,
        panels,
        (),
        extras=tuple(extras),
    )


def _label(effect: Effect, baseline: bool) -> str:
    """The baseline too where contrasts have different ones."""
    against = f" - {effect.baseline}" if baseline else ""
    words = wrapped(f"{effect.purpose}: {effect.treatment}{against}", ROW_LETTERS)
    return f"{words}\n(n = {len(effect.seeds)} seed{'' if len(effect.seeds) == 1 else 's'})"


def _aspect(effects: Sequence[Effect]) -> float:
    several = _several(effects)
    return 0.24 + 0.042 * sum(1.1 * (_label(effect, several).count("\n") + 1) + 0.3 for effect in effects)


def _several(effects: Sequence[Effect]) -> bool:
    return len({effect.baseline for effect in effects}) > 1


class _Forest:
    def __init__(self, effects: Sequence[Effect], rate: str) -> None:
        self.effects, self.rate = effects, rate

    def __call__(self, axes: Axes, pen: Pen) -> None:
        from matplotlib.patches import Rectangle

        name_rows(axes, [_label(effect, _several(self.effects)) for effect in self.effects])
        axes.axvline(0, color=INK, linewidth=0.8)
        for row, effect in enumerate(self.effects):
            found = effect.hack if self.rate == "hack" else effect.passing
            if found is None:
                continue
            if found.band:
                axes.add_patch(
                    Rectangle((-found.band, row - 0.5), 2 * found.band, 1.0, facecolor=GRID, alpha=0.45, linewidth=0)
                )
            for value in found.by_seed if len(effect.seeds) > 1 else ():
                axes.plot([value], [row + 0.26], "o", markersize=3.5, markerfacecolor=PAPER, markeredgecolor=INK,
                          markeredgewidth=0.7)  # fmt: skip
            if found.bounds:
                axes.plot(found.bounds, [row, row], color=INK, linewidth=1.3)
            (mark,) = axes.plot([found.value], [row], "s", markersize=4.5, color=INK)
            between = "" if found.bounds is None else f" ({found.bounds[0]:+.1f} to {found.bounds[1]:+.1f})"
            pen.tip(
                mark, f"{effect.name}: {self.rate} {found.value:+.1f} points{between}, n = {effect.n_problems} problems"
            )
        low, high = axes.get_xlim()
        axes.set_xlim(min(low, -2.0), max(high, 2.0))
        base = self.effects[0].baseline
        same = len(base) < 24 and not _several(self.effects)
        axes.set_xlabel(f"points, minus {base}" if same else "points, minus baseline")
