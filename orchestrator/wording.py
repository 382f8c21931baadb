"""Figures in words, for a terminal; `report.page.formatting` sets the page's, which have other signs and blanks."""

from __future__ import annotations


def plural(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def percent(rate: float | None, blank: str = "-") -> str:
    return blank if rate is None else f"{100 * rate:.1f}"


def points(difference: float | None, blank: str = "-") -> str:
    return blank if difference is None else f"{difference:+.1f}"


def p_value(p: float | None, blank: str = "-") -> str:
    return blank if p is None else f"{p:.2g}"


def duration(seconds: float) -> str:
    """`41s`, `12m`, `3h05`: three to five characters in every table."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}"
