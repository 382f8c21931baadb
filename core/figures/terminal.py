"""Curves for a terminal, where the researcher is: a letter per run, and the key under the plot."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

Points = Sequence[tuple[int, float]]  # step, and a rate in [0, 1]
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def terminal_plot(curves: Sequence[tuple[str, Points]], title: str, width: int) -> str:
    """`curves`: name and points of each run; those beyond 52 are left out. Empty where nothing was measured."""
    import plotext

    figure: Any = plotext.figure
    figure.clear()
    keys = []
    for letter, (name, points) in zip(LETTERS, curves, strict=False):
        if not points:
            continue
        steps, rates = _interpolated([(step, 100 * rate) for step, rate in points])
        figure.draw(figure.signal(steps, rates, marker=letter))
        keys.append(f"{letter} {name}")
    if not keys:
        return ""
    figure.plot_size(min(width, 100), 14)
    figure.title(title)
    figure.label("optimizer step", "x")
    figure.ruler("y").lim(0, 100)
    plot: str = figure.build().string(colorless=True)
    figure.clear()
    lines = [line.rstrip() for line in plot.splitlines()]
    return "\n".join([*lines, *_wrapped(keys, width)])


def _interpolated(points: Points) -> tuple[list[float], list[float]]:
    """Between two evaluations a straight run of letters, so that curves are lines and not dots."""
    steps, rates = [float(points[0][0])], [points[0][1]]
    for (s0, r0), (s1, r1) in itertools.pairwise(points):
        for part in range(1, 9):
            steps.append(s0 + (s1 - s0) * part / 8)
            rates.append(r0 + (r1 - r0) * part / 8)
    return steps, rates


def _wrapped(keys: Sequence[str], width: int) -> list[str]:
    lines = [""]
    for key in keys:
        if lines[-1] and len(lines[-1]) + 2 + len(key) > width:
            lines.append("")
        lines[-1] += ("  " if lines[-1] else "") + key
    return lines
