"""A panel as SVG inside the page: its colours are the page's, its ids are its own, and what it shows can be pointed at.

matplotlib draws with the colours of core.figures (sheet, style); here each becomes a CSS variable, so that the same
drawing stands on white paper and on a dark screen. Without the page's script a `title` still says run and value.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from core.figures.sheet import GRID, INK, PAPER, POINTS, QUIET, Panel, Sheet, Tip, panel_svg
from core.figures.style import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SVG, XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
VARIABLES = {PAPER: "paper", INK: "ink", QUIET: "quiet", GRID: "grid"} | {c: f"arm-{n}" for n, c in enumerate(COLOURS)}
_COLOUR = re.compile(r"#[0-9a-f]{6}\b")
_FONT = re.compile(r"'DejaVu Sans'[^;]*")
_LONG = re.compile(r"-?\d+\.\d{3,}")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
HIT = "8"  # points around a line in which it is meant


def inline_panel(sheet: Sheet, panel: Panel) -> str:
    """`<svg>` for the page."""
    svg, tips, axes = panel_svg(sheet, panel)
    root = ElementTree.fromstring(svg)
    prefix = f"{sheet.name}-{panel.name}-"
    _strip(root)
    size = [float(value) for value in root.attrib["viewBox"].split()[2:]]
    root.attrib.pop("width", None)
    root.attrib.pop("height", None)
    label = f"{sheet.title}: {panel.title} ({sheet.n})".replace("\n", "")
    root.attrib |= {"role": "group", "aria-label": label, "data-scale": _scale(axes, size[1])}
    by_id = {tip.gid: tip for tip in tips}
    for group in root.iter("g"):
        tip = by_id.get(group.get("id", ""))
        if tip is not None:
            _mark(group, tip, prefix)
    _rename(root, prefix)
    return ElementTree.tostring(root, encoding="unicode")


def colour(value: str) -> str:
    """A colour of the drawing as the page's variable."""
    return f"var(--{VARIABLES[value]})" if value in VARIABLES else value


def _strip(root: ElementTree.Element) -> None:
    """Namespaces, metadata and matplotlib's own style sheet, which would hold for the whole page."""
    for parent in root.iter():
        for child in list(parent):
            if child.tag in (f"{SVG}metadata", f"{SVG}style"):
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.removeprefix(SVG)
        link = element.attrib.pop(f"{XLINK}href", None)
        if link is not None:
            element.attrib["href"] = link
        for name in ("fill", "stroke"):  # of hatches; an attribute takes no variable in every browser
            if name in element.attrib:
                element.attrib["style"] = f"{name}: {element.attrib.pop(name)}; {element.get('style', '')}"
        for name, value in element.attrib.items():
            if name == "style":
                value = _FONT.sub("var(--sans)", _COLOUR.sub(lambda found: colour(found[0]), value))
            if name in ("d", "x", "y", "transform", "style", "points", "width", "height"):
                value = _LONG.sub(lambda found: f"{float(found[0]):.2f}".rstrip("0").rstrip("."), value)
            element.attrib[name] = re.sub(r"\s+", " ", value).strip()


def _mark(group: ElementTree.Element, tip: Tip, prefix: str) -> None:
    if tip.arm is not None:
        group.attrib["data-arm"] = str(tip.arm)
    if not tip.text:
        return
    group.attrib |= {"class": "tip", "data-n": tip.gid.rpartition("-")[2]}  # drawn in another order than told
    title = ElementTree.Element("title")
    title.text = tip.text
    group.insert(0, title)
    if tip.name:
        group.attrib |= {"data-name": tip.name, "data-unit": tip.unit}
        _widen(group, f"{prefix}{tip.gid}-path")


def _widen(group: ElementTree.Element, name: str) -> None:
    """The line once more, wide and unseen, to be pointed at. Its own style moves to the group around it, since what is
    used twice can only be styled from outside."""
    path = next((child for child in group if child.tag == "path"), None)
    if path is None:
        return
    place = list(group).index(path)
    group.remove(path)
    styled = ElementTree.Element("g", {"style": path.attrib.pop("style", "")})
    clip = path.attrib.pop("clip-path", None)
    if clip is not None:
        styled.attrib["clip-path"] = clip
    path.attrib["id"] = name
    styled.append(path)
    hit = ElementTree.Element("use", {"href": f"#{name}", "class": "hit"})
    hit.attrib["style"] = f"fill: none; stroke: transparent; stroke-width: {HIT}; pointer-events: stroke"
    group.insert(place, styled)
    group.append(hit)


def _rename(root: ElementTree.Element, prefix: str) -> None:
    """Ids that something refers to get the panel's prefix; the others, which only name matplotlib's groups, go."""
    wanted = set()
    for element in root.iter():
        for name, value in element.attrib.items():
            if name == "href":
                wanted.add(value.removeprefix("#"))
            wanted |= set(_REFERENCE.findall(value))
    for element in root.iter():
        own = element.attrib.pop("id", None)
        if own in wanted:
            element.attrib["id"] = own if own.startswith(prefix) else prefix + own
        for name, value in element.attrib.items():
            if name == "href" and not value.startswith(f"#{prefix}"):
                value = f"#{prefix}{value[1:]}"
            element.attrib[name] = _REFERENCE.sub(rf"url(#{prefix}\1)", value)


def _scale(axes: Axes, height: float) -> str:
    """What the script needs to turn a place into a value: left, right, bottom, top in the SVG's units; the limits at
    them; and whether the upright axis is logarithmic."""
    figure = axes.get_figure()
    assert figure is not None
    box = axes.get_position()
    width_inches, height_inches = figure.get_size_inches()  # type: ignore[union-attr]
    w, h = width_inches * POINTS, height_inches * POINTS
    ends = (box.x0 * w, box.x1 * w, height - box.y0 * h, height - box.y1 * h)
    limits = (*axes.get_xlim(), *axes.get_ylim())
    numbers = [f"{value:.6g}" for value in (*ends, *limits)]
    return " ".join([*numbers, "log" if axes.get_yscale() == "log" else "linear"])
