"""The offline checker: silent on a home where runs were killed and resumed, and not on one that was tampered with."""

from __future__ import annotations

import json
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.runs import durable
from core.runs.run_dir import RunDir
from orchestrator.queue.signals import signal_worker
from orchestrator.store.home import Home
from orchestrator.tools.audit import audit, examine
from support.fake_home import REPO, made, until

STEPS = 12


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two runs to their end; the first was killed after its checkpoint of step 5."""
    home = made(tmp_path_factory.mktemp("lived"))
    plan = home.planned(seeds="41,42", steps=STEPS)
    home.submit(plan, GRPOQ_FAKE_STEP_S="0.03")
    run = plan.runs()[0]
    until(lambda: (run.heartbeat(1) or {}).get("step", 0) >= 6, "step 6")
    assert signal_worker(run, 1, signal.SIGKILL)
    assert home.wait(plan) == {"done"}
    until(lambda: home.watch_pid() is None, "the watch leaves")
    yield home.home.path
    home.end_everything()


@pytest.fixture
def home(lived: Path, tmp_path: Path) -> Home:
    """A copy to tamper with."""
    return Home(Path(shutil.copytree(lived, tmp_path / "copy")))


def broken(home: Home) -> RunDir:
    """The run that was killed."""
    return next(RunDir(p) for p in home.runs.iterdir() if "-s41-" in p.name)


def edit(path: Path, change: Callable[[list], list | None]) -> None:
    rows = durable.read_lines(path)
    rows = change(rows) or rows
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_a_home_whose_worker_was_killed_and_resumed_is_clean(home: Home) -> None:
    done = examine(home)
    assert done.findings == []
    assert (done.runs, done.attempts, done.commits) == (2, 3, 2 * 3)  # of each run: two checkpoints and a result
    assert len(broken(home).attempts()) == 2


def test_the_command_says_so_and_exits_0_or_1(home: Home) -> None:
    command = [sys.executable, "-m", "orchestrator.tools.audit", str(home.path)]
    told = subprocess.run(command, cwd=REPO, capture_output=True, text=True)
    assert (told.returncode, told.stdout) == (0, "2 runs, 3 attempts, 6 commits checked: nothing wrong\n")
    broken(home).submissions_path.unlink()
    told = subprocess.run(command, cwd=REPO, capture_output=True, text=True)
    assert told.returncode == 1 and "has no submission" in told.stdout and told.stdout.count("\n") >= 2


def lost_submission(run: RunDir) -> None:
    edit(run.submissions_path, lambda rows: [row for row in rows if row["number"] != 1])


def lost_last_submission(run: RunDir) -> None:
    edit(run.submissions_path, lambda rows: [row for row in rows if row["number"] != 2])


def submission_allotted_twice(run: RunDir) -> None:
    edit(run.submissions_path, lambda rows: [*rows, rows[0]])


def number_launched_twice(run: RunDir) -> None:
    edit(run.submissions_path, lambda rows: [*rows, rows[1] | {"engine_id": "pid:1 slot:0"}])


def lost_run(run: RunDir) -> None:
    shutil.rmtree(run.path)


def lost_spec(run: RunDir) -> None:
    run.spec_path.write_text("{")


def lost_code(run: RunDir) -> None:
    run.result_path.unlink()
    (run.attempt(2) / "exit.json").unlink()
    snapshots = run.path.parents[1] / "snapshots"
    next(snapshots.iterdir()).rename(run.path.parents[1] / "elsewhere")


def revived_after_cancel(run: RunDir) -> None:
    durable.write_json(run.cancel_path, {"after_submission": 1})


def claims_out_of_order(run: RunDir) -> None:
    def swap(rows: list[dict]) -> None:
        for row in rows:
            row["attempt"] = 3 - row["attempt"]

    edit(run.events_path, swap)


def commit_after_a_newer_claim(run: RunDir) -> None:
    def late(rows: list[dict]) -> list[dict]:
        place = next(i for i, row in enumerate(rows) if (row["event"], row["attempt"]) == ("claim", 2))
        return [*rows[: place + 1], rows[place] | {"event": "checkpoint", "attempt": 1, "step": 10}, *rows[place + 1 :]]

    edit(run.events_path, late)


def event_lost_its_place(run: RunDir) -> None:
    edit(run.events_path, lambda rows: [rows[0] | {"clock": rows[-1]["clock"]}, *rows[1:]])


def claim_without_event(run: RunDir) -> None:
    edit(run.events_path, lambda rows: rows[1:])


def another_process_in_the_attempt(run: RunDir) -> None:
    path = run.attempt(2) / "heartbeat.json"
    durable.write_json(path, durable.read_json(path) | {"pid": 1})


def overlapping_attempts(run: RunDir) -> None:
    claim = next(e for e in durable.read_lines(run.events_path) if (e["event"], e["attempt"]) == ("claim", 2))
    edit(run.attempt(1) / "metrics.jsonl", lambda rows: [*rows, rows[-1] | {"step": len(rows) + 1}])
    late = {"clock": claim["clock"] + 0.1}
    edit(run.attempt(1) / "clocks.jsonl", lambda rows: [*rows, {"step": len(rows) + 1} | late])


def beat_after_the_next_claim(run: RunDir) -> None:
    path = run.attempt(1) / "heartbeat.json"
    durable.write_json(path, durable.read_json(path) | {"beat": 4e9})


def second_result(run: RunDir) -> None:
    shutil.copy(run.result_path, run.path / "result-1.json")


def result_committed_twice(run: RunDir) -> None:
    edit(run.events_path, lambda rows: [*rows, rows[-1]])


def claimed_after_the_result(run: RunDir) -> None:
    edit(run.events_path, lambda rows: [*rows, rows[-1] | {"event": "claim", "attempt": 3}])


def result_without_event(run: RunDir) -> None:
    edit(run.events_path, lambda rows: rows[:-1])


def an_attempt_more_than_the_result_counts(run: RunDir) -> None:
    durable.write_json(run.result_path, durable.read_json(run.result_path) | {"attempts": 1})


def missing_step(run: RunDir) -> None:
    edit(run.attempt(2) / "metrics.jsonl", lambda rows: rows[:-1])


def step_twice_in_one_attempt(run: RunDir) -> None:
    edit(run.attempt(2) / "metrics.jsonl", lambda rows: [*rows, rows[-1]])


def resumed_past_its_checkpoint(run: RunDir) -> None:
    edit(run.attempt(2) / "metrics.jsonl", lambda rows: rows[1:])


def resumed_from_a_later_commit(run: RunDir) -> None:
    """The checkpoint of 5 was published only after attempt 2 had begun."""
    edit(run.events_path, lambda rows: [rows[0], *(e for e in rows[1:] if (e["attempt"], e["step"]) != (1, 5))])


def torn_checkpoint(run: RunDir) -> None:
    (run.checkpoints / "step_000005" / "state.json").write_text("{")


def checkpoint_of_another_attempt(run: RunDir) -> None:
    path = run.checkpoints / "step_000005" / "state.json"
    durable.write_json(path, durable.read_json(path) | {"attempt": 2})


def lost_checkpoint(run: RunDir) -> None:
    shutil.rmtree(run.checkpoints / "step_000010")


def trained_after_its_checkpoint(run: RunDir) -> None:
    edit(run.attempt(1) / "clocks.jsonl", lambda rows: [rows[0] | {"clock": rows[5]["clock"]}, *rows[1:]])


def log(run: RunDir, statement: str) -> None:
    with sqlite3.connect(run.path.parents[1] / "jobs.sqlite") as connection:
        changed = connection.execute(statement, {"run": run.run_id}).rowcount
    connection.close()
    assert changed > 0


def two_launches_in_the_log(run: RunDir) -> None:
    log(
        run,
        "INSERT INTO event (time, run_id, what, attempt, detail) SELECT time, run_id, what, attempt, detail "
        "FROM event WHERE run_id = :run AND what = 'launched' AND attempt = 2",
    )


def launches_in_another_order(run: RunDir) -> None:
    log(run, "UPDATE event SET attempt = 3 - attempt WHERE run_id = :run AND what = 'launched'")


def submitted_after_it_was_done(run: RunDir) -> None:
    edit(run.submissions_path, lambda rows: [*rows, rows[-1] | {"number": 3, "engine_id": None}])
    log(
        run,
        "INSERT INTO event (time, run_id, what, attempt, detail) SELECT time, run_id, 'submitted', 3, '' "
        "FROM event WHERE run_id = :run AND what = 'done'",
    )


@pytest.mark.parametrize(
    "tamper, expected",
    [
        (lost_submission, "submission 1 is lost"),
        (lost_last_submission, "attempt 2 has no submission"),
        (lost_last_submission, "submission 2 was launched, its line"),
        (submission_allotted_twice, "submission 1 was allotted 2 times"),
        (number_launched_twice, "submission 1 was launched 2 times"),
        (lost_run, "planned in smoke-.* and lost: .*spec.json is missing"),
        (lost_spec, "planned in smoke-.* and lost: .*spec.json is missing or torn"),
        (lost_code, "cannot go on: snapshot .* is missing"),
        (revived_after_cancel, "submission 2 revived a cancelled run"),
        (claims_out_of_order, "attempt 1 was claimed after attempt 2"),
        (commit_after_a_newer_claim, "attempt 1 committed a checkpoint of step 10 after the claim of 2"),
        (event_lost_its_place, r"event 2 \(checkpoint of step 5\) is older"),
        (claim_without_event, "attempt 1 has no claim"),
        (another_process_in_the_attempt, "attempt 2 beats as pid 1"),
        (overlapping_attempts, "attempt 1 wrote step .* 0.100 s after the claim of 2"),
        (beat_after_the_next_claim, "attempt 1 beat .* after the claim of 2"),
        (second_result, "a second result: result-1.json"),
        (result_committed_twice, r"event \d+ \(result of step 12, attempt 2\) follows a result"),
        (claimed_after_the_result, r"event \d+ \(claim.*, attempt 3\) follows a result"),
        (result_without_event, "the last event is no result"),
        (an_attempt_more_than_the_result_counts, "result.json counts 1 attempts, there are 2"),
        (missing_step, "step 12 of 12 stands nowhere"),
        (step_twice_in_one_attempt, "step 12 of 12 stands 2 times"),
        (resumed_past_its_checkpoint, "attempt 2 starts with step 7, and no checkpoint of 6"),
        (resumed_from_a_later_commit, "attempt 2 starts with step 6, and no checkpoint of 5"),
        (torn_checkpoint, "step_000005: state.json is torn"),
        (checkpoint_of_another_attempt, "step_000005 says attempt 2, and no event tells of it"),
        (lost_checkpoint, "checkpoint of step 10 by attempt 2 is not there"),
        (trained_after_its_checkpoint, "attempt 1 trained step 1 after its checkpoint of step 5"),
        (two_launches_in_the_log, "submission 2 was launched twice"),
        (launches_in_another_order, "submission 1 was launched after 2"),
        (submitted_after_it_was_done, "submission 3 was submitted after the run was done"),
    ],
)
def test_each_broken_law_is_named(home: Home, tamper: Callable[[RunDir], None], expected: str) -> None:
    run = broken(home)
    tamper(run)
    found = audit(home)
    assert any(re.search(expected, finding) and run.run_id in finding for finding in found), found


def test_a_checkpoint_that_was_removed_on_record_is_not_lost(home: Home) -> None:
    run = broken(home)
    lost_checkpoint(run)
    assert len(audit(home)) == 1
    edit(run.events_path, lambda rows: [*rows[:-1], rows[-2] | {"event": "removal", "step": 10}, rows[-1]])
    assert audit(home) == []


def test_a_run_that_only_died_can_go_on_and_is_no_finding(home: Home) -> None:
    """Before its result it was killed: between the event and the file, after its last checkpoint, and at the claim."""
    run = broken(home)
    run.result_path.unlink()
    (run.attempt(2) / "exit.json").unlink()
    assert audit(home) == []
    edit(run.events_path, lambda rows: rows[:-1])
    assert audit(home) == []
    shutil.rmtree(run.attempt(2))
    shutil.rmtree(run.checkpoints / "step_000010")
    edit(
        run.events_path,
        lambda rows: [e for e in rows if (e["event"], e["attempt"]) in (("claim", 2),) or e["attempt"] < 2],
    )
    assert audit(home) == []
