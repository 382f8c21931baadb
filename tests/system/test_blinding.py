"""Outcomes stay hidden until every run of a contrast has ended; a look is possible, and kept before it is granted."""

from __future__ import annotations

import json

import pytest

from core.runs import durable
from orchestrator.report.gather import gather
from orchestrator.state.blinding import PEEKS, hidden_labels
from orchestrator.state.observed_plan import ObservedPlan
from support.fake_home import FakeHome
from support.finished_runs import MATRIX, WORKS, Study, study


@pytest.fixture
def half(fake: FakeHome) -> Study:
    """Vanilla is whole; of erase one seed is not there yet."""
    made = study(fake)
    for label in ("vanilla", "erase", "random_V"):
        for seed in (41, 42, 43):
            if (label, seed) != ("erase", 43):
                made.finish(f"{label}-s{seed}", *WORKS[label])
    return made


def hidden(made: Study) -> set[str]:
    return hidden_labels(ObservedPlan(made.plan))


def test_an_arm_shows_once_a_contrast_of_it_is_complete(half: Study) -> None:
    assert hidden(half) == {"erase", "rebound_mul", "random_V", "erase-k1"}  # vanilla alone answers H4
    half.finish("erase-s43", *WORKS["erase"])
    assert hidden(half) == {"rebound_mul", "erase-k1"}


def test_a_finished_run_is_not_shown_before_its_evaluation(half: Study) -> None:
    half.finish("erase-s43", *WORKS["erase"], evaluated=False)
    assert "erase" in hidden(half)


def test_failed_and_cancelled_runs_have_ended(half: Study) -> None:
    half.run("erase-s43").cancel()
    assert hidden(half) == {"rebound_mul", "erase-k1"}


def test_a_retry_that_hides_again_what_could_be_seen_is_kept_as_a_look(fake: FakeHome, half: Study) -> None:
    half.run("erase-s43").cancel()
    assert "erase" not in hidden(half)
    half.plan.record_request("local", 1)
    fake.grpoq("retry", "erase-s43")
    (look,) = durable.read_lines(half.plan.path / PEEKS)
    assert look["labels"] == ["erase"] and "retry" in look["command"]


def test_the_figure_of_a_passed_gate_is_hidden_with_its_arm(fake: FakeHome) -> None:
    gate = '[[gate]]\nname = "h4"\nrun = "vanilla-s41"\nmetric = "hack_rate"\nat_least = 0.3\nbefore = ["erase"]\n'
    made = study(fake, MATRIX.replace("[[hypothesis]]", f"{gate}[[hypothesis]]", 1))
    made.finish("vanilla-s41", *WORKS["vanilla"])
    assert json.loads(fake.grpoq("status", "--json").stdout)["gates"][0]["value"] is None
    assert gather(ObservedPlan(made.plan)).gates[0]["value"] is None
    for seed in (42, 43):
        made.finish(f"vanilla-s{seed}", *WORKS["vanilla"])
    assert gather(ObservedPlan(made.plan)).gates[0]["value"] == pytest.approx(0.8, abs=0.1)


def test_without_hypotheses_all_runs_are_one_contrast_and_exploring_hides_nothing(fake: FakeHome) -> None:
    bare, _, _ = MATRIX.partition("[[hypothesis]]")
    for text, expected in ((bare, {*WORKS}), (bare.replace("seeds =", "preregistered = false\nseeds =", 1), set())):
        made = study(fake, text)
        made.finish("vanilla-s41", *WORKS["vanilla"])
        assert hidden(made) == expected


def test_status_shows_health_and_no_outcome_until_then(fake: FakeHome, half: Study) -> None:
    rows = {row["run_id"]: row for row in json.loads(fake.grpoq("status", "--json").stdout)["runs"]}
    assert rows[half.run("erase-s41").run_id]["hack_rate"] is None
    assert rows[half.run("vanilla-s41").run_id]["hack_rate"] == pytest.approx(0.8, abs=0.1)
    erase = durable.read_json(half.run("erase-s41").result_path)
    assert erase is not None
    shown = f"{100 * erase['hack_rate']:.1f}"
    for command in (("status",), ("status", "erase-s41")):
        assert shown not in fake.grpoq(*command).stdout
    assert not (half.plan.path / PEEKS).exists()
    assert shown in fake.grpoq("status", "--peek").stdout
    (peek,) = durable.read_lines(half.plan.path / PEEKS)
    assert peek["command"] == "grpoq status --peek" and "erase" in peek["labels"] and peek["by"]


def test_the_report_shows_health_until_then_and_names_every_look(fake: FakeHome, half: Study) -> None:
    report = gather(ObservedPlan(half.plan))
    erase = [row for row in report.runs if row.label == "erase"]
    assert all(row.blinded and set(row.rates.values()) == {None} and row.takeoff_step is None for row in erase)
    assert erase[0].health["kl"] is not None and not report.claim.made
    assert all("hack_s" not in c.columns and c.evals == {} for c in report.curves if c.label == "erase")
    assert all(c.hack is None and not c.by_seed for c in report.contrasts if "erase" in (c.treatment, c.baseline))
    secret = durable.read_json(half.run("erase-s41").result_path)
    assert secret is not None and repr(secret["hack_rate"]) not in json.dumps(report.to_json())
    assert "hidden" in report.headline

    fake.grpoq("report", "--peek")
    looked = gather(ObservedPlan(half.plan))
    assert len(looked.peeks) == 1 and looked.peeks[0]["command"] == "grpoq report --peek"
    half.finish("erase-s43", *WORKS["erase"])
    assert "1 peek" in fake.grpoq("report").stdout


def test_a_look_at_what_is_complete_is_none(fake: FakeHome) -> None:
    made = study(fake)
    made.finish_all()
    fake.grpoq("status", "--peek")
    assert not (made.plan.path / PEEKS).exists()
