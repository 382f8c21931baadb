"""A figure as panels: drawn together for a paper (PNG and SVG), or one by one for a page.

A figure made twice from the same data is the same bytes: no date, no software's name, ids salted by a constant, and no
matplotlibrc of the user's. Each says its n and, in small print, the hash of the plan whose runs it shows.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.figures.style import ArmStyle, wrapped
from core.runs import durable

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# A page that is dark by night replaces these four by its own (orchestrator.report.page.inline_svg).
PAPER, INK, QUIET, GRID = "#ffffff", "#1a1a1a", "#595959", "#c9c9c9"
DPI = 200
POINTS = 72.0  # layout is done at 72 dots an inch, so that a pixel is a point
PAPER_WIDTH = 7.0  # inches: two columns of a paper


@dataclass(frozen=True)
class Tip:
    """What is said when an artist is pointed at; empty: nothing. `gid` marks it in an SVG.

    Of a line, `name` and `unit` stand before and after the value at the place that is pointed at.
    """

    gid: str
    text: str
    arm: int | None
    name: str = ""
    unit: str = ""


@dataclass
class Pen:
    """What drawing a panel leaves beside the artists."""

    tips: list[Tip] = field(default_factory=list)
    later: list[Callable[[], None]] = field(default_factory=list)  # what needs the final layout: labels

    def tip(self, artist: Artist, text: str, arm: int | None = None, name: str = "", unit: str = "") -> None:
        gid = f"tip-{len(self.tips)}"
        artist.set_gid(gid)
        self.tips.append(Tip(gid, text, arm, name, unit))

    def line(self, artist: Artist, name: str, unit: str, points: Sequence[tuple[int, float]], arm: int) -> None:
        step, value = points[-1]
        self.tip(artist, f"{name} {value:.3g}{unit} at step {step}", arm, name, unit)


@dataclass(frozen=True)
class Panel:
    name: str
    title: str
    draw: Callable[[Axes, Pen], None]
    aspect: float = 0.75  # height over width, of half a paper's width where `rows` are what needs the height
    rows: bool = False


@dataclass(frozen=True)
class Extra:
    """An entry of the key that is no arm: the front, the base model, an open symbol. As keywords of a line."""

    words: str
    style: dict[str, Any]
    patch: bool = False  # an area instead of a line


@dataclass(frozen=True)
class Sheet:
    """A whole figure."""

    name: str  # of its files
    title: str
    n: str  # "n = 15 runs, 1130 completions each"
    plan_hash: str
    panels: tuple[Panel, ...]
    arms: tuple[ArmStyle, ...]  # of the key; empty: none, the panels name them
    columns: int = 2
    extras: tuple[Extra, ...] = ()
    with_lines: bool = False  # the key shows dashes, else markers
    same_y: bool = False  # the panels of a row share their y axis' words

    @property
    def small_print(self) -> str:
        return f"{self.n}; plan {self.plan_hash[:12]}"


@contextmanager
def drawing(size: float, as_text: bool) -> Iterator[None]:
    """matplotlib's own defaults and ours, whatever the user's matplotlibrc says."""
    import matplotlib.style
    from cycler import cycler

    ours = {
        "axes.prop_cycle": cycler(color=[INK]),  # what is drawn without a colour
        "font.family": ["DejaVu Sans"],
        "font.size": size,
        "axes.titlesize": "medium",
        "axes.titlelocation": "left",
        "axes.labelsize": "small",
        "xtick.labelsize": "small",
        "ytick.labelsize": "small",
        "legend.fontsize": "small",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "axes.titlecolor": INK,
        "text.color": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "axes.facecolor": PAPER,
        "figure.facecolor": PAPER,
        "savefig.facecolor": PAPER,
        "grid.color": GRID,
        "grid.linewidth": 0.5,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.linewidth": 0.8,
        "figure.dpi": POINTS,
        "svg.hashsalt": "grpoq",
        "svg.fonttype": "none" if as_text else "path",
        "path.simplify": False,
        "text.parse_math": False,  # a label with two dollar signs is a label
    }
    with matplotlib.style.context(["default", ours]):
        yield


def save(sheet: Sheet, folder: Path) -> dict[str, Path]:
    """NAME.png and NAME.svg for a paper, by suffix. Their letters are outlines, and so look the same everywhere."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    with drawing(8.0, as_text=False):
        figure, _ = whole(sheet)
        for suffix, options in (
            ("png", {"dpi": DPI, "metadata": {"Software": None}}),
            ("svg", {"metadata": {"Date": None, "Creator": None}}),
        ):
            buffer = io.BytesIO()
            figure.savefig(buffer, format=suffix, **options)
            paths[suffix] = folder / f"{sheet.name}.{suffix}"
            durable.write_atomic(paths[suffix], buffer.getvalue())
    return paths


def panel_svg(sheet: Sheet, panel: Panel, width: float = 4.6) -> tuple[str, list[Tip], Axes]:
    """One panel `width` inches wide, its letters as text, without a key; its tips; and its axes, for their scales."""
    with drawing(10.0, as_text=True):
        figure = _blank(width, width * panel.aspect)
        axes = figure.subplots()
        pen = Pen()
        axes.set_title(panel.title)
        panel.draw(axes, pen)
        figure.text(0.995, 0.004, sheet.small_print, ha="right", va="bottom", fontsize=7, color=QUIET)
        _lay_out(figure, pen, bottom=11 / POINTS)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue(), pen.tips, axes


def whole(sheet: Sheet) -> tuple[Figure, Pen]:
    """All panels, the key below them, the small print at the foot. To be called within `drawing`."""
    columns = max(1, min(sheet.columns, len(sheet.panels)))
    rows = math.ceil(len(sheet.panels) / columns)
    panel_height = max(_height(panel, columns) for panel in sheet.panels)
    key_height = 0.0
    figure = _blank(PAPER_WIDTH, 0.3 + rows * panel_height)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    pen = Pen()
    for axes, panel in zip(grid, sheet.panels, strict=False):
        axes.set_title(panel.title)
        panel.draw(axes, pen)
    if sheet.same_y:
        for place, axes in enumerate(grid):
            axes.set_ylabel(axes.get_ylabel() if place % columns == 0 else "")
    for axes in grid[len(sheet.panels) :]:
        axes.set_visible(False)
    key = _key(figure, sheet)
    if key is not None:
        key_height = key.get_window_extent().height / POINTS
    height = 0.35 + rows * panel_height + key_height + 0.2
    figure.set_size_inches(PAPER_WIDTH, height)
    if key is not None:
        key.set_bbox_to_anchor((0.5, 0.19 / height))
    figure.suptitle(sheet.title, x=0.012, ha="left", fontsize="large", fontweight="bold")
    figure.text(0.992, 0.04 / height, sheet.small_print, ha="right", va="bottom", fontsize=6, color=QUIET)
    _lay_out(figure, pen, bottom=key_height + 0.22)
    return figure, pen


def _height(panel: Panel, columns: int) -> float:
    """Inches on paper."""
    return panel.aspect * PAPER_WIDTH / (max(2, columns) if panel.rows else columns)


def _blank(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _lay_out(figure: Figure, pen: Pen, bottom: float) -> None:
    """Fix where the axes stand, above `bottom` inches, then place what depends on it."""
    engine = figure.get_layout_engine()
    assert engine is not None
    share = bottom / figure.get_size_inches()[1]
    engine.set(rect=(0.0, share, 1.0, 1.0 - share), w_pad=0.06, h_pad=0.06)  # type: ignore[call-arg]
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    # The layout's solver is right to about 1e-12 and not the same twice: such noise would change bytes.
    for axes in figure.axes:
        x, y, width, height = (round(value, 4) for value in axes.get_position().bounds)
        axes.set_position((x, y, width, height))
    for finish in pen.later:
        finish()


def _key(figure: Figure, sheet: Sheet) -> Any:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Line2D | Patch] = [
        Line2D(
            [],
            [],
            color=arm.colour,
            linestyle=arm.line if sheet.with_lines else "none",
            marker="" if sheet.with_lines else arm.marker,
            markersize=5.5,
            markeredgecolor=INK,
            markeredgewidth=0.5,
            linewidth=1.5,
            label=wrapped(arm.label, 40),
        )
        for arm in sheet.arms
    ]
    for extra in sheet.extras:
        handles.append((Patch if extra.patch else partial(Line2D, [], []))(label=extra.words, **extra.style))
    if not handles:
        return None
    for columns in range(min(5, len(handles)), 0, -1):
        key = figure.legend(
            handles=handles,
            loc="lower center",
            bbox_to_anchor=(0.5, 0.0),
            ncols=columns,
            frameon=False,
            handlelength=3.2 if sheet.with_lines else 1.6,
            columnspacing=1.2,
        )
        key.set_in_layout(False)
        if columns == 1 or key.get_window_extent().width < (PAPER_WIDTH - 0.2) * POINTS:
            return key
        key.remove()
    return None


def run_count(names: Sequence[Any]) -> str:
    return f"n = {len(names)} run" + ("" if len(names) == 1 else "s")
