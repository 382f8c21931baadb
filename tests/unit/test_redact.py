"""Whatever a report still holds of a blinded run's outcome, nothing that is made of the report shows it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from orchestrator.report.model import Report
from orchestrator.report.page.render import render, write_figures
from orchestrator.report.redact import redacted
from orchestrator.report.tables import write_tables
from support.report_sample import crowded, full

MARK = 0.123987  # of every outcome, and of nothing else
WRITTEN = ("0.123987", "12.398", "12.4 %", ">12.4<")


def marked() -> Report:
    """Finished runs of one arm, blinded, each of whose outcomes is MARK."""
    report = full()
    label = "projected-m16"
    mark = dict.fromkeys(report.runs[0].rates, MARK)
    both = {"hack_rate": (MARK, MARK), "pass_rate": (MARK, MARK)}
    runs = tuple(
        replace(
            row, blinded=True, counted=False, rates=mark, bounds=both, as_trained=mark, takeoff_step=123987,
            hack_by_mode={"run_tests": MARK}, pass_by_mode={"run_tests": MARK},
        )
        if row.label == label
        else row
        for row in report.runs
    )  # fmt: skip
    arms = tuple(
        replace(arm, mean=mark, sd=mark, mean_with_excluded=mark, takeoffs=(123987,)) if arm.label == label else arm
        for arm in report.arms
    )
    contrasts = tuple(
        replace(c, blinded=True, with_excluded={"hack": 12.3987}, by_seed=({"seed": 41, "hack_treatment": 12.3987},))
        if c.treatment == label
        else c
        for c in report.contrasts
    )
    curves = tuple(
        replace(
            c, columns=c.columns | {"hack_s": (MARK,) * 200, "gt_s": (MARK,) * 200}, evals={"hack_rate": (MARK,) * 21}
        )
        if c.label == label
        else c
        for c in report.curves
    )
    examples = tuple(replace(e, run=f"{label}-s41", code="123987", completion="123987") for e in report.examples)
    return replace(report, runs=runs, arms=arms, contrasts=contrasts, curves=curves, examples=examples)


def test_page_and_tables_hold_no_outcome_of_a_blinded_run(tmp_path: Path) -> None:
    report = marked()
    html, table = render(report), write_tables(report, tmp_path)["csv"].read_text()
    for shown in (html, table):
        assert not [words for words in (*WRITTEN, "123987") if words in shown]
    assert "projected-m16-s41 (blinded): kl" in html, "its health is there"
    assert "projected-m16-s41 (blinded): hack_s" not in html and "vanilla-s41: hack_s" in html


def test_figures_hold_no_outcome_of_a_blinded_run(tmp_path: Path) -> None:
    """They are what they are for a report that never held one."""
    clean = redacted(marked())
    one = {name: path.read_bytes() for name, path in write_figures(marked(), tmp_path / "a").items()}
    other = {name: path.read_bytes() for name, path in write_figures(clean, tmp_path / "b").items()}
    assert one == other and redacted(clean) == clean


def test_a_report_without_blinded_runs_is_left_as_it_is() -> None:
    report = crowded()
    assert redacted(report) is report
