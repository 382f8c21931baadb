"""How figures stand on the page: the sign of a minus, the digits of a p, and what stands where there is no figure.

Rates are printed in per cent, differences in percentage points. A blank is an en-rule with its reason, never a zero.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

MINUS, RULE = "\u2212", "\u2013"


def number(value: float | None, digits: int = 1) -> str:
    """With a true minus sign, which is as wide as the plus."""
    if value is None:
        return RULE
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", MINUS)


def hundredths(value: float) -> str:
    return number(value, 2)


def percent(rate: float) -> str:
    return number(100 * rate)


def points(difference: float) -> str:
    """A difference: its sign always stands before it."""
    text = number(difference)
    return f"+{text}" if difference > 0 and text != "0.0" else text


def interval(bounds: tuple[float, float]) -> str:
    return f"{points(bounds[0])} to {points(bounds[1])}"


def percent_interval(bounds: tuple[float, float]) -> str:
    return f"{percent(bounds[0])} to {percent(bounds[1])}"


def p_value(p: float) -> str:
    return "< 0.0001" if p < 0.0001 else f"{p:.4f}" if p < 0.1 else f"{p:.2f}"


def digits3(value: float) -> str:
    """Three significant digits, for what spans orders of magnitude: kl, gn, cin."""
    return f"{value:.3g}".replace("-", MINUS)


def plus_minus(value: float) -> str:
    return f"\u00b1{value:g}"


def thousands(count: int) -> str:
    return f"{count:,}".replace(",", "\u202f")


def out_of(pair: tuple[int, int]) -> str:
    return f"{pair[0]}/{pair[1]}"


def duration(seconds: float) -> str:
    hours, minutes = divmod(round(seconds / 60), 60)
    if hours == 0:
        return f"{minutes} min" if minutes else f"{seconds:.0f} s"
    return f"{hours} h {minutes:02d} min"


def moment(seconds: Any) -> str:
    """Of a POSIX time, in UTC: a page made in Sydney and in Berlin is the same page."""
    if not isinstance(seconds, int | float):
        return str(seconds or RULE)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def anything(value: Any) -> str:
    """A value of a record whose keys are not known beforehand."""
    if value is None or value == "":
        return RULE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}".replace("-", MINUS)
    if isinstance(value, list | tuple) and not any(isinstance(v, dict | list | tuple) for v in value):
        return ", ".join(anything(v) for v in value)
    return json.dumps(value, sort_keys=True) if isinstance(value, dict | list | tuple) else str(value)
