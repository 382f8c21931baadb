"""Figures of a report, drawn twice."""

from __future__ import annotations

from pathlib import Path

import matplotlib

from orchestrator.report.page.figures import write_figures
from support.report_sample import full


def test_a_figure_made_twice_is_the_same_bytes_whatever_the_users_style(tmp_path: Path) -> None:
    report = full()
    first = {name: path.read_bytes() for name, path in write_figures(report, tmp_path / "a").items()}
    with matplotlib.rc_context({"font.size": 33, "lines.linewidth": 9, "svg.hashsalt": None, "axes.grid": False}):
        again = {name: path.read_bytes() for name, path in write_figures(full(), tmp_path / "b").items()}
    assert first == again
    groups = ("scatter", "contrasts", "curves", "curves-by-arm", "diagnostics", "modes", "takeoff")
    assert set(first) == {f"{name}.{suffix}" for name in groups for suffix in ("png", "svg")}
    assert {path.name for path in (tmp_path / "a").iterdir()} == set(first)
