"""Money: priced from what was measured, counted once per box, never spent beyond the cap."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace

import pytest

from core.runs import durable
from core.runs.run_dir import RunDir
from core.spec import PRESETS
from orchestrator.state.budget import Purse
from orchestrator.state.cost import cost, price
from orchestrator.state.lifetimes import busy_seconds, lifetimes
from orchestrator.state.observed_plan import ObservedPlan
from orchestrator.state.pace import Fitted, Interval, Measured, pace_of, pace_of_fits, run_seconds, shape
from orchestrator.store.plan_dir import choose_plan, read_spec
from support.fake_home import FakeHome, until
from support.plan_files import MONEY


def planned(fake: FakeHome, text: str = MONEY, *flags: str) -> str:
    path = fake.home.path / "money.toml"
    path.write_text(text)
    return fake.grpoq("plan", str(path), "--slots", "1", *flags).stdout


def rows(fake: FakeHome) -> list[dict]:
    return json.loads(fake.grpoq("status", "--json").stdout)["runs"]


def test_a_box_is_paid_once_however_many_runs_share_it() -> None:
    assert busy_seconds([(0, 10), (5, 12), (20, 21)]) == 13
    assert busy_seconds([(0, 10), (2, 3)]) == 10
    assert busy_seconds([(7, 3)]) == 0  # a clock that was set back


def test_pace_is_of_the_same_arm_where_there_is_one_and_widens_with_the_spread() -> None:
    slow = Measured("a", "erase", (4.0, 4.0), (6.0,), 10.0)
    one = Measured("b", "vanilla", (1.0,) * 9 + (11.0,), (), 20.0)
    other = Measured("c", "vanilla", (3.0,) * 10, (), 20.0)
    alone = pace_of([slow, one], "vanilla")
    assert alone and alone.step_s == Interval(1.0, 2.0, 11.0) and alone.around_s == 20.0
    both = pace_of([slow, one, other], "vanilla")
    assert both and both.step_s.mean == 2.5 and both.step_s.low == pytest.approx(2.5 - 2 * 0.5**0.5 * 1.5**0.5)
    assert (pace_of([slow], "vanilla") or both).source.endswith("(another arm)")
    assert pace_of([], "vanilla") is None


def test_a_run_is_steps_evaluations_and_one_start() -> None:
    config = PRESETS["smoke"]  # 30 steps, an evaluation every 15 and before the first
    pace = pace_of([Measured("a", "vanilla", (2.0, 2.0), (5.0,), 7.0)], "vanilla")
    assert pace and run_seconds(config, pace).mean == 30 * 2 + 3 * 5 + 7
    assert run_seconds(config, pace, from_step=20).mean == 10 * 2 + 5 + 7


def test_only_what_changes_a_steps_cost_changes_its_shape() -> None:
    config = PRESETS["nano"]
    assert shape(replace(config, steps=7, lr=1.0, kl=0.5)) == shape(config)
    assert shape(replace(config, batch=32)) != shape(config) != shape(replace(config, max_new=97))


def test_a_plan_is_priced_from_a_probe_and_not_before(fake: FakeHome) -> None:
    text = MONEY.replace("cap = 100", "")
    assert "price: unknown" in planned(fake, text)
    planned(fake, text, "--probe")
    probe = choose_plan(fake.home, None)
    assert probe.content["name"] == "money-probe" and len(probe.run_ids) == 1
    fake.grpoq("submit", "--backend", "local", GRPOQ_FAKE_STEP_S="0.05")
    fake.grpoq("wait", "--timeout", "60")
    price = json.loads(planned(fake, text, "--json"))["price"]
    assert price["money"]["mean"] >= 3 * 40 * 0.05  # three runs of forty steps, one unit a second
    assert price["money"]["low"] <= price["money"]["mean"] <= price["money"]["high"]
    assert price["measured_from"] == [f"5 steps of {probe.run_ids[0]}"] and price["unpriced"] == []
    assert "AUD" in planned(fake, text)


FIT = (
    MONEY
    + """
[[job]]
name = "fit"
kind = "fit"
[[gate]]
name = "fits"
run = "fit"
metric = "fits"
at_least = 1
before = ["vanilla"]
approve = "human"
"""
)
MEASURED = "fits=1,seconds_sample=0.2,seconds_grade=0.1,seconds_per_step=0.5,seconds_longest_step=2,seconds_load=3"


def test_a_fit_prices_the_runs_until_they_have_steps_of_their_own(fake: FakeHome) -> None:
    """Forty steps and evaluations before the first, every 15 and after the last: 4 x 1 shard of 4 problems."""
    said = planned(fake, FIT.replace("cap = 100", "cap = 400"))
    assert "its fit run goes first and measures it" in said and "--probe" not in said
    plan = choose_plan(fake.home, None)
    fake.grpoq("submit", "--backend", "local", GRPOQ_FAKE_FIGURES=f"{MEASURED},seconds_eval_shard=4")
    fake.grpoq("wait", plan.run_ids[0], "--timeout", "60")
    (fit, *trained) = plan.runs()
    answer = price(fake.home, plan.content, [read_spec(run) for run in trained[1:]])
    around = 3 + 4 * 4
    wanted = [2 * (40 * step + around) for step in (0.3, 0.5, 2.0)]
    assert [answer["money"][end] for end in ("low", "mean", "high")] == pytest.approx(wanted)
    assert answer["measured_from"] == [f"a step of {fit.run_id}"]
    purse = ObservedPlan(plan).purse
    assert purse._remaining_s(trained[1].run_id) == pytest.approx(40 * 2.0 + around)  # what is reserved: the longest
    purse.cap = 10.0
    assert f"this run {40 * 2.0 + around:.2f}, cap 10 AUD" in purse.refusal(trained[1].run_id)


def test_a_fit_of_another_shape_prices_nothing(fake: FakeHome) -> None:
    config = PRESETS["smoke"]
    metrics = {key: float(value) for key, _, value in (pair.partition("=") for pair in MEASURED.split(","))}
    found = Fitted("fit-s41", config, metrics | {"seconds_eval_shard": 4.0})
    assert pace_of_fits([found], replace(config, eval_problems=9, eval_samples=3, steps=7, lr=1.0)) is not None
    assert pace_of_fits([found], replace(config, batch=4)) is pace_of_fits([], config) is None
    newer = replace(found, run_id="fit-s42")
    assert (pace_of_fits([found, newer], config) or pytest.fail()).source == "a step of fit-s42"


def test_what_does_not_fit_is_not_started_and_says_so(fake: FakeHome) -> None:
    """Each run takes about 4 units by its first steps; the third does not fit under the cap."""
    planned(fake, MONEY.replace("cap = 100", "cap = 11"))
    fake.grpoq("submit", "--backend", "local", GRPOQ_FAKE_STEP_S="0.1")
    done = fake.grpoq("wait", "--timeout", "60", expect=1)
    assert "nothing can go on" in done.stderr and "cap 11 AUD" in done.stderr and "amend" in done.stderr
    found = rows(fake)
    assert [row["state"] for row in found] == ["done", "done", "queued"]
    assert found[2]["note"].startswith("budget: spent") and found[2]["attempt"] == 0
    assert fake.grpoq("status", found[2]["run_id"]).stdout.rstrip().endswith("next: grpoq cost")
    assert cost(ObservedPlan(choose_plan(fake.home, None)))["spent"] < 11
    fake.grpoq("amend", "--reason", "the box got cheaper", "--cap", "100")
    assert "3 of 3 done" in fake.grpoq("wait", "--timeout", "60").stdout


def test_what_runs_is_stopped_before_the_cap_with_a_checkpoint(fake: FakeHome) -> None:
    """Nothing was measured, so nothing could be reserved: the stop holds the cap."""
    planned(
        fake, MONEY.replace("cap = 100", "cap = 8").replace("steps = 40", "steps = 4000").replace("41, 42, 43", "41")
    )
    fake.grpoq("submit", "--backend", "local", GRPOQ_FAKE_STEP_S="0.1")
    fake.grpoq("wait", "--timeout", "60", expect=1)
    found = rows(fake)
    stopped = [row for row in found if row["attempt"]]
    assert [row["state"] for row in stopped] == ["failed"] and stopped[0]["error"]["class"] == "budget"
    assert stopped[0]["checkpoint_step"] > 0 and "of 8 AUD are spent" in stopped[0]["error"]["message"]
    assert cost(ObservedPlan(choose_plan(fake.home, None)))["spent"] <= 8
    refused = fake.grpoq("retry", stopped[0]["run_id"], expect=2)
    assert "cannot go on: budget" in refused.stderr
    fake.grpoq("amend", "--reason", "more money", "--cap", "1e6")
    fake.grpoq("retry", stopped[0]["run_id"])
    run = fake.home.run(stopped[0]["run_id"])
    until(lambda: len(run.attempts()) == 2, "it goes on")


def test_a_fallback_spends_from_the_cap_of_the_plan_that_it_replaces(fake: FakeHome) -> None:
    gate = """
[[gate]]
name = "h4"
run = "vanilla-s41"
metric = "hack_rate"
at_least = 0.9
before = ["vanilla"]
fallback = { batch = 4 }
"""
    planned(fake, MONEY + gate)
    fake.grpoq("submit", "--backend", "local", GRPOQ_FAKE_STEP_S="0.05")
    fake.grpoq("wait", "--timeout", "60", expect=1)  # 0.5 is below the gate
    spent = cost(ObservedPlan(choose_plan(fake.home, None)))["spent"]
    fake.grpoq("plan", "--fallback", "h4")
    assert spent > 1 and cost(ObservedPlan(choose_plan(fake.home, None)))["spent"] == spent


def test_the_cost_of_a_run_survives_a_clock_that_was_set_back(fake: FakeHome) -> None:
    plan = fake.planned()
    run = RunDir(plan.runs()[0].path)
    run.submit("local")
    os.close(run.claim(1).lock)
    durable.write_json(run.attempt(1) / "exit.json", {"exit_code": 0, "time": time.time() - 1e6})
    assert cost(ObservedPlan(plan))["spent_box_hours"] == 0.0


def test_a_wall_clock_that_jumps_spends_nothing(fake: FakeHome, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four days on, as a box that was paused or set right: the run has lived for a second all the same."""
    run = fake.planned().runs()[0]
    run.submit("local")
    claim = run.claim(1)
    try:
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() + 4 * 86400)
        assert busy_seconds(lifetimes(run)) < 60
    finally:
        os.close(claim.lock)


def test_a_reservation_is_no_less_than_the_worst_order() -> None:
    """Three hours on two slots can take two: two at once, then the third."""
    purse = object.__new__(Purse)
    purse.slots, purse.per_hour = 2, 1.0
    assert purse._price([3600.0] * 3) == 2.0 and purse._price([3600.0]) == 1.0 and purse._price([]) == 0.0
