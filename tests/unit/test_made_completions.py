"""The made completions and what is stored of them, without judging any."""

from __future__ import annotations

import json

from support.kept_disagreements import KEPT
from support.made import all_made
from support.paths import REPO
from support.peer_labels import RESULT, stored_outcomes
from support.shared_data import ROWS, shared_file


def test_the_benchmark_was_asked_about_these_very_completions() -> None:
    rows = [json.loads(line) for line in shared_file(ROWS).read_text(encoding="utf-8").splitlines()]
    cases = all_made(rows)
    assert len(stored_outcomes(cases)) == len(cases) > 300


def test_each_disagreement_that_is_kept_is_told_in_the_docs() -> None:
    said = (REPO / "docs" / "grading.md").read_text()
    assert [kind for kind in KEPT if f"`{kind}`" not in said] == []


def test_the_docs_give_the_stored_figures() -> None:
    said = (REPO / "docs" / "grading.md").read_text()
    stored = json.loads(RESULT.read_text())
    whole, agreeing, paid = (stored[n] for n in ("completions", "agree_in_every_field", "agree_in_reward_and_label"))
    figures = (
        f"{whole:,} made completions of {len(stored['kinds'])} kinds",
        f"label on {paid:,}",
        f"tests) on {agreeing:,}",
    )
    assert [figure for figure in figures if figure not in said] == []
