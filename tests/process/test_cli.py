"""Exit codes and sentences of `grpoq`, as a script meets them; bad input leaves the home as it was."""

from __future__ import annotations

import json
import sqlite3

import pytest

from support.fake_home import FakeHome, tree, until

SMALL = ("--set", "disk_floor_gb=0.01", "--set", "steps=12", "--arms", "vanilla", "--seeds", "41")


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["plan", "nanoo"], ["nanoo", "nano"]),
        (["plan", "no/such.toml"], ["no/such.toml"]),
        (["plan", "smoke", "--arms", "erasse"], ["erasse", "vanilla"]),
        (["plan", "smoke", "--set", "model=./nowhere"], ["./nowhere"]),
        (["plan", "smoke", "--set", "steps=0"], ["steps"]),
        (["plan", "smoke", "--set", "disk_floor_gb=1e9"], ["GB free"]),
        (["plan", "smoke", "--problems", "nowhere.jsonl"], ["nowhere.jsonl"]),
        (["plan", "smoke", "--slots", "many"], ["slots"]),
        (["plan"], ["no plan named", "nano"]),
        (["plan", "nano", "--fallback", "h4"], ["--fallback"]),
        (["plan", "--fallback", "h4"], ["no plan in"]),
        (["amend"], ["--reason"]),
        (["amend", "--reason", "why"], ["no plan in"]),
        (["cost"], ["no plan in"]),
        (["approve", "h4"], ["no plan in"]),
        (["frobnicate"], ["frobnicate"]),
        (["submit"], ["no plan"]),
        (["status"], ["no plan"]),
        (["submit", "--backend", "pueue"], ["no plan"]),
    ],
)
def test_bad_input_is_exit_2_one_sentence_and_no_trace(
    fake: FakeHome,
    arguments: list[str],
    words: list[str],
) -> None:
    done = fake.grpoq_process(*arguments, expect=2)
    assert done.stdout == "" and "Traceback" not in done.stderr
    for word in words:
        assert word.lower() in done.stderr.lower()
    assert tree(fake.home.path) == []


def test_a_row_that_does_not_fit_is_refused_with_its_line(fake: FakeHome, tmp_path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"id": 1}\n')
    done = fake.grpoq_process("plan", "smoke", "--problems", str(rows), expect=2)
    assert f"{rows}:1" in done.stderr and tree(fake.home.path) == []


def test_dry_run_writes_nothing(fake: FakeHome) -> None:
    done = fake.grpoq_process("plan", "smoke", *SMALL, "--dry-run")
    assert "vanilla-s41-" in done.stdout and tree(fake.home.path) == []


def test_home_is_taken_before_and_after_the_command(fake: FakeHome, tmp_path) -> None:
    for place, arguments in (("a", ["--home", "{}", "plan"]), ("b", ["plan", "--home", "{}"])):
        home = tmp_path / place
        fake.grpoq_process(*(a.format(home) for a in arguments), "smoke", *SMALL)
        assert (home / "jobs.sqlite").is_file()
    assert tree(fake.home.path) == []


def test_submit_refuses_what_cannot_run_and_writes_nothing(fake: FakeHome) -> None:
    fake.planned()
    before = tree(fake.home.path)
    for flags, word in (
        (["--backend", "cron"], "unknown backend"),
        (["--slots", "99"], "planned for"),
        (["--slots", "0"], "at least 1"),
        (["--plan", "other"], "no plan"),
    ):
        assert word in fake.grpoq_process("submit", *flags, expect=2).stderr
    assert tree(fake.home.path) == before


def test_rows_that_are_missing_are_named_at_submit(fake: FakeHome) -> None:
    fake.grpoq_process("plan", "full", "--set", "disk_floor_gb=0.01")
    before = tree(fake.home.path)
    assert "problems.jsonl" in fake.grpoq_process("submit", expect=2).stderr
    assert tree(fake.home.path) == before


def test_unknown_and_ambiguous_runs(fake: FakeHome) -> None:
    plan = fake.planned(seeds="4,41")
    for command in (["status", "nobody"], ["logs", "nobody"], ["cancel", "nobody"], ["retry", "nobody"]):
        assert "nobody" in fake.grpoq_process(*command, expect=4).stderr
    assert "fits 2 runs" in fake.grpoq_process("status", "van", expect=2).stderr
    for name in ("vanilla-s4", plan.run_ids[0], plan.run_ids[0][:-2]):  # LABEL-sSEED beats a mere prefix of s41
        assert json.loads(fake.grpoq_process("status", name, "--json").stdout)["seed"] == 4


def test_every_command_refuses_a_newer_registry(fake: FakeHome) -> None:
    fake.planned()
    with sqlite3.connect(fake.home.registry) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = tree(fake.home.path)
    for command in (
        "plan smoke",
        "submit",
        "status",
        "wait",
        "resume",
        "logs v",
        "cancel v",
        "retry v",
        "watch",
        "report",
    ):
        assert "newer grpoq" in fake.grpoq_process(*command.split(), expect=2).stderr
    assert tree(fake.home.path) == before


def test_wait_says_when_nothing_can_go_on_and_when_time_is_up(fake: FakeHome) -> None:
    fake.planned(steps=5000)
    assert "grpoq submit" in fake.grpoq_process("wait", expect=1).stderr
    fake.grpoq_process("submit")
    fake.grpoq_process("wait", "--timeout", "0.5", expect=124)


def test_report_without_a_finished_run_is_exit_1(fake: FakeHome) -> None:
    fake.planned()
    assert "vanilla-s41" in fake.grpoq_process("report", expect=1).stderr


def test_retry_and_cancel_only_where_they_mean_something(fake: FakeHome) -> None:
    fake.planned()
    fake.grpoq_process("retry", "vanilla", expect=2)
    fake.grpoq_process("cancel", "vanilla")
    fake.grpoq_process("submit")
    fake.grpoq_process("wait", expect=1)
    assert json.loads(fake.grpoq_process("status", "vanilla", "--json").stdout)["state"] == "cancelled"
    fake.grpoq_process("retry", "vanilla")
    fake.grpoq_process("wait", "--timeout", "30")
    assert "done" in fake.grpoq_process("cancel", "vanilla", expect=2).stderr
    assert "done" in fake.grpoq_process("retry", "vanilla", expect=2).stderr


def test_a_failed_run_shows_its_error_and_retry_revives_it(fake: FakeHome) -> None:
    fake.planned()
    fake.grpoq_process("submit", GRPOQ_FAKE_ERROR="tripwire:82")
    assert "tripwire" in fake.grpoq_process("wait", "--timeout", "30", expect=1).stderr
    row = json.loads(fake.grpoq_process("status", "vanilla", "--json").stdout)
    assert row["error"] == {"class": "tripwire", "message": "made up tripwire"}
    assert row["next"] == "grpoq retry vanilla-s41" and [a["exit_code"] for a in row["attempts"]] == [82]
    until(lambda: fake.watch_pid() is None, "the detached watch leaves")
    fake.grpoq_process("retry", "vanilla")
    fake.grpoq_process("wait", "--timeout", "30")


def test_logs_join_attempts_with_a_seam(fake: FakeHome) -> None:
    plan = fake.planned()
    fake.grpoq_process("submit")
    out = fake.grpoq_process("logs", "vanilla", "-f").stdout
    assert f"--- {plan.run_ids[0]}, submission 1" in out and "attempt 1 starts after step 0" in out
