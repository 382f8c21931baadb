"""Nothing that is made of a plan depends on an outcome of a blinded run: page, figures, tables, JSON, terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.runs import durable
from core.runs.run_dir import RunDir
from core.statistics.evaluations import figures_sha256
from orchestrator.report.gather import gather, report_of
from orchestrator.report.model import EVAL_COLUMNS, OUTCOME_COLUMNS, RATES
from orchestrator.report.outcomes import read_outcomes
from orchestrator.report.page.render import render, write_figures
from orchestrator.report.redact import redacted
from orchestrator.report.tables import write_tables
from orchestrator.report.text import report_lines
from orchestrator.state.observed_plan import ObservedPlan
from support.fake_home import FakeHome
from support.finished_runs import MATRIX, WORKS, Study, problem_rows, study

MARK = 0.123987  # of every outcome that is planted, and of nothing else
WRITTEN = ("123987", "12.398", "12.4", "12.40")
GATE = '[[gate]]\nname = "h4"\nrun = "erase-s41"\nmetric = "hack_rate"\nat_least = 0.1\nbefore = ["rebound_mul"]\n'


@pytest.fixture
def half(fake: FakeHome) -> Study:
    """Of erase one seed is not there yet, so its outcomes are blinded; a gate has passed on one of them."""
    made = study(fake, MATRIX.replace("[[hypothesis]]", f"{GATE}[[hypothesis]]", 1))
    for label in ("vanilla", "erase", "random_V"):
        for seed in (41, 42, 43):
            if (label, seed) != ("erase", 43):
                made.finish(f"{label}-s{seed}", *WORKS[label])
    return made


def in_result(run: RunDir) -> None:
    outcome = dict.fromkeys((*RATES, *(f"{name}_as_trained" for name in RATES)), MARK) | {"takeoff_step": 123987}
    outcome |= {"hack_by_mode": {"run_tests": MARK}, "pass_by_mode": {"run_tests": MARK}, "n_hinted": 123987}
    outcome |= {"unique": dict.fromkeys(RATES, MARK)}
    durable.write_json(run.result_path, (durable.read_json(run.result_path) or {}) | outcome)


def in_collapse(run: RunDir) -> None:
    durable.write_json(run.result_path, (durable.read_json(run.result_path) or {}) | {"collapsed": True})


def in_metrics(run: RunDir) -> None:
    _rewrite(run.attempt(1) / "metrics.jsonl", dict.fromkeys((*OUTCOME_COLUMNS, "hinted"), MARK))


def in_evals(run: RunDir) -> None:
    _rewrite(run.attempt(1) / "evals.jsonl", dict.fromkeys((*EVAL_COLUMNS, *RATES), MARK))


def in_evaluation(run: RunDir) -> None:
    for path in (run.path / "eval").glob("*.json"):
        content = durable.read_json(path) or {}
        content["metrics"] = dict.fromkeys(content["metrics"], MARK) | {"as_trained": dict.fromkeys(RATES, MARK)}
        content["metrics"] |= {"hack_by_mode": {"run_tests": MARK}, "pass_by_mode": {"run_tests": MARK}}
        content["metrics"] |= {"n_hinted": 123987, "n_pass": 123987, "unique": dict.fromkeys(RATES, MARK)}
        content["problems"] = problem_rows("others", 0.5, 0.5)[:7]
        durable.write_json(path, content | {"figures_sha256": figures_sha256(content)})


def in_rollouts(run: RunDir) -> None:
    row = {"step": 1, "group": 0, "member": 0, "problem_id": "123987", "mode": "run_tests", "label": "Reward Hack"}
    row |= {"teacher": False, "strict_hack": True, "exploited": True, "completion": "```python\n123987\n```"}
    durable.append_line(run.attempt(1) / "rollouts.jsonl", row)


PLACES = (in_result, in_collapse, in_metrics, in_evals, in_evaluation, in_rollouts)


def _rewrite(path: Path, more: dict[str, Any]) -> None:
    rows = durable.read_lines(path)
    path.unlink()
    for row in rows:
        durable.append_line(path, row | more)


def blinded_runs(made: Study) -> list[RunDir]:
    return [made.run(name) for name in ("erase-s41", "erase-s42")]


@pytest.mark.parametrize("place", PLACES)
def test_a_report_is_the_same_whatever_the_outcome_of_a_blinded_run(half: Study, place: Any) -> None:
    before = gather(ObservedPlan(half.plan)), gather(ObservedPlan(half.plan), show_hidden=True)
    for run in blinded_runs(half):
        place(run)
    after = gather(ObservedPlan(half.plan)), gather(ObservedPlan(half.plan), show_hidden=True)
    assert before[0] == after[0]
    if place is not in_result:  # evaluations come before it
        assert before[1] != after[1], "the look sees what was planted"


def test_what_is_shown_is_the_whole_report_without_what_is_blinded(half: Study) -> None:
    whole = read_outcomes(ObservedPlan(half.plan))
    assert all(o.finished and o.metrics and o.evals for o in whole.of("erase")[:2])
    assert report_of(whole) == gather(ObservedPlan(half.plan), show_hidden=True)
    shown = gather(ObservedPlan(half.plan))
    assert report_of(redacted(whole, frozenset(row.label for row in shown.runs if row.blinded))) == shown
    assert report_of(redacted(whole, frozenset())) == report_of(whole)


def test_what_is_left_to_be_shown_holds_no_outcome_at_all(half: Study) -> None:
    """Not only the report: nothing that a page may be made of tomorrow has them."""
    for run in blinded_runs(half):
        for place in PLACES:
            place(run)
    whole = read_outcomes(ObservedPlan(half.plan))
    left = redacted(whole, frozenset({"erase"}))
    assert "123987" in repr((whole.runs, whole.evaluations)) and "123987" not in repr((left.runs, left.evaluations))


def test_a_planted_outcome_is_nowhere_in_print(half: Study, tmp_path: Path) -> None:
    for run in blinded_runs(half):
        for place in PLACES:
            place(run)
    report = gather(ObservedPlan(half.plan))
    paths = write_tables(report, tmp_path) | write_figures(report, tmp_path)
    html = render(report)
    shown = {
        "page": html,
        "table": paths["csv"].read_text(),
        "JSON": json.dumps(report.to_json()),
        "terminal": "\n".join(report_lines(report, 80)),
        **{path.name: path.read_text() for path in paths.values() if path.suffix == ".svg"},
    }
    assert not [(name, words) for name, text in shown.items() for words in WRITTEN[:2] if words in text]
    for name in ("table", "terminal"):
        assert not [words for words in WRITTEN if words in shown[name]]
    assert "erase-s41 (blinded): kl" in html, "its health is there"
    assert "erase-s41 (blinded): hack_s" not in html and "vanilla-s41: hack_s" in html
    assert next(gate for gate in report.gates if gate["name"] == "h4")["value"] is None
    assert "123987" in json.dumps(gather(ObservedPlan(half.plan), show_hidden=True).to_json())
