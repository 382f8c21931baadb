"""Hack rate and pass rate by step, one line per run: a PNG for the record, and curves for the terminal.

Arms differ by colour and dash, seeds by marker, so that the figure survives a grey printer. A line per seed and no
band: with three seeds an interval would say more than is known.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#444444")  # Okabe and Ito
DASHES = ("-", "--", "-.", ":")
MARKERS = "os^Dv<>pP*X"


@dataclass(frozen=True)
class Curve:
    """One run's evaluations on held-out problems. Rates in [0, 1], null where an evaluation had none."""

    label: str
    seed: int
    steps: tuple[int, ...]
    hack_rate: tuple[float | None, ...]
    pass_rate: tuple[float | None, ...]
    n_hinted: int  # completions behind each point of hack_rate
    n_pass: int


def save_figure(curves: Sequence[Curve], path: Path, title: str) -> None:
    """Two panels with one y axis. The legend stands below them, off the data."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    labels = list(dict.fromkeys(curve.label for curve in curves))
    seeds = sorted({curve.seed for curve in curves})
    longest = max((len(f"{curve.label}, seed {curve.seed}") for curve in curves), default=0)
    columns = max(1, min(4, len(curves), 100 // (longest + 6)))  # about 100 letters beside each other, handles included
    rows = -(-len(curves) // columns)
    figure = Figure(figsize=(10.0, 4.6 + 0.25 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharey=True)
    n_hinted, n_pass = (_n(curves, name) for name in ("n_hinted", "n_pass"))
    for axes, name, words, n in (
        (left, "hack_rate", "strict hack rate, prompts with the loophole", n_hinted),
        (right, "pass_rate", "pass rate, prompts without the loophole", n_pass),
    ):
        for curve in curves:
            arm = labels.index(curve.label)
            points = [(s, 100 * r) for s, r in zip(curve.steps, getattr(curve, name), strict=True) if r is not None]
            axes.plot(
                [s for s, _ in points],
                [r for _, r in points],
                DASHES[arm % len(DASHES)],
                color=COLOURS[arm % len(COLOURS)],
                marker=MARKERS[seeds.index(curve.seed) % len(MARKERS)],
                markersize=5,
                linewidth=1.6,
                alpha=0.9,
                clip_on=False,
                label=f"{curve.label}, seed {curve.seed}",
            )
        axes.set_title(words, fontsize=11)
        axes.set_xlabel("optimizer step")
        axes.set_ylabel(f"% of held-out completions ({n} a point)")
        axes.yaxis.set_tick_params(labelleft=True)
        axes.set_ylim(0, 100)
        axes.set_xlim(left=0)
        axes.grid(alpha=0.25)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    figure.suptitle(title, fontsize=12)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=columns, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    figure.savefig(temporary, dpi=150, format="png")
    temporary.replace(path)


def terminal_plot(curves: Sequence[Curve], name: str, title: str, width: int) -> str:
    """`name` is hack_rate or pass_rate. Each run is drawn with a letter; the key stands under the plot."""
    import plotext

    figure: Any = plotext.figure
    figure.clear()
    keys = []
    for letter, curve in zip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", curves, strict=False):
        points = [(s, 100 * r) for s, r in zip(curve.steps, getattr(curve, name), strict=True) if r is not None]
        if not points:
            continue
        steps, rates = _interpolated(points)
        figure.draw(figure.signal(steps, rates, marker=letter))
        keys.append(f"{letter} {curve.label}-s{curve.seed}")
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


def _interpolated(points: Sequence[tuple[int, float]]) -> tuple[list[float], list[float]]:
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


def _n(curves: Sequence[Curve], name: str) -> str:
    """`n = 256`, or the range where runs differ."""
    found = sorted({getattr(curve, name) for curve in curves})
    return f"n = {found[0]}" if len(found) == 1 else f"n = {found[0]}-{found[-1]}"
