"""Where a label may stand so that it hides no point and no other label.

Candidates lie on rings around the anchor; the nearest one that is free wins, else the one that hides least and whose
leader, the line back to the anchor, crosses least. All lengths are in points of the figure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

CROSSING = 3.0  # what a leader costs for each thing it crosses, in square points of a label hidden
RINGS = (7.0, 12.0, 20.0, 32.0, 46.0, 62.0, 80.0, 100.0, 125.0, 150.0)
ANGLES = (0, 45, 315, 90, 270, 22, 338, 135, 225, 180, 67, 293, 158, 202, 112, 248)  # degrees; right of the point first


@dataclass(frozen=True)
class Box:
    x0: float
    y0: float
    x1: float
    y1: float

    def overlap(self, other: Box) -> float:
        """Area that both cover."""
        width = min(self.x1, other.x1) - max(self.x0, other.x0)
        height = min(self.y1, other.y1) - max(self.y0, other.y0)
        return width * height if width > 0 and height > 0 else 0.0

    def holds(self, other: Box) -> bool:
        return self.x0 <= other.x0 and self.y0 <= other.y0 and other.x1 <= self.x1 and other.y1 <= self.y1

    def grown(self, margin: float) -> Box:
        return Box(self.x0 - margin, self.y0 - margin, self.x1 + margin, self.y1 + margin)


def around(x: float, y: float, radius: float) -> Box:
    return Box(x - radius, y - radius, x + radius, y + radius)


def place(anchor: tuple[float, float], size: tuple[float, float], taken: Iterable[Box], frame: Box) -> Box | None:
    """The label's box inside `frame`; None where every candidate hides more than a third of the label."""
    obstacles = list(taken)
    around_anchor = around(*anchor, 8.0)
    crossed = [other for other in obstacles if not around_anchor.overlap(other)]
    most = size[0] * size[1] / 3
    best: tuple[float, Box] | None = None
    for candidate in _candidates(anchor, size):
        if not frame.holds(candidate):
            continue
        wide = candidate.grown(1.0)
        cost = sum(wide.overlap(other) for other in obstacles)
        if cost >= most:
            continue
        leader = segment(anchor, nearest(candidate, anchor), 0.5)[1:]
        cost += CROSSING * sum(any(part.overlap(other) for part in leader) for other in crossed)
        if cost == 0:
            return candidate
        if best is None or cost < best[0]:
            best = (cost, candidate)
    return best[1] if best is not None else None


def nearest(box: Box, to: tuple[float, float]) -> tuple[float, float]:
    """The point of the box that a line from `to` reaches first."""
    return min(max(to[0], box.x0), box.x1), min(max(to[1], box.y0), box.y1)


def _candidates(anchor: tuple[float, float], size: tuple[float, float]) -> Iterable[Box]:
    """The side of the box that faces the anchor lies on the ring, so that long labels come as near as short ones."""
    (x, y), (width, height) = anchor, size
    for ring in RINGS:
        for angle in ANGLES:
            dx, dy = math.cos(math.radians(angle)), math.sin(math.radians(angle))
            left = x + ring * dx - width * (1 - dx) / 2
            bottom = y + ring * dy - height * (1 - dy) / 2
            yield Box(left, bottom, left + width, bottom + height)


def segment(start: tuple[float, float], end: tuple[float, float], width: float = 1.0) -> list[Box]:
    """A line as small boxes along it."""
    length = math.dist(start, end)
    n = max(1, math.ceil(length / 6))
    points = [(start[0] + (end[0] - start[0]) * k / n, start[1] + (end[1] - start[1]) * k / n) for k in range(n + 1)]
    return [around(x, y, width) for x, y in points]


def densest(points: Sequence[tuple[float, float]], side: tuple[float, float]) -> list[int]:
    """Which points the fullest window of width and height `side` holds. Windows start at points; first of equals."""
    found: list[int] = []
    for x0 in sorted({x for x, _ in points}):
        for y0 in sorted({y for _, y in points}):
            inside = [n for n, (x, y) in enumerate(points) if 0 <= x - x0 <= side[0] and 0 <= y - y0 <= side[1]]
            if len(inside) > len(found):
                found = inside
    return found
