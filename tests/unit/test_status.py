"""The status is the contract's JSON, and a table that fits 80 columns and names the next command."""

from __future__ import annotations

import json

from core.runs.run_dir import identity
from orchestrator.reading.status import next_of_plan, plan_status
from orchestrator.reading.status_text import plan_lines
from orchestrator.state.observed_plan import ObservedPlan
from orchestrator.terminal import columns
from support.fake_home import FakeHome, tree, until

ROW_KEYS = {
    "run_id", "kind", "label", "arm", "seed", "state", "step", "steps", "attempt", "pid", "heartbeat_age_s",
    "checkpoint_step", "eta_s", "cost", "note", "error",
}  # fmt: skip


def answer(fake: FakeHome, *arguments: str) -> dict:
    """What `--json` prints is one document and nothing else."""
    return json.loads(fake.grpoq("status", *arguments, "--json").stdout)


def test_json_of_a_plan_before_and_after(fake: FakeHome) -> None:
    plan = fake.planned(seeds="41,42")
    before = answer(fake)
    assert before["schema"] == 1 and before["backend"] is None and before["counts"] == {"planned": 2}
    assert before["plan"] == {"name": "smoke", "hash": plan.content["hash"]}
    row = before["runs"][0]
    assert set(row) >= ROW_KEYS
    assert (row["kind"], row["label"], row["arm"], row["seed"], row["state"]) == (
        "train",
        "vanilla",
        "vanilla",
        41,
        "planned",
    )
    assert (row["step"], row["steps"], row["attempt"], row["pid"], row["checkpoint_step"]) == (0, 12, 0, None, None)
    fake.submit(plan)
    assert fake.wait(plan) == {"done"}
    after = answer(fake)
    assert after["backend"] == "local" and after["counts"] == {"done": 2}
    assert (after["runs"][0]["step"], after["runs"][0]["attempt"], after["runs"][0]["checkpoint_step"]) == (12, 1, 10)


def test_json_of_a_run_has_its_history(fake: FakeHome) -> None:
    plan = fake.planned()
    run = plan.runs()[0]
    assert answer(fake, "vanilla")["next"] == "grpoq submit"
    fake.submit(plan)
    assert fake.wait(plan) == {"done"}
    row = answer(fake, "vanilla")
    assert row["next"] == "grpoq report" and row["gates"] == []
    attempt = row["attempts"][0]
    assert (attempt["number"], attempt["exit_code"], attempt["first_step"], attempt["last_step"]) == (1, 0, 1, 12)
    assert attempt["started"] <= attempt["ended"]
    assert row["adapter_sha256"] == json.loads(run.result_path.read_text())["adapter_sha256"]


def test_a_living_run_shows_pid_pace_and_eta(fake: FakeHome) -> None:
    plan = fake.planned("checkpoint_every=2", steps=400)
    fake.submit(plan, GRPOQ_FAKE_STEP_S="0.05")
    row = until(lambda: (r := answer(fake)["runs"][0])["step"] >= 2 and r["checkpoint_step"] and r, "step 2")
    assert row["state"] == "running" and row["attempt"] == 1 and row["heartbeat_age_s"] < 5
    assert row["pid"] == plan.runs()[0].heartbeat(1)["pid"]
    assert row["eta_s"] == round((400 - row["step"]) * 0.05, 1)
    sha256 = answer(fake, "vanilla")["adapter_sha256"]
    assert len(sha256) == 64  # of the newest checkpoint, there being no result yet


def test_status_writes_nothing(fake: FakeHome) -> None:
    fake.planned()
    before = tree(fake.home.path)
    for arguments in ([], ["--json"], ["vanilla"], ["--all-kinds"]):
        fake.grpoq("status", *arguments)
    assert tree(fake.home.path) == before


def test_cost_is_the_runs_share_of_the_box(fake: FakeHome) -> None:
    """3,600 per hour is 1 a second; two slots share it. One attempt of 100 s costs 50."""
    matrix = fake.home.path / "priced.toml"
    matrix.write_text(
        'name = "priced"\npreset = "smoke"\nseeds = [1]\n[[arm]]\nname = "vanilla"\n'
        "[config]\ndisk_floor_gb = 0.01\n[budget]\nper_hour = 3600\n"
    )
    fake.grpoq("plan", str(matrix), "--slots", "2")
    from orchestrator.store.plan_dir import choose_plan

    plan = choose_plan(fake.home, None)
    run = plan.runs()[0]
    claim = run.claim(None)
    import os

    os.close(claim.lock)
    os.utime(claim.path / "lock", (1000, 1000))
    (claim.path / "heartbeat.json").write_text(json.dumps(identity() | {"beat": 1100.0, "attempt": 1}))
    assert plan_status(ObservedPlan(plan))["runs"][0]["cost"] == 50.0


def test_the_table_fits_and_says_what_to_type(fake: FakeHome) -> None:
    plan = fake.planned(seeds="41,42")
    status = plan_status(ObservedPlan(plan))
    status["runs"][0] |= {"state": "running", "step": 7, "attempt": 2, "note": "silent 12m", "seconds_per_step": 1.25}
    status["runs"][0] |= {"label": "a-very-long-label-that-somebody-chose-for-an-arm", "eta_s": 5400}
    status["runs"][1]["note"] = "failed for a reason " * 9
    status["backend"], status["watch"] = "local", True
    status["next"] = next_of_plan(status)
    lines = plan_lines(status, plan.plan_id, 80)
    assert max(map(len, lines)) <= 80
    assert any(all(word in line for word in ("running", "7/12", "1.25", "1h30", "2", "silent 12m")) for line in lines)
    assert lines[-1] == "next: grpoq status --watch"


def test_a_dead_watch_is_named(fake: FakeHome) -> None:
    plan = fake.planned()
    plan.record_request("local", 1)
    lines = plan_lines(plan_status(ObservedPlan(plan)), plan.plan_id, 80)
    assert "NO WATCH RUNS" in lines[0] and lines[-1] == "next: grpoq resume"


def test_empty_columns_are_left_out() -> None:
    assert columns([["a", "b", "c"], ["1", "", "3"]], 80) == ["a  c", "1  3"]


def test_outcomes_show_in_the_status_once_all_has_ended(fake: FakeHome) -> None:
    """Before that they are hidden: tests/system/test_blinding.py."""
    plan = fake.planned(seeds="41,42")
    assert "hack" not in fake.grpoq("status").stdout
    fake.submit(plan)
    assert fake.wait(plan) == {"done"}
    assert "hack  pass" in fake.grpoq("status").stdout
