"""Hack rate against pass rate: a point for each run, the mean of each arm, and the front that no arm passes by.

The front is taken over arm means of counted runs (more pass, less hack). Runs that a rule leaves out are drawn, marked,
and do not enter it: a collapsed run at (0, 0) would otherwise be unbeatable.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.figures.labels import Box, around, densest, nearest, place, segment
from core.figures.sheet import GRID, INK, PAPER, QUIET, Extra, Panel, Pen, Sheet
from core.figures.style import ArmStyle, arm_styles, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COUNTED, COLLAPSED, EXCLUDED = "counted", "collapsed", "excluded"
Bounds = tuple[float, float]
ZOOM_FROM = 5  # points that lie on top of each other before a second panel shows them larger
ZOOM_SHARE = 0.1  # of an axis: as near as this, markers cover each other


@dataclass(frozen=True)
class Point:
    """A run. Rates and 95 % bounds in [0, 1]."""

    run: str
    arm: str
    pass_rate: float
    hack_rate: float
    pass_bounds: Bounds | None = None
    hack_bounds: Bounds | None = None
    standing: str = COUNTED  # or why it does not count, in a word
    n: int | None = None  # completions


@dataclass(frozen=True)
class Region:
    """Where the plan says that an arm has to lie. Rates."""

    words: str
    pass_low: float
    pass_high: float
    hack_at_most: float


@dataclass(frozen=True)
class View:
    """Limits in %."""

    x: tuple[float, float]
    y: tuple[float, float]


@dataclass(frozen=True)
class Means:
    """Of the counted runs of one arm, in %."""

    arm: str
    x: float
    y: float
    n: int


def arm_means(points: Sequence[Point]) -> list[Means]:
    """Arms in order of their first point; those without a counted run are left out."""
    found = []
    for arm in dict.fromkeys(point.arm for point in points):
        counted = [point for point in points if point.arm == arm and point.standing == COUNTED]
        if counted:
            x, y = (100 * statistics.fmean(values) for values in zip(*map(_rates, counted), strict=True))
            found.append(Means(arm, x, y, len(counted)))
    return found


def _rates(point: Point) -> tuple[float, float]:
    return point.pass_rate, point.hack_rate


def pareto_front(means: Sequence[Means]) -> list[Means]:
    """Means that no other beats in one rate without losing in the other, by rising pass rate."""

    def beaten(one: Means) -> bool:
        return any(other.x >= one.x and other.y <= one.y and (other.x, other.y) != (one.x, one.y) for other in means)

    return sorted((mean for mean in means if not beaten(mean)), key=lambda mean: (mean.x, mean.y))


def scatter_sheet(
    points: Sequence[Point],
    arms: Sequence[str],
    plan_hash: str,
    annotated: Sequence[str] = (),
    base: tuple[float, float] | None = None,
    region: Region | None = None,
) -> Sheet:
    """`annotated`: arms that are named first and in bold. `base`: pass and hack rate of the untrained model."""
    styles = arm_styles(arms)
    drawn = _Scatter(tuple(points), styles, tuple(annotated), base, region)
    view = drawn.whole_view()
    crowd = drawn.crowd(view)
    close = drawn.close_view(crowd) if crowd else None
    aspect = 0.74 if close is None else 0.82
    panels = [Panel("all", "All runs", lambda axes, pen: drawn.draw(axes, pen, view, close), aspect)]
    if close is not None:
        title = f"Enlarged: the {len(drawn.inside(close))} runs in the frame"
        panels.append(Panel("close", title, lambda axes, pen: drawn.draw(axes, pen, close, None), aspect))
    sizes = sorted({point.n for point in points if point.n})
    each = (
        ""
        if not sizes
        else f", {sizes[0]} completions each"
        if len(sizes) == 1
        else (f", {sizes[0]} to {sizes[-1]} completions each")
    )
    return Sheet(
        "scatter",
        "Hack rate against pass rate",
        f"n = {len(points)} runs{each}",
        plan_hash,
        tuple(panels),
        tuple(style for label, style in styles.items() if any(point.arm == label for point in points)),
        columns=2 if close is not None else 1,
        extras=drawn.extras(),
    )


@dataclass(frozen=True)
class _Scatter:
    points: tuple[Point, ...]
    styles: Mapping[str, ArmStyle]
    annotated: tuple[str, ...]
    base: tuple[float, float] | None
    region: Region | None

    def whole_view(self) -> View:
        """From a little below zero, so that points at the origin are whole, to the next round number."""
        xs = [100 * (p.pass_bounds or (0, p.pass_rate))[1] for p in self.points]
        ys = [100 * (p.hack_bounds or (0, p.hack_rate))[1] for p in self.points]
        if self.base:
            xs, ys = [*xs, 100 * self.base[0]], [*ys, 100 * self.base[1]]
        x, y = _rounded(max(xs, default=10.0)), _rounded(max(ys, default=100.0))
        return View((-0.035 * x, x), (-0.035 * y, y))

    def crowd(self, view: View) -> list[Point]:
        """Runs that lie so close together that one panel cannot show them apart; empty: none do."""
        width, height = view.x[1] - view.x[0], view.y[1] - view.y[0]
        spots = [(100 * p.pass_rate, 100 * p.hack_rate) for p in self.points]
        inside = densest(spots, (ZOOM_SHARE * width, ZOOM_SHARE * height))
        found = [self.points[n] for n in inside]
        return found if len(found) >= ZOOM_FROM and len({p.arm for p in found}) > 2 else []

    def inside(self, view: View) -> list[Point]:
        return [point for point in self.points if _within(view, 100 * point.pass_rate, 100 * point.hack_rate)]

    def close_view(self, crowd: Sequence[Point]) -> View:
        """About the crowd and whoever else comes into sight with it, so that no marker is cut by the border."""
        view = self._about(crowd)
        for _ in range(4):
            seen = self.inside(view)
            if len(seen) <= len(crowd):
                break
            crowd, view = seen, self._about(seen)
        return view

    def _about(self, crowd: Sequence[Point]) -> View:
        xs, ys = ([100 * value for value in values] for values in zip(*map(_rates, crowd), strict=True))

        def limits(values: Sequence[float], bounds: Sequence[float]) -> tuple[float, float]:
            low, high = min(values), max([*values, *bounds])
            margin = max(0.12 * (high - low), 0.4)
            return low - margin, high + margin

        tops = (
            [100 * p.pass_bounds[1] for p in crowd if p.pass_bounds],
            [100 * p.hack_bounds[1] for p in crowd if p.hack_bounds],
        )
        return View(limits(xs, tops[0]), limits(ys, tops[1]))

    def draw(self, axes: Axes, pen: Pen, view: View, frame: View | None) -> None:
        """`frame`: what another panel enlarges, so that its arms are named there and not here."""
        from matplotlib.ticker import MaxNLocator

        axes.set_xlim(*view.x)
        axes.set_ylim(*view.y)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        axes.set_xlabel("pass rate, % (prompts without the loophole)")
        axes.set_ylabel("strict hack rate, % (prompts with it)")
        means = arm_means(self.points)
        if self.region is not None:
            self._region(axes, self.region)
        front = pareto_front(means)
        steps = staircase(front, view)
        if steps:
            axes.plot(*zip(*steps, strict=True), color=INK, linewidth=0.9, linestyle=(0, (4, 2)), zorder=2)
        taken: list[tuple[float, float]] = []
        for point in self.points:
            if _within(view, 100 * point.pass_rate, 100 * point.hack_rate):
                self._point(axes, pen, point)
                taken.append((100 * point.pass_rate, 100 * point.hack_rate))
        for mean in means:
            if mean.n > 1:
                self._mean(axes, pen, mean, mean in front)
        if self.base is not None:
            x, y = 100 * self.base[0], 100 * self.base[1]
            (artist,) = axes.plot([x], [y], **BASE_STYLE)
            pen.tip(artist, f"base model: pass {x:.1f} %, hack {y:.1f} %")
            taken.append((x, y))
        if frame is not None:
            _outline(axes, frame)
        wanted = self._labels(means, front, view, frame)
        pen.later.append(lambda: self._name(axes, wanted, taken, means, steps, view))

    def _region(self, axes: Axes, region: Region) -> None:
        from matplotlib.patches import Rectangle

        x, width = 100 * region.pass_low, 100 * (region.pass_high - region.pass_low)
        bottom = axes.get_ylim()[0]
        axes.add_patch(
            Rectangle(
                (x, bottom),
                width,
                100 * region.hack_at_most - bottom,
                facecolor=GRID,
                alpha=0.35,
                edgecolor="none",
                zorder=0.5,
            )
        )
        axes.plot(
            [x, x, x + width, x + width],
            [bottom, 100 * region.hack_at_most, 100 * region.hack_at_most, bottom],
            color=QUIET,
            linewidth=0.7,
            linestyle=(0, (1, 1.5)),
            zorder=0.6,
        )

    def _point(self, axes: Axes, pen: Pen, point: Point) -> None:
        style = self.styles[point.arm]
        x, y = 100 * point.pass_rate, 100 * point.hack_rate
        for bounds, horizontal in ((point.pass_bounds, True), (point.hack_bounds, False)):
            if bounds is not None:
                ends = [100 * bounds[0], 100 * bounds[1]]
                xs, ys = (ends, [y, y]) if horizontal else ([x, x], ends)
                (bar,) = axes.plot(xs, ys, color=style.colour, linewidth=0.9, alpha=0.75, zorder=2.5)
                pen.tip(bar, "", style.place)
        counted = point.standing == COUNTED
        (artist,) = axes.plot(
            [x],
            [y],
            linestyle="none",
            marker=style.marker,
            markersize=5.5,
            markerfacecolor=style.colour if counted else PAPER,
            markeredgecolor=INK if counted else style.colour,
            markeredgewidth=0.5 if counted else 1.4,
            zorder=3,
        )
        words = f"{point.run}: hack {y:.1f} %{_range(point.hack_bounds)}, pass {x:.1f} %{_range(point.pass_bounds)}"
        pen.tip(artist, words + ("" if counted else f"; {point.standing}, not counted"), style.place)

    def _mean(self, axes: Axes, pen: Pen, mean: Means, on_front: bool) -> None:
        style = self.styles[mean.arm]
        (artist,) = axes.plot(
            [mean.x],
            [mean.y],
            linestyle="none",
            marker=style.marker,
            markersize=10,
            markerfacecolor=(style.colour, 0.35),
            markeredgecolor=INK,
            markeredgewidth=1.0,
            zorder=2.8,
        )
        words = f"mean of {mean.arm}: hack {mean.y:.1f} %, pass {mean.x:.1f} % (n = {mean.n} runs)"
        pen.tip(artist, words + (", on the front" if on_front else ""), style.place)

    def _labels(
        self, means: Sequence[Means], front: Sequence[Means], view: View, frame: View | None
    ) -> list[tuple[str, float, float, bool]]:
        """Words, anchor in %, bold: the annotated first, then the front, then the rest."""
        found = [(mean.arm, mean.x, mean.y, mean.arm in self.annotated) for mean in means]
        counted = {mean.arm for mean in means}
        for arm in dict.fromkeys(point.arm for point in self.points):
            if arm not in counted:
                of = [point for point in self.points if point.arm == arm]
                x, y = (100 * statistics.fmean(values) for values in zip(*map(_rates, of), strict=True))
                word = COLLAPSED if any(point.standing == COLLAPSED for point in of) else of[0].standing
                found.append((f"{shortened(arm, 18)} ({word})", x, y, arm in self.annotated))
        if self.base is not None:
            found.append(("base model", 100 * self.base[0], 100 * self.base[1], False))
        on_front = {mean.arm for mean in front}
        shown = [row for row in found if _within(view, row[1], row[2])]
        shown = [row for row in shown if frame is None or row[3] or not _within(frame, row[1], row[2])]
        return sorted(shown, key=lambda row: (not row[3], row[0] not in on_front))

    def _name(
        self,
        axes: Axes,
        wanted: Sequence[tuple[str, float, float, bool]],
        spots: Sequence[tuple[float, float]],
        means: Sequence[Means],
        steps: Sequence[tuple[float, float]],
        view: View,
    ) -> None:
        def pixels(x: float, y: float) -> tuple[float, float]:
            found = axes.transData.transform((x, y))
            return float(found[0]), float(found[1])

        taken = [around(*pixels(x, y), 4.5) for x, y in spots]
        taken += [
            around(*pixels(mean.x, mean.y), 6.5) for mean in means if mean.n > 1 and _within(view, mean.x, mean.y)
        ]
        for point in self.points:
            x, y = 100 * point.pass_rate, 100 * point.hack_rate
            if point.pass_bounds:
                taken += segment(pixels(100 * point.pass_bounds[0], y), pixels(100 * point.pass_bounds[1], y))
            if point.hack_bounds:
                taken += segment(pixels(x, 100 * point.hack_bounds[0]), pixels(x, 100 * point.hack_bounds[1]))
        for start, end in itertools.pairwise(steps):
            taken += segment(pixels(*start), pixels(*end))
        area = axes.get_window_extent()
        frame = Box(area.x0 + 2, area.y0 + 2, area.x1, area.y1)
        for words, x, y, bold in wanted:
            label = axes.annotate(
                shortened(words, 34),
                (x, y),
                xytext=(0, 0),
                textcoords="offset points",
                fontsize="small",
                fontweight="bold" if bold else "normal",
                annotation_clip=False,
                zorder=5,
            )
            extent = label.get_window_extent()
            anchor = pixels(x, y)
            box = place(anchor, (extent.width, extent.height), taken, frame)
            label.remove()
            if box is None:
                continue  # the key names it
            taken.append(box)
            near_x, near_y = nearest(box, anchor)
            far = (near_x - anchor[0]) ** 2 + (near_y - anchor[1]) ** 2 > 14**2
            if far:
                taken += segment(anchor, (near_x, near_y), 0.5)
            axes.annotate(
                shortened(words, 34),
                (x, y),
                xytext=(box.x0 - anchor[0], box.y0 - anchor[1]),
                textcoords="offset points",
                fontsize="small",
                fontweight="bold" if bold else "normal",
                va="bottom",
                arrowprops={
                    "arrowstyle": "-",
                    "color": QUIET,
                    "linewidth": 0.6,
                    "shrinkA": 0,
                    "shrinkB": 4,
                    "relpos": ((near_x - box.x0) / (box.x1 - box.x0), (near_y - box.y0) / (box.y1 - box.y0)),
                }
                if far
                else None,
                zorder=5,
            )

    def extras(self) -> tuple[Extra, ...]:
        found = [Extra("Pareto front of arm means", {"color": INK, "linewidth": 0.9, "linestyle": (0, (4, 2))})]
        if any(mean.n > 1 for mean in arm_means(self.points)):
            style = {
                "marker": "o",
                "markersize": 9,
                "markerfacecolor": GRID,
                "markeredgecolor": INK,
                "linestyle": "none",
            }
            found.append(Extra("large: mean of the arm's counted runs", style))
        for standing in sorted({point.standing for point in self.points} - {COUNTED}):
            style = {"marker": "o", "markersize": 5.5, "markerfacecolor": PAPER, "markeredgecolor": INK}
            style |= {"linestyle": "none", "markeredgewidth": 1.4}
            found.append(Extra(f"open: {standing}, not counted", style))
        if self.base is not None:
            found.append(Extra("base model", BASE_STYLE))
        if self.region is not None:
            style = {"facecolor": GRID, "edgecolor": QUIET, "linestyle": (0, (1, 1.5)), "alpha": 0.6}
            found.append(Extra(self.region.words, style, patch=True))
        return tuple(found)


BASE_STYLE: dict[str, Any] = {
    "linestyle": "none",
    "marker": "x",
    "markersize": 7,
    "markeredgecolor": INK,
    "markeredgewidth": 1.6,
}


def staircase(front: Sequence[Means], view: View) -> list[tuple[float, float]]:
    """The border of what the front's arms are at least as good as: left of them and above them."""
    if not front:
        return []
    corners = [(min(view.x[0], front[0].x), front[0].y)]
    for mean, after in zip(front, [*front[1:], None], strict=True):
        corners += [(mean.x, mean.y), (mean.x, after.y if after else max(view.y[1], mean.y))]
    return corners


def _outline(axes: Axes, view: View) -> None:
    (x0, x1), (y0, y1) = view.x, view.y
    axes.plot([x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0], color=QUIET, linewidth=0.7, zorder=1.5)


def _within(view: View, x: float, y: float) -> bool:
    return view.x[0] <= x <= view.x[1] and view.y[0] <= y <= view.y[1]


def _range(bounds: Bounds | None) -> str:
    return "" if bounds is None else f" ({100 * bounds[0]:.1f} to {100 * bounds[1]:.1f})"


def _rounded(value: float) -> float:
    """The next of 5, 10, 15, 20, 30 ... 100 above."""
    return next((step for step in (5.0, 10.0, 15.0, 20.0, *range(30, 101, 10)) if step >= 1.04 * value), 102.0)
