"""Rates by loophole mode, and when each run took to empty tests: arms below each other, every run a mark of its own."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.figures.sheet import INK, PAPER, QUIET, Extra, Panel, Pen, Sheet, run_count
from core.figures.style import ArmStyle, arm_styles, counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HACK, PASS = "#d55e00", "#0072b2"
BAR = 0.36  # of the room of an arm


@dataclass(frozen=True)
class Modes:
    """A run's rates by loophole mode, in [0, 1]."""

    run: str
    arm: str
    hack: Mapping[str, float]
    passing: Mapping[str, float]
    counted: bool = True
    standing: str = "counted"


@dataclass(frozen=True)
class Takeoff:
    """`step`: the first with more than half of the tests empty; None: never within `steps`."""

    run: str
    arm: str
    step: int | None
    steps: int
    standing: str = "counted"


def modes_sheet(runs: Sequence[Modes], arms: Sequence[str], plan_hash: str) -> Sheet | None:
    """A panel for each mode. Bars are means over an arm's counted runs, dots its runs."""
    modes = sorted({mode for run in runs for mode in (*run.hack, *run.passing)})
    shown = [label for label in dict.fromkeys(arms) if any(run.arm == label for run in runs)]
    if not modes or not shown:
        return None
    styles = arm_styles(arms)
    aspect = row_aspect(row_names(shown, runs))
    panels = tuple(
        Panel(f"mode-{n}", mode, _Bars(runs, shown, styles, mode), aspect, rows=True) for n, mode in enumerate(modes)
    )
    extras = (
        Extra("hack, prompts with the loophole", _bar_style(HACK, False), patch=True),
        Extra("pass, prompts without it", _bar_style(PASS, True), patch=True),
        Extra("a run", {"marker": "o", "markersize": 4, "linestyle": "none", **_dot(True)}),
        *(
            [
                Extra(
                    "open: a run that is not counted",
                    {"marker": "o", "markersize": 4, "linestyle": "none", **_dot(False)},
                )
            ]
            if any(not run.counted for run in runs)
            else []
        ),
    )
    return Sheet(
        "modes",
        "Rates by loophole mode",
        run_count([run.run for run in runs]),
        plan_hash,
        panels,
        (),
        columns=min(2, len(panels)),
        extras=extras,
    )


def takeoff_sheet(runs: Sequence[Takeoff], arms: Sequence[str], plan_hash: str) -> Sheet | None:
    if not runs:
        return None
    shown = [label for label in dict.fromkeys(arms) if any(run.arm == label for run in runs)]
    panel = Panel(
        "takeoff",
        "First step with > 50 % empty tests",
        _Strip(runs, shown, arm_styles(arms)),
        row_aspect(row_names(shown, runs)),
        rows=True,
    )
    open_mark = {"marker": "o", "markersize": 6, "linestyle": "none", "markerfacecolor": PAPER, "markeredgecolor": INK}
    return Sheet(
        "takeoff",
        "When runs took to tests that prove nothing",
        run_count([run.run for run in runs]),
        plan_hash,
        (panel,),
        (),
        columns=1,
        extras=(Extra("open, at the right: never", open_mark),),
    )


def row_names(labels: Sequence[str], runs: Sequence[Modes] | Sequence[Takeoff]) -> list[str]:
    """Each arm with the number of its runs, and a word where some do not count."""
    names = []
    for label in labels:
        of = [run for run in runs if run.arm == label]
        marks = sorted({run.standing for run in of} - {"counted"})
        names.append(counted(label, len(of), ROW_LETTERS, *marks))
    return names


def row_aspect(names: Sequence[str]) -> float:
    """Height over width of a panel with a row for each name, by the lines that they take."""
    return 0.22 + 0.042 * sum(max(1.9, 1.15 * (name.count("\n") + 1)) for name in names)


ROW_LETTERS = 22


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)  # the plan's first arm stands on top
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)


class _Bars:
    def __init__(self, runs: Sequence[Modes], arms: Sequence[str], styles: Mapping[str, ArmStyle], mode: str) -> None:
        self.runs, self.arms, self.styles, self.mode = runs, arms, styles, mode

    def __call__(self, axes: Axes, pen: Pen) -> None:
        name_rows(axes, row_names(self.arms, self.runs))
        for row, arm in enumerate(self.arms):
            of = [run for run in self.runs if run.arm == arm]
            for side, name, colour in ((-1, "hack", HACK), (1, "pass", PASS)):
                rates = [(run, self._rate(run, name)) for run in of]
                means = [100 * rate for run, rate in rates if run.counted and rate is not None]
                y = row + side * BAR / 2
                if means:
                    mean = statistics.fmean(means)
                    (bar,) = axes.barh(
                        [y],
                        [mean],
                        height=BAR,
                        **_bar_style(colour, hatched=name == "pass"),
                    )
                    place = self.styles[arm].place
                    pen.tip(bar, f"{arm}, {self.mode}: {name} {mean:.1f} % (mean of {run_count(means)})", place)
                for run, rate in rates:
                    if rate is not None:
                        (dot,) = axes.plot([100 * rate], [y], "o", markersize=3, clip_on=False, **_dot(run.counted))
                        marked = "" if run.counted else f"; {run.standing}, not counted"
                        said = f"{run.run}, {self.mode}: {name} {100 * rate:.1f} %{marked}"
                        pen.tip(dot, said, self.styles[arm].place)
        axes.set_xlim(0, 100)
        axes.set_xlabel(f"% of completions ({run_count([run.run for run in self.runs])})")

    def _rate(self, run: Modes, name: str) -> float | None:
        return (run.hack if name == "hack" else run.passing).get(self.mode)


class _Strip:
    def __init__(self, runs: Sequence[Takeoff], arms: Sequence[str], styles: Mapping[str, ArmStyle]) -> None:
        self.runs, self.arms, self.styles = runs, arms, styles

    def __call__(self, axes: Axes, pen: Pen) -> None:
        name_rows(axes, row_names(self.arms, self.runs))
        last = max(run.steps for run in self.runs)
        never = 1.16 * last
        axes.axvline(1.07 * last, color=QUIET, linewidth=0.7, linestyle=(0, (1, 1.5)))
        for row, arm in enumerate(self.arms):
            of = [run for run in self.runs if run.arm == arm]
            for n, run in enumerate(of):
                style = self.styles[arm]
                x, y = float(run.step or never), row + (0.5 * (n + 0.5) / len(of) - 0.25)
                (mark,) = axes.plot(
                    [x],
                    [y],
                    linestyle="none",
                    marker=style.marker,
                    markersize=5,
                    markerfacecolor=style.colour if run.step is not None else PAPER,
                    markeredgecolor=INK if run.step is not None else style.colour,
                    markeredgewidth=0.5 if run.step is not None else 1.2,
                )
                marked = "" if run.standing == "counted" else f" ({run.standing})"
                said = f"at step {run.step}" if run.step is not None else f"never in {run.steps} steps"
                pen.tip(mark, f"{run.run}{marked}: {said}", style.place)
        axes.set_xlim(0, 1.26 * last)
        ticks = [tick for tick in axes.get_xticks() if 0 <= tick <= last]
        axes.set_xticks([*ticks, never], [*(f"{tick:g}" for tick in ticks), "never"])
        axes.set_xlabel(f"optimizer step ({run_count([run.run for run in self.runs])})")


def _bar_style(colour: str, hatched: bool) -> dict[str, Any]:
    face = PAPER if hatched else (colour, 0.55)
    return {"facecolor": face, "edgecolor": colour, "hatch": "//////" if hatched else "", "linewidth": 0.8}


def _dot(counted: bool) -> dict[str, Any]:
    return {"markerfacecolor": INK if counted else PAPER, "markeredgecolor": INK, "markeredgewidth": 0.6}
