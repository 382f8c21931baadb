"""One suite for every engine: the embedded queue, pueue, and a pueue in Python where there is none. Real processes.

What an engine may say is checked against what the run directories show. `tests/support/engines.py` tells how to join.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.runs.run_dir import RunDir
from orchestrator.backends import Order, Unreachable, default_backend, pueue_daemon
from orchestrator.backends.pueue import KEPT, STAND_IN, PueueQueue
from orchestrator.backends.pueue_status import label_of
from orchestrator.backends.words import ENDED, RUNNING, UNKNOWN, WAITING
from orchestrator.state.observed_run import exit_code
from orchestrator.store.home import Home
from support.engines import ENGINES, PUEUES, Engine, Pueue, at_once
from support.fake_home import FakeHome, until

LONG = 2000  # steps of a run that is still there when the test ends


@pytest.fixture(params=["local", *PUEUES])
def engine(request: pytest.FixtureRequest, fake: FakeHome) -> Iterator[Engine]:
    made = ENGINES[request.param](fake)
    yield made
    made.close()


@pytest.fixture(params=PUEUES)
def pueue(request: pytest.FixtureRequest, fake: FakeHome) -> Iterator[Pueue]:
    made = ENGINES[request.param](fake)
    assert isinstance(made, Pueue)
    yield made
    made.close()


def started(engine: Engine, steps: int = LONG, seeds: str = "41", slots: int = 1) -> list[RunDir]:
    return engine.start(engine.fake.planned(steps=steps, seeds=seeds, slots=slots), slots)


def alive(run: RunDir) -> int | None:
    """Pid of the living attempt."""
    numbers = run.attempts()
    return (run.heartbeat(numbers[-1]) or {}).get("pid") if numbers and run.is_alive(numbers[-1]) else None


def trains(engine: Engine, run: RunDir) -> int:
    """Wait until it has made a step, so that signals find it with its handlers set; returns its pid."""

    def pid() -> int | None:
        return alive(run) if any(row["step"] for row in run.metrics()) else None

    return engine.until(pid, f"{run.run_id} trains")


@contextlib.contextmanager
def halted(engine: Engine, run: RunDir) -> Iterator[None]:
    """It trains, and keeps its slot for as long as this takes."""
    pid = trains(engine, run)
    os.kill(pid, signal.SIGSTOP)
    yield
    os.kill(pid, signal.SIGCONT)


def tasks_of(pueue: Pueue) -> list[dict[str, Any]]:
    return list(json.loads(pueue.pueue("status", "--json"))["tasks"].values())


# ---- every engine
def test_a_submission_waits_runs_and_ends(engine: Engine) -> None:
    first, second = started(engine, steps=10, seeds="41,42")
    assert [engine.submit(first, 0), engine.submit(second, 1)] == [1, 1]
    with halted(engine, first):
        assert (engine.word(first), engine.word(second)) == (engine.word_of_a_claimed_run, WAITING)
        assert second.attempts() == []
    engine.until(lambda: second.has_result(), "the second is done")
    engine.until(lambda: [engine.word(run) for run in (first, second)] == [ENDED, ENDED], "both have ended")
    assert [s.number for run in (first, second) for s in run.submissions()] == [1, 1]


def test_the_intent_is_in_the_run_directory_with_the_engines_id(engine: Engine) -> None:
    (run,) = started(engine)
    engine.submit(run)
    trains(engine, run)
    (submission,) = run.submissions()
    assert submission.number == 1 and submission.backend == engine.backend_name and submission.engine_id
    assert len(run.submissions_path.read_text().splitlines()) == 2  # the intent came first, in a line of its own


def test_two_slots_never_run_three(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRPOQ_FAKE_STEP_S", "0.02")
    runs = started(engine, steps=15, seeds="41,42,43,44,45", slots=2)
    for place, run in enumerate(runs):
        engine.submit(run, place)
    most = 0

    def finished() -> bool:
        nonlocal most
        most = max(most, sum(alive(run) is not None for run in runs))
        return all(run.has_result() for run in runs)

    engine.until(finished, "all five", 60)
    assert most == 2 and all(run.attempts() == [1] for run in runs)


def test_earlier_places_go_first_however_they_were_handed_over(engine: Engine) -> None:
    runs = started(engine, steps=10, seeds="41,42,43,44")
    engine.submit(runs[0], 0)
    with halted(engine, runs[0]):
        for place in (3, 1, 2):
            engine.submit(runs[place], place)
    engine.until(lambda: all(run.has_result() for run in runs), "all four")
    claimed = [json.loads(run.events_path.read_text().splitlines()[0])["clock"] for run in runs]
    assert claimed == sorted(claimed)


def test_a_resubmitted_run_keeps_its_place(engine: Engine) -> None:
    runs = started(engine, steps=10, seeds="41,42,43")
    engine.submit(runs[0], 0)
    with halted(engine, runs[0]):
        engine.submit(runs[2], 2)
        engine.submit(runs[1], 1)
        again = engine.submit(runs[1], 1)
    assert again > 1
    engine.until(lambda: all(run.has_result() for run in runs), "all three")
    assert runs[1].attempts() == [again]  # the first was outranked: whoever started it was refused
    last = [json.loads(run.events_path.read_text().splitlines()[-1])["clock"] for run in runs]
    assert last == sorted(last)


def test_a_worker_that_fails_has_ended(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRPOQ_FAKE_ERROR", "code:1")
    (run,) = started(engine)
    engine.submit(run)
    engine.until(lambda: run.error(1), "error.json")
    engine.until(lambda: engine.word(run) == ENDED, "it has ended")


def test_a_cancelled_submission_that_waits_never_runs(engine: Engine) -> None:
    first, second = started(engine, steps=10, seeds="41,42")
    for place, run in enumerate((first, second)):
        engine.submit(run, place)
    with halted(engine, first):
        second.cancel()
        engine.backend.cancel(second)
    engine.until(first.has_result, "the first is done")
    third = started(engine, steps=5, seeds="43")[0]  # whatever still waited would go before it
    engine.submit(third, 9)
    engine.until(third.has_result, "the third is done")
    assert second.attempts() == [] and alive(second) is None


def test_a_cancelled_run_that_runs_saves_and_leaves(engine: Engine) -> None:
    (run,) = started(engine)
    engine.submit(run)
    trains(engine, run)
    run.cancel()
    engine.backend.cancel(run)
    engine.until(lambda: exit_code(run, 1) == 75, "it has left with a checkpoint")
    assert list(run.checkpoints.glob("step_*/state.json"))
    engine.until(lambda: engine.word(run) in (ENDED, UNKNOWN), "it has ended")


def test_cancel_of_what_was_never_submitted_does_nothing(engine: Engine) -> None:
    (run,) = started(engine)
    engine.submit(run)
    trains(engine, run)
    never = RunDir(engine.fake.home.runs / "never")
    engine.backend.cancel(never)
    assert alive(run) and not never.path.exists()


def test_secrets_of_the_submitter_reach_neither_engine_nor_worker(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FOO_TOKEN", "GRPOQ_API_KEY", "HF_HOME_SECRET", "WHATEVER"):
        monkeypatch.setenv(name, "pssst-4711")
    (run,) = started(engine)
    engine.submit(run)
    found = Path(f"/proc/{trains(engine, run)}/environ").read_bytes()
    assert b"PYTHONPATH=" in found and b"pssst-4711" not in found and b"WHATEVER" not in found
    kept = [path for path in engine.fake.home.path.rglob("*") if path.is_file() and b"pssst" in path.read_bytes()]
    assert kept == []
    if isinstance(engine, Pueue):
        assert "pssst" not in engine.pueue("status", "--json")
        assert b"pssst" not in Path(f"/proc/{engine.daemon_pid()}/environ").read_bytes()


def test_the_worker_gets_its_threads_and_the_planned_code(engine: Engine) -> None:
    plan = engine.fake.planned("threads=3", steps=LONG, slots=1)
    (run,) = engine.start(plan, 1)
    engine.submit(run, threads=3)
    pid = trains(engine, run)
    code = engine.fake.home.snapshots / plan.content["snapshot"]
    found = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    assert {b"OMP_NUM_THREADS=3", f"PYTHONPATH={code}".encode()} <= set(found)
    assert Path(f"/proc/{pid}/cwd").readlink() == code


def test_take_over_is_passed_on(engine: Engine) -> None:
    (run,) = started(engine)
    engine.submit(run, take_over=True)
    assert b"--take-over" in Path(f"/proc/{trains(engine, run)}/cmdline").read_bytes().split(b"\0")
    assert run.submissions()[-1].take_over  # whoever launches later reads it there


def test_the_launch_log_has_what_the_worker_prints_and_is_locked_while_it_lives(engine: Engine) -> None:
    (run,) = started(engine)
    engine.submit(run)
    pid = trains(engine, run)
    assert "attempt 1 starts after step 0" in run.launch_log(1).read_text()
    assert run.is_launched(1)
    os.kill(pid, signal.SIGKILL)
    until(lambda: not run.is_launched(1), "the lock is free")


def test_homes_with_spaces_quotes_and_deep_paths(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / 'it\'s a "home" $HOME' / ("deep" * 20) / ("er" * 40) / "home"
    path.mkdir(parents=True)
    deep = FakeHome(Home(path), engine.fake.source)
    other = type(engine)(deep)
    try:
        (run,) = started(other, steps=3)
        other.submit(run)
        other.until(run.has_result, "it is done")
        assert run.launch_log(1).is_file()
    finally:
        other.close()
        deep.end_everything()


def test_runs_without_a_spec_or_a_directory_hide_nobody(engine: Engine) -> None:
    whole, bare, gone = started(engine, steps=5, seeds="41,42,43")
    for place, run in enumerate((whole, bare, gone)):
        engine.submit(run, place)
    bare.spec_path.unlink()
    shutil.rmtree(gone.path)
    never = RunDir(engine.fake.home.runs / "never")
    words = engine.backend.states([whole, bare, gone, never])
    assert set(words) == {run.run_id for run in (whole, bare, gone, never)}
    assert words[never.run_id] == words[gone.run_id] == UNKNOWN
    if engine.backend_name != "local":  # its passes walk over the plan, and this plan is broken
        engine.until(whole.has_result, "the whole one is done")


# ---- pueue: its daemon
def test_two_ensures_at_once_start_one_daemon(pueue: Pueue) -> None:
    home = pueue.fake.home
    assert at_once([lambda: PueueQueue(home).ensure(2)] * 4) == []
    assert len(pueue.daemons()) == 1
    assert json.loads(pueue.pueue("group", "--json"))["grpoq"] == {"status": "Running", "parallel_tasks": 2}


def test_ensure_sets_other_slots_and_leaves_other_groups_alone(pueue: Pueue) -> None:
    pueue.backend.ensure(2)
    pueue.pueue("pause", "-g", "default")
    pueue.pueue("pause", "-g", "grpoq")
    pueue.backend.ensure(1)
    groups = json.loads(pueue.pueue("group", "--json"))
    assert groups["grpoq"] == {"status": "Running", "parallel_tasks": 1}
    assert groups["default"]["status"] == "Paused"


def test_a_killed_daemon_is_unreachable_and_its_orphan_is_not_started_twice(pueue: Pueue) -> None:
    first, second = started(pueue, seeds="41,42")
    for place, run in enumerate((first, second)):
        pueue.submit(run, place)
    pid = trains(pueue, first)
    pueue.kill_daemon()
    with pytest.raises(Unreachable, match="Did you start it"):
        pueue.backend.states([first])
    with pytest.raises(Unreachable):
        pueue.submit(second, 1)
    assert second.submissions()[-1].number == 2  # spent, and lost
    pueue.backend.ensure(1)
    assert alive(first) == pid  # the orphan: dead by the engine's word, alive by its lease
    assert pueue.backend.states([first, second]) == {first.run_id: ENDED, second.run_id: UNKNOWN}
    os.kill(pid, signal.SIGKILL)
    assert pueue.submit(second, 1) == 3
    pueue.until(lambda: alive(second), "the queue goes on")
    assert first.attempts() == [1]


def test_an_orphan_keeps_its_slot_until_it_ends(pueue: Pueue) -> None:
    first, second = started(pueue, seeds="41,42")
    for place, run in enumerate((first, second)):
        pueue.submit(run, place)
    pid = trains(pueue, first)
    pueue.kill_daemon()
    for _ in range(2):
        pueue.backend.ensure(1)

    def stand_ins() -> list[str]:
        return [word for task in tasks_of(pueue) if task["label"].startswith(f"{STAND_IN}:") for word in task["status"]]

    pueue.until(lambda: stand_ins() == ["Running"], "one task stands for it")
    assert (alive(first), pueue.word(second), second.attempts()) == (pid, WAITING, [])
    os.kill(pid, signal.SIGKILL)
    pueue.until(lambda: alive(second), "the queue goes on")
    assert first.attempts() == [1]


def test_a_daemon_that_others_restarted_holds_its_queue_until_ensure(pueue: Pueue) -> None:
    first, second = started(pueue, seeds="41,42")
    for place, run in enumerate((first, second)):
        pueue.submit(run, place)
    trains(pueue, first)
    pueue.kill_daemon(signal.SIGTERM)
    until(lambda: alive(first) is None, "its tasks die with it")
    pueue.backend.daemon.start()
    assert pueue.backend.states([first]) == {first.run_id: ENDED}  # nothing that waits is asked for
    with pytest.raises(Unreachable, match="paused"):
        pueue.backend.states([first, second])
    pueue.backend.ensure(1)
    pueue.until(lambda: alive(second), "the queue goes on")


def test_a_stashed_submission_is_put_back(pueue: Pueue) -> None:
    first, second = started(pueue, steps=20, seeds="41,42")
    for place, run in enumerate((first, second)):
        pueue.submit(run, place)
    with halted(pueue, first):
        pueue.pueue("stash", pueue.task_id(second))
        pueue.backend.ensure(1)
    pueue.until(second.has_result, "it ran")


def test_a_hung_daemon_gets_no_rival(pueue: Pueue, monkeypatch: pytest.MonkeyPatch) -> None:
    (run,) = started(pueue)
    pid = pueue.daemon_pid()
    os.kill(pid, signal.SIGSTOP)
    with monkeypatch.context() as patch:
        patch.setattr(pueue_daemon, "CALL_S", 0.5)
        with pytest.raises(Unreachable, match=r"no answer within 0\.5 s"):
            pueue.word(run)
        with pytest.raises(Unreachable, match=f"kill -9 {pid}"):
            pueue.backend.ensure(1)
    assert pueue.daemons() == [pid]
    os.kill(pid, signal.SIGCONT)
    pueue.backend.ensure(1)


@pytest.mark.parametrize("content", ["", "stranger"], ids=["torn", "of another process"])
def test_a_left_over_pid_file_stops_nobody(pueue: Pueue, content: str) -> None:
    pueue.backend.ensure(1)
    pueue.kill_daemon()
    (pid_file,) = pueue.fake.home.path.rglob("pueue.pid")
    pid_file.write_text(str(os.getpid()) if content else "")
    pueue.backend.ensure(1)
    assert len(pueue.daemons()) == 1


def test_a_state_that_pueue_throws_away_is_kept_beside_it(pueue: Pueue) -> None:
    (run,) = started(pueue)
    pueue.pueue("pause", "-g", "grpoq")
    pueue.submit(run)
    state = pueue.fake.home.path / "pueue" / "state.json"
    torn = state.read_text()[:-7]
    pueue.kill_daemon()
    state.write_text(torn)
    pueue.backend.ensure(1)
    assert pueue.word(run) == UNKNOWN  # silently emptied: the run directory tells what is due
    assert torn in [path.read_text() for path in state.parent.glob("state-*.json")]
    for slots in range(2, 10):
        pueue.backend.ensure(slots)
        pueue.kill_daemon()
    assert 2 <= len(list(state.parent.glob("state-*.json"))) <= pueue_daemon.COPIES


def test_a_state_that_cannot_be_written_is_unreachable_with_its_reason(pueue: Pueue) -> None:
    """As on a full disk: pueued refuses the task but holds it in memory; when one ends it kills all and leaves."""
    first, second = started(pueue, seeds="41,42")
    pueue.submit(first)
    pid = trains(pueue, first)
    blocker = pueue.fake.home.path / "pueue" / "state.json.partial"
    blocker.mkdir()
    with pytest.raises(Unreachable, match="pueue add: Failed to save state"):
        pueue.submit(second)
    assert pueue.word(second) == WAITING  # so nobody submits it again beside the refused one
    os.kill(pid, signal.SIGKILL)
    until(lambda: pueue.daemons() == [], "pueued leaves")
    with pytest.raises(Unreachable, match=r"could not start: .*pueued\.log"):
        pueue.backend.ensure(1)
    blocker.rmdir()
    pueue.backend.ensure(1)
    assert pueue.word(second) == UNKNOWN


def test_the_state_can_live_on_another_disk(pueue: Pueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRPOQ_PUEUE_DIR", str(tmp_path / "other disk"))
    (run,) = started(pueue, steps=3)
    pueue.submit(run)
    pueue.until(run.has_result, "it is done")
    (state,) = (tmp_path / "other disk").rglob("state.json")
    assert [path.name for path in sorted((pueue.fake.home.path / "pueue").iterdir())] == ["pueue.yml", "start.lock"]
    monkeypatch.delenv("GRPOQ_PUEUE_DIR")  # another shell, which does not set it
    pueue.kill_daemon()
    PueueQueue(pueue.fake.home).ensure(1)
    assert pueue.word(run) == ENDED and state.exists()


def test_a_users_own_pueue_is_not_touched(pueue: Pueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user = tmp_path / "user"
    user.mkdir()
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR", "PUEUE_CONFIG_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(user))
    monkeypatch.setenv("GRPOQ_CACHE", str(tmp_path / "cache"))  # by default below HOME
    aliases = user / ".config" / "pueue" / "pueue_aliases.yml"
    aliases.parent.mkdir(parents=True)
    aliases.write_text("exec: 'exit 3;'\n")  # our command begins with that word
    (run,) = started(pueue, steps=3)
    pueue.submit(run)
    pueue.until(run.has_result, "it is done")
    assert [path for path in user.rglob("*") if path.is_file()] == [aliases]


def test_where_pueue_is_missing_the_way_out_is_named(fake: FakeHome) -> None:
    plan = fake.planned()
    run = plan.runs()[0]
    queue = PueueQueue(fake.home)
    with pytest.raises(Unreachable, match="just tools pueue"):
        queue.ensure(1)
    with pytest.raises(Unreachable, match="just tools pueue"):
        queue.states([run])
    with pytest.raises(Unreachable, match="just tools pueue"):
        queue.submit(Order(run, threads=1))
    assert run.submissions() == []  # no number is spent on it
    assert default_backend() == "local"


def test_where_pueue_is_installed_it_is_the_default(pueue: Pueue) -> None:
    assert default_backend() == "pueue"


# ---- pueue: which task is ours
def test_a_submission_that_the_engine_never_heard_of_is_unknown(pueue: Pueue) -> None:
    (run,) = started(pueue)
    assert pueue.word(run) == UNKNOWN
    run.submit("pueue")  # and then the submitter died
    assert pueue.word(run) == UNKNOWN


def test_a_submission_whose_id_was_never_noted_is_found_by_its_label(pueue: Pueue) -> None:
    (run,) = started(pueue)
    pueue.submit(run)
    intent = run.submissions_path.read_text().splitlines()[0]
    run.submissions_path.write_text(intent + "\n")
    assert run.submissions()[-1].engine_id is None
    pueue.until(lambda: pueue.word(run) == RUNNING, "it runs")


def test_an_id_that_was_handed_out_again_confuses_nobody(pueue: Pueue) -> None:
    first, second = started(pueue, seeds="41,42")
    pueue.submit(first)
    trains(pueue, first)
    pueue.backend.cancel(first)
    pueue.until(lambda: pueue.word(first) == ENDED, "it has left")
    pueue.pueue("remove", pueue.task_id(first))
    pueue.submit(second)
    assert pueue.task_id(second) == pueue.task_id(first)
    trains(pueue, second)
    assert pueue.backend.states([first, second]) == {first.run_id: UNKNOWN, second.run_id: RUNNING}
    pueue.backend.cancel(first)
    assert alive(second)


def test_of_two_tasks_with_one_label_the_living_counts(pueue: Pueue) -> None:
    """`pueue restart` by hand: the ended task and its copy."""
    (run,) = started(pueue, steps=3)
    pueue.submit(run)
    pueue.until(lambda: pueue.word(run) == ENDED, "it has ended")
    pueue.pueue("pause", "-g", "grpoq")
    pueue.pueue("restart", pueue.task_id(run))
    with pytest.raises(Unreachable, match="paused"):
        pueue.word(run)
    pueue.backend.ensure(1)
    pueue.until(lambda: pueue.word(run) == ENDED, "the copy was refused: the run is done")
    assert run.attempts() == [1]


def test_labels_that_begin_alike_are_two(pueue: Pueue) -> None:
    (run,) = started(pueue)
    for label in (label_of(run.run_id, 10), f"{label_of(run.run_id, 1)}0", f"x{label_of(run.run_id, 1)}"):
        pueue.pueue("add", "-g", "grpoq", "-l", label, "--", "sleep 60")
    run.submit("pueue")
    assert pueue.word(run) == UNKNOWN


def test_a_paused_task_has_the_engines_own_word_and_can_be_cancelled(pueue: Pueue) -> None:
    (run,) = started(pueue)
    pueue.submit(run)
    trains(pueue, run)
    pueue.pueue("pause", pueue.task_id(run))
    assert pueue.word(run) == "Paused"
    pueue.backend.cancel(run)
    pueue.until(lambda: exit_code(run, 1) == 75, "it has left with a checkpoint")


def test_a_cancel_takes_outranked_submissions_away_too(pueue: Pueue) -> None:
    first, second = started(pueue, seeds="41,42")
    pueue.submit(first)
    with halted(pueue, first):
        assert [pueue.submit(second, 1), pueue.submit(second, 1)] == [1, 2]
        pueue.backend.cancel(second)
        assert [task["label"] for task in tasks_of(pueue)] == [label_of(first.run_id, 1)]


def test_a_running_worker_is_told_by_the_engine_alone(pueue: Pueue) -> None:
    (run,) = started(pueue)
    pueue.submit(run)
    trains(pueue, run)
    pueue.backend.cancel(run)  # no cancel.json: it is the signal that ends it
    pueue.until(lambda: exit_code(run, 1) == 75, "it has left with a checkpoint")


def test_an_orphan_that_has_not_claimed_yet_counts_as_running(pueue: Pueue) -> None:
    """Its daemon was killed between spawn and claim; the lock on the launch log is all that tells of it."""
    (run,) = started(pueue, seeds="41")
    run.submit("pueue")
    pueue.pueue("add", "-g", "grpoq", "--", f"exec >>'{run.launch_log(1)}'; flock -n 1; exec sleep 60")
    pueue.until(lambda: pueue.word(run) == RUNNING, "the lock is seen")
    pueue.pueue("kill", "0")
    pueue.until(lambda: pueue.word(run) == UNKNOWN, "it is gone")


def test_settled_tasks_are_cleared_away_and_nobody_elses(pueue: Pueue) -> None:
    (run,) = started(pueue)
    pueue.backend.ensure(60)
    pueue.pueue("add", "-g", "grpoq", "-l", "mine:own:1", "--", "true")
    pueue.pueue("add", "-l", label_of(run.run_id, 1), "--", "true")
    pueue.pueue("add", "-g", "grpoq", "-l", f"{STAND_IN}:{run.run_id}:1", "--", "true")
    pueue.pueue("add", "-g", "grpoq", "-l", "grpoq:no-such-run:1", "--", "true")
    numbers = range(1, KEPT + 3)
    for number in numbers:
        assert run.submit("pueue") == number
        pueue.pueue("add", "-g", "grpoq", "-l", label_of(run.run_id, number), "--", "true")
    pueue.until(lambda: all("Done" in task["status"] for task in tasks_of(pueue)), "all have ended")
    pueue.backend.ensure(60)
    left = {(task["group"], task["label"]) for task in tasks_of(pueue)}
    assert left == {
        ("grpoq", "mine:own:1"),
        ("default", label_of(run.run_id, 1)),
        ("grpoq", label_of(run.run_id, numbers[-1])),  # nothing but pueue knows that it ended unclaimed
    }
    assert pueue.word(run) == ENDED
