"""The table of docs/statistics.md against the simulation."""

from __future__ import annotations

import pytest

from core.statistics.power import Design, power_of, rejections
from support.paths import REPO

BENCHMARK = Design(problems=113, samples=10, seeds=3)  # docs/protocol.md 1.8, 1.11


def test_the_documents_table_is_what_the_simulation_gives() -> None:
    document = (REPO / "docs" / "statistics.md").read_text()
    rows = [line.strip("| ").replace("*", "").split(" | ") for line in document.splitlines() if line.startswith("| ")]
    written = {words: (float(found), float(null)) for words, found, null in rows[1:]}
    said = power_of(BENCHMARK, 30, draws=10_000)
    apart = Design(113, 10, 3, seed_sd=0.12)
    half = [rejections(apart, effect, 10_000, seed=0, drop_points=15).with_drop for effect in (30, 0)]
    differ, alarm = said.found_seeds_differ, said.false_alarm_seeds_differ
    simulated_shares = {
        "t-test over problems, seeds alike": (said.found.over_problems, said.false_alarm.over_problems),
        "t-test over problems, seeds 12 points apart": (differ.over_problems, alarm.over_problems),
        "the same, and 30 points or more are seen": (differ.with_drop, alarm.with_drop),
        "the same, and 15 points or more are seen": tuple(half),
        "t-test over the 3 seeds, seeds 12 points apart": (differ.over_seeds, alarm.over_seeds),
    }
    assert written.keys() == simulated_shares.keys()
    for words, shares in simulated_shares.items():
        assert written[words] == pytest.approx([100 * share for share in shares if share is not None], abs=0.051), words
