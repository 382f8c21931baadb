"""A figure says its n and its plan, is the same bytes twice, hides no word behind another, and draws no front through
runs that do not count."""

from __future__ import annotations

import itertools
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from matplotlib.axis import Tick
from matplotlib.figure import Figure
from matplotlib.text import Text

from core.figures.curves import smoothed
from core.figures.labels import Box, place
from core.figures.scatter import COLLAPSED, EXCLUDED, Means, Point, View, arm_means, pareto_front, staircase
from core.figures.sheet import DPI, Sheet, drawing, panel_svg, save, whole
from core.figures.style import arm_styles, counted, shortened, wrapped
from orchestrator.report.page.figures import sheets
from support.paths import REPO
from support.report_sample import VARIANTS, crowded, full, unfinished

pytestmark = pytest.mark.xdist_group("figures")  # drawn once, by one worker

DRAWN = ("full", "crowded", "collapsed", "one_run", "unfinished")


def all_sheets(variant: str) -> list[Sheet]:
    return [sheet for group in sheets(VARIANTS[variant]()).values() for sheet in group]


@pytest.fixture(scope="module", params=DRAWN)
def papers(request: pytest.FixtureRequest) -> list[tuple[Sheet, Figure]]:
    with drawing(8.0, as_text=False):
        return [(sheet, whole(sheet)[0]) for sheet in all_sheets(request.param)]


def test_the_front_is_that_of_arms_no_other_beats_in_both_rates() -> None:
    a, b, c, d = Means("a", 30, 40, 1), Means("b", 10, 5, 1), Means("c", 20, 60, 1), Means("d", 30, 40, 3)
    assert pareto_front([a, b, c, d]) == [b, a, d]  # c passes less than a and hacks more; a and d are equals
    assert staircase([b, a], View((0, 50), (0, 100))) == [(0, 5), (10, 5), (10, 40), (30, 40), (30, 100)]
    assert pareto_front([]) == [] == staircase([], View((0, 1), (0, 1)))


def test_runs_that_do_not_count_are_in_no_mean_and_on_no_front() -> None:
    """A collapsed arm at (0, 0) has the lowest hack rate of all."""
    points = [
        Point("a-s1", "a", 0.2, 0.5),
        Point("a-s2", "a", 0.4, 0.7),
        Point("a-s3", "a", 0.9, 0.0, standing=EXCLUDED),
        Point("b-s1", "b", 0.0, 0.0, standing=COLLAPSED),
    ]
    (mean,) = arm_means(points)
    assert (mean.arm, mean.n) == ("a", 2) and (mean.x, mean.y) == pytest.approx((30.0, 60.0))
    collapsed = {row.label for row in crowded().runs if row.collapsed}
    on_front = {tip.text for sheet in all_sheets("crowded")[:1] for p in sheet.panels for tip in panel_svg(sheet, p)[1]}
    assert any("on the front" in words for words in on_front)
    assert not any("on the front" in words for words in on_front for arm in collapsed if f"mean of {arm}:" in words)


def test_collapsed_runs_are_named_as_such(papers: list[tuple[Sheet, Figure]]) -> None:
    for sheet, figure in papers:
        said = " ".join(text.get_text() for text in words(figure))
        if sheet.name in ("scatter", "modes") and any(
            "collapsed" in e.words or "not counted" in e.words for e in sheet.extras
        ):
            assert "collapsed" in said, sheet.name


def test_every_figure_says_its_n_and_the_hash_of_its_plan(papers: list[tuple[Sheet, Figure]]) -> None:
    for sheet, figure in papers:
        said = [text.get_text() for text in words(figure)]
        assert any("n = " in line and "plan 1a2b3c4d5e6f" in line for line in said), sheet.name


def test_every_panel_of_the_page_says_its_n_and_the_hash_of_its_plan() -> None:
    for sheet in all_sheets("full"):
        for panel in sheet.panels:
            svg, _, _ = panel_svg(sheet, panel)
            assert "plan 1a2b3c4d5e6f" in svg and ">n = " in svg, (sheet.name, panel.name)


def words(figure: Figure) -> Iterator[Text]:
    """What is drawn; ticks beyond an axis' limits, and those left over from wider limits, are not."""
    drawn = set()
    for axes in figure.axes:
        for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if min(limits) <= tick.get_loc() <= max(limits):
                    drawn.add(tick.label1)
    of_ticks = {label for tick in figure.findobj(Tick) for label in (tick.label1, tick.label2)}
    for text in figure.findobj(Text):
        visible = text.get_visible() and (text.axes is None or text.axes.get_visible())
        if visible and text.get_text().strip() and (text in drawn or text not in of_ticks):
            yield text


def test_no_words_cover_others_or_leave_the_figure(papers: list[tuple[Sheet, Figure]]) -> None:
    for sheet, figure in papers:
        figure.draw_without_rendering()
        width, height = figure.get_size_inches() * figure.dpi
        boxes = []
        for text in words(figure):
            extent = Text.get_window_extent(text)  # without the leader of a label
            if extent.width:
                boxes.append((text.get_text(), Box(extent.x0, extent.y0, extent.x1, extent.y1)))
        assert len(boxes) > 5
        page = Box(-1, -1, width + 1, height + 1)
        for said, box in boxes:
            assert page.holds(box), f"{sheet.name}: {said!r} leaves the figure"
        for (one, a), (other, b) in itertools.combinations(boxes, 2):
            assert a.overlap(b) < 3.0, f"{sheet.name}: {one!r} and {other!r} cover each other"


def test_pictures_are_fit_for_print_and_tell_nothing_of_the_machine(tmp_path: Path) -> None:
    paths = save(all_sheets("one_run")[0], tmp_path)
    data = paths["png"].read_bytes()
    chunks, at = {}, 8
    while at < len(data):
        (size,) = struct.unpack(">I", data[at : at + 4])
        chunks[data[at + 4 : at + 8]] = data[at + 8 : at + 8 + size]
        at += 12 + size
    assert not chunks.keys() & {b"tEXt", b"iTXt", b"zTXt", b"tIME"}
    per_metre = struct.unpack(">II", chunks[b"pHYs"][:8])
    assert [round(value * 0.0254) for value in per_metre] == [DPI, DPI] and DPI >= 150
    svg = paths["svg"].read_text()
    assert "<dc:date>" not in svg and "Matplotlib" not in svg


def test_hidden_outcomes_are_in_no_figure() -> None:
    found = sheets(unfinished())
    assert [name for name, group in found.items() if group] == ["diagnostics"]
    (sheet,) = found["diagnostics"]
    assert [panel.name for panel in sheet.panels] == ["cos_align", "cin", "cout", "kl", "lp_s", "gn", "comp", "len"]


def test_curves_are_one_line_for_each_seed() -> None:
    report = full()
    sheet = next(sheet for sheet in sheets(report)["curves"] if sheet.name == "curves")
    _, tips, _ = panel_svg(sheet, sheet.panels[0])
    assert [tip.name for tip in tips] == [f"{curve.run}: hack_s" for curve in report.curves]


def test_fifty_arms_differ_without_colour() -> None:
    styles = list(arm_styles(f"arm{n}" for n in range(50)).values())
    assert len({(style.marker, style.dash) for style in styles}) == 50
    assert len({(style.colour, style.dash) for style in styles}) == 35  # in colour, lines need no marker up to here


@pytest.mark.parametrize("width", [8, 20, 26])
def test_wrapping_loses_no_letter_and_breaks_no_bracket(width: int) -> None:
    for label in ("vanilla", "x" * 60, "random_V-energy-update-of-a-name-that-only-differs-at-its-end"):
        lines = wrapped(label, width).split("\n")
        assert "".join(lines) == label and max(map(len, lines)) <= width
        assert "(n = 3, collapsed)" in counted(label, 3, width, "collapsed").split("\n")[-1]
    assert shortened("a" * 30 + "-end", 20) == "aaaaaaaaa...aaaa-end" and shortened("short", 20) == "short"


def test_a_step_is_drawn_as_the_mean_of_at_most_five() -> None:
    points = [(step, float(value)) for step, value in enumerate((10, 0, 2, 0, 3, 5, 0))]
    assert [value for _, value in smoothed(points)] == [10, 5, 4, 3, 3, 2, 2]


def test_a_label_stands_where_nothing_is() -> None:
    frame = Box(0, 0, 200, 100)
    right_is_taken = [Box(50, 0, 200, 100)]
    found = place((50, 50), (30, 8), right_is_taken, frame)
    assert found is not None and found.x1 <= 50 and frame.holds(found)
    assert place((50, 50), (30, 8), [frame], frame) is None  # nowhere: the key has to do
    assert place((50, 50), (300, 8), [], frame) is None


def test_what_status_may_import_loads_no_library_for_figures() -> None:
    modules = "core.figures.sheet, core.figures.scatter, core.figures.curves, core.figures.bars, core.figures.contrasts"
    code = f"import sys, {modules}, orchestrator.report.page.render, orchestrator.report.tables\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPO, check=True)
    assert not set(done.stdout.split()) & {"matplotlib", "numpy", "jinja2", "pyarrow", "torch"}
