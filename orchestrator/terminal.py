"""A table for a terminal, as wide as it may be."""

from __future__ import annotations

from collections.abc import Sequence


def columns(table: Sequence[Sequence[str]], width: int) -> list[str]:
    """Left-aligned columns, two spaces apart; empty ones left out, the first and last cut where a line is too long."""
    kept = [i for i in range(len(table[0])) if any(row[i] for row in table[1:])] or list(range(len(table[0])))
    widths = {i: max(len(row[i]) for row in table) for i in kept}
    room = width - sum(widths[i] + 2 for i in kept[1:-1]) - 2
    first, last = kept[0], kept[-1]
    if len(kept) > 1 and widths[first] + widths[last] > room:
        widths[last] = min(widths[last], max(12, room - widths[first]))
        widths[first] = max(8, min(widths[first], room - widths[last]))
    cuts = {first: _cut_inside} if first != last else {}
    return ["  ".join(cuts.get(i, _cut)(row[i], widths[i]).ljust(widths[i]) for i in kept).rstrip() for row in table]


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "~"


def _cut_inside(text: str, width: int) -> str:
    """A run's name tells by both ends: the arm in front, the seed behind."""
    front = (width - 1) // 2
    return text if len(text) <= width else f"{text[:front]}~{text[front + 1 - width :]}"
