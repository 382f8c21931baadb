"""The key of a figure in the page: a drawing of each arm's line or marker, in the page's colours, and its name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from core.figures.sheet import INK, PAPER, Extra, Sheet
from core.figures.style import ArmStyle
from orchestrator.report.page.inline_svg import colour

WIDTH, HEIGHT = 34, 14


@dataclass(frozen=True)
class Entry:
    swatch: str  # SVG
    words: str
    arm: int | None = None


def key_of(sheet: Sheet) -> list[Entry]:
    return [
        *(Entry(_of_arm(style, sheet.with_lines), style.label, style.place) for style in sheet.arms),
        *(Entry(_of_extra(extra), extra.words) for extra in sheet.extras),
    ]


def _of_arm(style: ArmStyle, line: bool) -> str:
    if line:
        return _svg(_line(style.colour, 1.8, style.dash))
    return _svg(_marker(style.marker, 8.0, style.colour, INK, 0.7), line=False)


def _of_extra(extra: Extra) -> str:
    style = extra.style
    if extra.patch:
        face, opacity = _face(style["facecolor"])
        edge = colour(str(style.get("edgecolor", "none")))
        shape = (
            f'<rect x="9" y="2" width="16" height="10" style="fill: {face}; fill-opacity: {opacity}; stroke: {edge}"/>'
        )
        if style.get("hatch"):
            shape += "".join(f'<path d="M{x} 12 l8 -10" style="stroke: {edge}"/>' for x in (9, 13, 17))
        return _svg(shape, line=False)
    parts = []
    line = style.get("linestyle", "-") != "none"
    if line:
        dash = style.get("linestyle", (0, None))
        parts.append(
            _line(style.get("color", INK), style.get("linewidth", 1.3), dash[1] or () if len(dash) > 1 else ())
        )
    if style.get("marker"):
        edge = style.get("markeredgecolor", style.get("color", INK))
        face = style.get("markerfacecolor", style.get("color", PAPER))
        parts.append(
            _marker(style["marker"], style.get("markersize", 6) * 1.2, face, edge, style.get("markeredgewidth", 1.0))
        )
    return _svg("".join(parts), line)


def _face(value: Any) -> tuple[str, float]:
    return (colour(value[0]), value[1]) if isinstance(value, tuple) else (colour(value), 0.6 if value != PAPER else 1.0)


def _line(stroke: str, width: float, dash: tuple[float, ...]) -> str:
    dashes = f"; stroke-dasharray: {' '.join(f'{width * part:.2f}' for part in dash)}" if dash else ""
    return f'<path d="M1 7 H{WIDTH - 1}" style="stroke: {colour(stroke)}; stroke-width: {width}{dashes}"/>'


def _marker(marker: str, size: float, face: str, edge: str, width: float) -> str:
    from matplotlib.markers import MarkerStyle

    style = MarkerStyle(marker)
    outlines: Any = style.get_path().transformed(style.get_transform()).to_polygons(closed_only=False)
    d = ""
    for outline in outlines:
        spots = [f"{WIDTH / 2 + size * x:.1f} {HEIGHT / 2 - size * y:.1f}" for x, y in outline]
        d += f"M{'L'.join(spots)}" + ("Z" if style.is_filled() else "")
    fill = colour(face) if style.is_filled() else "none"
    return f'<path d="{d}" style="fill: {fill}; stroke: {colour(edge)}; stroke-width: {width}"/>'


def _svg(inside: str, line: bool = True) -> str:
    left, width = (0, WIDTH) if line else (WIDTH // 2 - 9, 18)
    box = f'width="{width}" viewBox="{left} 0 {width} {HEIGHT}"'
    return f'<svg class="swatch" {box} aria-hidden="true" focusable="false">{inside}</svg>'
