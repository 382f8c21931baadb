"""Columns of a run by optimizer step: a thin line for each seed, never a band or a mean over seeds.

With three seeds an interval would say more than is known. Panels of one arm show its rates together, panels of one
column all arms. A step's own value is mostly noise: it is drawn as the mean of that step and the four before it, and
the title says so. Evaluations on held-out problems are drawn as they are. Where a step has no value a line stops and
begins anew: nothing is drawn across what is not known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.figures.sheet import Extra, Panel, Pen, Sheet, run_count
from core.figures.style import ArmStyle, arm_styles, counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SMOOTHED = 5  # steps
LOG_FROM = 30.0  # largest over smallest value from which an axis is logarithmic


@dataclass(frozen=True)
class Track:
    """A run's columns. `columns` by step; `evals` (hack_rate, pass_rate) by evaluation. None: no value at that step."""

    run: str
    arm: str
    seed: int
    steps: tuple[int, ...]
    columns: Mapping[str, tuple[float | None, ...]]
    eval_steps: tuple[int, ...] = ()
    evals: Mapping[str, tuple[float | None, ...]] | None = None
    standing: str = "counted"  # or why it does not count, in a word: collapsed, excluded, running

    def points(self, name: str) -> list[tuple[int, float]]:
        return _known(self.steps, self.columns.get(name, ()))

    def eval_points(self, name: str) -> list[tuple[int, float]]:
        return _known(self.eval_steps, (self.evals or {}).get(name, ()))


def _known(steps: Sequence[int], values: Sequence[float | None]) -> list[tuple[int, float]]:
    return [(s, v) for s, v in zip(steps, values, strict=False) if v is not None and math.isfinite(v)]


@dataclass(frozen=True)
class Column:
    name: str
    words: str
    colour: str
    dash: tuple[float, ...]


OF_AN_ARM = (
    Column("hack_s", "hack_s: strict hacks", "#d55e00", ()),
    Column("gt_s", "gt_s: solved", "#0072b2", (4, 1.5)),
    Column("empty", "empty: tests that prove nothing", "#6b6b6b", (1, 1.5)),
)
OVERVIEW = (("hack_s", "hack_s, in training"), ("gt_s", "gt_s, in training"))
EVALUATED = (("hack_rate", "hack rate, held-out problems"), ("pass_rate", "pass rate, held-out problems"))
DIAGNOSTICS = (
    ("cos_align", "cos_align, towards the hack", None),
    ("cin", "cin (dotted: cin_rand)", "cin_rand"),
    ("cout", "cout, of the change", None),
    ("kl", "kl, nats a token", None),
    ("lp_s", "lp_s, nats a token", None),
    ("gn", "gn, gradient norm", None),
    ("comp", "comp, share that compiles", None),
    ("len", "len, tokens a completion", None),
)


def overview_sheet(tracks: Sequence[Track], arms: Sequence[str], plan_hash: str) -> Sheet | None:
    """Rates of all runs by step; None where no run shows any."""
    styles = arm_styles(arms)
    panels = []
    for name, words in OVERVIEW:
        shown = [track for track in tracks if track.points(name)]
        if shown:
            panels.append(Panel(name, words, _of_all(shown, styles, name, False, top=_top(shown, name))))
    for name, words in EVALUATED:
        shown = [track for track in tracks if track.eval_points(name)]
        if shown:
            panels.append(Panel(name, words, _of_all(shown, styles, name, True, top=_top(shown, name))))
    if not panels:
        return None
    shown = [t for t in tracks if any(t.points(n) for n, _ in OVERVIEW) or any(t.eval_points(n) for n, _ in EVALUATED)]
    return Sheet(
        "curves",
        f"Rates by step, a line for each run; in training {SMOOTHED}-step means",
        run_count([track.run for track in shown]),
        plan_hash,
        tuple(panels),
        _present(styles, shown),
        with_lines=True,
    )


def arms_sheet(tracks: Sequence[Track], arms: Sequence[str], plan_hash: str) -> Sheet | None:
    """hack_s, gt_s and empty of each arm in a panel of its own, a thin line for each seed."""
    panels = []
    for arm in arms:
        of = [track for track in tracks if track.arm == arm]
        if any(track.points(column.name) for track in of for column in OF_AN_ARM):
            place = list(dict.fromkeys(arms)).index(arm)
            marks = sorted({track.standing for track in of} - {"counted"})
            title = counted(arm, len(of), 26, *marks)
            panels.append(Panel(f"arm-{place}", title, _of_one(of, place), 0.72))
    if not panels:
        return None
    shown = [track for track in tracks if any(track.points(column.name) for column in OF_AN_ARM)]
    extras = tuple(
        Extra(column.words, {"color": column.colour, "linestyle": (0, column.dash or None), "linewidth": 1.4})
        for column in OF_AN_ARM
    )
    return Sheet(
        "curves-by-arm",
        f"Rates in training by arm, a line for each seed; {SMOOTHED}-step means",
        run_count([track.run for track in shown]),
        plan_hash,
        tuple(panels),
        (),
        columns=3,
        extras=extras,
        with_lines=True,
        same_y=True,
    )


def diagnostics_sheet(tracks: Sequence[Track], arms: Sequence[str], plan_hash: str) -> Sheet | None:
    styles = arm_styles(arms)
    panels = []
    for name, words, beside in DIAGNOSTICS:
        shown = [track for track in tracks if track.points(name)]
        if shown:
            panels.append(Panel(name, words, _of_all(shown, styles, name, False, beside, rate=name == "comp")))
    if not panels:
        return None
    shown = [track for track in tracks if any(track.points(name) for name, _, _ in DIAGNOSTICS)]
    return Sheet(
        "diagnostics",
        f"Diagnostics by step, a line for each run; {SMOOTHED}-step means",
        run_count([track.run for track in shown]),
        plan_hash,
        tuple(panels),
        _present(styles, shown),
        columns=3,
        with_lines=True,
    )


class _of_all:
    """Draws one column of all runs, each in its arm's colour and dash."""

    def __init__(
        self,
        tracks: Sequence[Track],
        styles: Mapping[str, ArmStyle],
        name: str,
        evaluated: bool,
        beside: str | None = None,
        rate: bool = True,
        top: float = 100.0,
    ) -> None:
        self.tracks, self.styles, self.name, self.evaluated = tracks, styles, name, evaluated
        self.beside, self.rate, self.top = beside, rate, top

    def __call__(self, axes: Axes, pen: Pen) -> None:
        scale = 100.0 if self.rate else 1.0
        drawn: list[float] = []
        for track in self.tracks:
            style = self.styles[track.arm]
            points = track.eval_points(self.name) if self.evaluated else track.points(self.name)
            shown = [(s, scale * v) for s, v in (points if self.evaluated else smoothed(points))]
            drawn += [value for _, value in shown]
            steps = track.eval_steps if self.evaluated else track.steps
            (line,) = axes.plot(
                *with_gaps(steps, shown),
                color=style.colour,
                linestyle=style.line,
                linewidth=1.0,
                alpha=0.9,
                **({"marker": style.marker, "markersize": 3} if self.evaluated else _lone(steps, shown)),
                clip_on=False,
            )
            pen.line(line, _said(track, self.name), " %" if self.rate else "", shown, style.place)
            beside = smoothed(track.points(self.beside)) if self.beside else []
            if beside:
                (other,) = axes.plot(
                    *with_gaps(track.steps, beside),
                    color=style.colour,
                    linestyle=(0, (1, 1.6)),
                    linewidth=0.8,
                    alpha=0.8,
                    **_lone(track.steps, beside),
                )
                pen.line(other, _said(track, self.beside or ""), "", beside, style.place)
                drawn += [value for _, value in beside]
        top = self.top if self.rate else None
        _axes(axes, drawn, top, f"% of completions ({run_count(self.tracks)})", _last(self.tracks))


class _of_one:
    """Draws the rates of one arm's runs, told apart by column and not by seed."""

    def __init__(self, tracks: Sequence[Track], place: int) -> None:
        self.tracks, self.place = tracks, place

    def __call__(self, axes: Axes, pen: Pen) -> None:
        for column in reversed(OF_AN_ARM):  # hacks on top
            for track in self.tracks:
                points = [(step, 100 * value) for step, value in smoothed(track.points(column.name))]
                if points:
                    (line,) = axes.plot(
                        *with_gaps(track.steps, points),
                        color=column.colour,
                        linestyle=(0, column.dash or None),
                        linewidth=1.0,
                        alpha=0.9,
                        clip_on=False,
                        **_lone(track.steps, points),
                    )
                    pen.line(line, _said(track, column.name), " %", points, self.place)
        _axes(axes, [], 100.0, "% of completions", _last(self.tracks))


def smoothed(points: Sequence[tuple[int, float]], over: int = SMOOTHED) -> list[tuple[int, float]]:
    """Means of each step and the ones before it, at most `over`, that are known; none reaches further back than that
    many steps."""
    found = []
    for n, (step, _) in enumerate(points):
        last = [value for s, value in points[max(0, n + 1 - over) : n + 1] if s > step - over]
        found.append((step, sum(last) / len(last)))
    return found


def with_gaps(steps: Sequence[int], points: Sequence[tuple[int, float]]) -> tuple[list[int], list[float]]:
    """x and y of a line through the points that breaks at the steps without one (nan)."""
    known = dict(points)
    shown = [step for step in steps if points[0][0] <= step <= points[-1][0]]
    return shown, [known.get(step, math.nan) for step in shown]


def _lone(steps: Sequence[int], points: Sequence[tuple[int, float]]) -> dict[str, Any]:
    """A dot on each point that has no neighbour: no line would show it."""
    _, values = with_gaps(steps, points)
    known = [False, *(not math.isnan(value) for value in values), False]
    lone = [n - 1 for n in range(1, len(known) - 1) if known[n] and not known[n - 1] and not known[n + 1]]
    return {"marker": "o", "markersize": 1.6, "markevery": lone} if lone else {}


def _top(tracks: Sequence[Track], name: str) -> float:
    """Of the axis, in %: a pass rate of a tenth is not squeezed into the lowest tenth of a panel."""
    found = [v for track in tracks for _, v in (*smoothed(track.points(name)), *track.eval_points(name))]
    return next((top for top in (10.0, 20.0, 40.0, 60.0) if 100 * max(found, default=0.0) <= 0.95 * top), 100.0)


def _last(tracks: Sequence[Track]) -> int:
    return max((step for track in tracks for step in (*track.steps, *track.eval_steps)), default=1)


def _axes(axes: Axes, values: Sequence[float], top: float | None, label: str, last: int) -> None:
    """`top` in % where a rate is drawn."""
    axes.set_xlabel("optimizer step")
    axes.set_xlim(0, last)
    if top is not None:
        axes.set_ylim(0, top)
        axes.set_yticks([top * fifth / 5 for fifth in range(6)])
        axes.set_ylabel(label)
        return
    positive = [value for value in values if value > 0]
    if positive and len(positive) >= 0.9 * len(values) and max(positive) > LOG_FROM * min(positive):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.yaxis.set_minor_formatter(lambda value, _: "")
    elif min(values, default=0.0) >= 0:
        axes.set_ylim(bottom=0)


def _said(track: Track, name: str) -> str:
    marked = "" if track.standing == "counted" else f" ({track.standing})"
    return f"{track.run}{marked}: {name}"


def _present(styles: Mapping[str, ArmStyle], tracks: Sequence[Track]) -> tuple[ArmStyle, ...]:
    return tuple(style for label, style in styles.items() if any(track.arm == label for track in tracks))
