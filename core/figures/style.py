"""How an arm looks in every figure: a colour of Okabe and Ito, a marker and a dash.

The lengths of the three lists share no factor, so that arms which share a colour differ in marker and dash, and a grey
print still tells them apart. Yellow is left out: on white it cannot be seen.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#6b6b6b")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", "p", ">", "*")
DASHES: tuple[tuple[float, ...], ...] = ((), (5, 1.5), (1, 1.2), (6, 1.5, 1, 1.5), (3, 1, 1, 1, 1, 1))  # points


@dataclass(frozen=True)
class ArmStyle:
    """`place` is the arm's number in the plan; `dash` lists lengths on and off in line widths, empty is a full line."""

    label: str
    place: int
    colour: str
    marker: str
    dash: tuple[float, ...]

    @property
    def line(self) -> Any:
        """As matplotlib takes a line style."""
        return (0, self.dash or None)


def arm_styles(labels: Iterable[str]) -> dict[str, ArmStyle]:
    """By label, in the order given (the plan's), so that one arm looks the same in all figures of a report."""
    return {
        label: ArmStyle(
            label,
            place,
            COLOURS[place % len(COLOURS)],
            MARKERS[place % len(MARKERS)],
            DASHES[place % len(DASHES)],
        )
        for place, label in enumerate(dict.fromkeys(labels))
    }


def wrapped(label: str, width: int) -> str:
    """Lines of at most `width` letters, broken after a dash or an underscore where there is one; nothing is cut off."""
    lines = []
    while len(label) > width:
        cut = max(label.rfind(mark, 0, width) for mark in "-_ ") + 1
        cut = cut if cut > width // 3 else width
        lines.append(label[:cut].rstrip(" "))
        label = label[cut:]
    return "\n".join([*lines, label])


def counted(label: str, n: int, width: int, *marks: str) -> str:
    """The label, wrapped, with its n; the bracket is never broken."""
    lines = wrapped(label, width).split("\n")
    bracket = f"({', '.join([f'n = {n}', *marks])})"
    room = len(lines[-1]) + 1 + len(bracket) <= width
    return "\n".join([*lines[:-1], f"{lines[-1]} {bracket}"] if room else [*lines, bracket])


def shortened(label: str, most: int) -> str:
    """Start and end, since names that are long often differ at their end."""
    if len(label) <= most:
        return label
    tail = (most - 3) // 2
    return f"{label[: most - 3 - tail]}...{label[-tail:]}"
