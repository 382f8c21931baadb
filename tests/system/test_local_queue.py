"""The embedded queue with real processes: slots, threads, kills of worker and watch, stalls, and code that is frozen.

What is acknowledged is never lost, and no run executes twice at once: workers note each execution in their run, and
`run.claim` lets only one live, so two at once would show as an attempt that ended with 79.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.runs import durable
from core.runs.run_dir import RunDir
from orchestrator.queue import actions
from orchestrator.queue.reconcile import Reconciler
from orchestrator.queue.signals import signal_worker
from orchestrator.queue.watch import is_running
from orchestrator.reading.status import plan_status
from orchestrator.refusal import Refused
from orchestrator.state.observed_plan import ObservedPlan
from orchestrator.state.observed_run import exit_code
from orchestrator.store import snapshot
from support.fake_home import FakeHome, until
from support.patience import patient


def alive(run: RunDir) -> int | None:
    """Number of the living attempt."""
    numbers = run.attempts()
    return numbers[-1] if numbers and run.is_alive(numbers[-1]) else None


def alive_at(run: RunDir, step: int) -> int | None:
    number = alive(run)
    return number if number and (run.heartbeat(number) or {}).get("step", 0) >= step else None


def kill(run: RunDir, which: signal.Signals = signal.SIGKILL) -> int:
    number = until(lambda: alive(run), f"{run.run_id} lives")
    assert signal_worker(run, number, which)
    return number


def unbroken_rows(steps: int) -> list[int]:
    return list(range(1, steps + 1))


def test_a_killed_worker_is_resumed_without_a_hand(fake: FakeHome) -> None:
    plan = fake.planned(steps=40)
    run = plan.runs()[0]
    fake.submit(plan, GRPOQ_FAKE_STEP_S="0.05")
    for attempt, step in ((1, 7), (2, 13), (3, 18)):  # three deaths, each with progress, are no `no_progress`
        assert until(lambda s=step: alive_at(run, s), f"step {step}") == attempt
        kill(run)
    assert fake.wait(plan) == {"done"}
    assert run.attempts() == [1, 2, 3, 4]
    assert [row["step"] for row in run.metrics()] == unbroken_rows(40)
    first = [durable.read_lines(run.attempt(n) / "metrics.jsonl")[0]["step"] for n in run.attempts()]
    assert first == [1, 6, 11, 16]  # each goes on from the checkpoint, every fifth step


def test_preemption_saves_and_goes_on(fake: FakeHome) -> None:
    plan = fake.planned(steps=30)
    run = plan.runs()[0]
    fake.submit(plan, GRPOQ_FAKE_STEP_S="0.05")
    until(lambda: alive_at(run, 3), "step 3")
    kill(run, signal.SIGTERM)
    assert fake.wait(plan) == {"done"}
    assert [exit_code(run, n) for n in run.attempts()] == [75, 0]
    first, second = ([r["step"] for r in durable.read_lines(run.attempt(n) / "metrics.jsonl")] for n in (1, 2))
    assert second[0] == first[-1] + 1  # nothing is repeated after a notice


@pytest.mark.parametrize("slots", [1, 2])
def test_never_more_than_slots_run_across_plans(fake: FakeHome, slots: int) -> None:
    plans = [fake.planned(slots=slots, seeds="41,42,43", steps=n) for n in (12, 13)]
    for plan in plans:
        fake.submit(plan, GRPOQ_FAKE_STEP_S="0.02")
    most = 0
    runs = [run for plan in plans for run in plan.runs()]

    def finished() -> bool:
        nonlocal most
        most = max(most, sum(alive(run) is not None for run in runs))
        return all(run.has_result() for run in runs)

    until(finished, "all six", 60)
    assert most == slots
    assert all(run.attempts() == [1] for run in runs)


def test_workers_get_the_planned_threads_and_do_not_spin(fake: FakeHome) -> None:
    plan = fake.planned("threads=3", slots=1, steps=500)
    run = plan.runs()[0]
    fake.submit(plan)
    number = until(lambda: alive(run), "it runs")
    found = Path(f"/proc/{run.heartbeat(number)['pid']}/environ").read_bytes().split(b"\0")
    assert {b"OMP_NUM_THREADS=3", b"OMP_WAIT_POLICY=passive"} <= set(found)


def test_a_second_submit_adds_nothing(fake: FakeHome) -> None:
    plan = fake.planned(seeds="41,42", steps=30)
    for _ in range(3):
        fake.submit(plan, GRPOQ_FAKE_STEP_S="0.02")
    assert fake.wait(plan) == {"done"}
    fake.submit(plan)
    assert [len(run.submissions()) for run in plan.runs()] == [1, 1]


def test_two_submits_at_once_make_one_submission_and_one_watch(fake: FakeHome) -> None:
    plan = fake.planned(steps=30)
    command = [sys.executable, "-m", "orchestrator.cli", "submit", "--backend", "local"]
    racing = [
        subprocess.Popen(command, cwd=fake.home.path, env=fake.environment(), stdout=subprocess.DEVNULL)
        for _ in range(3)
    ]
    assert [process.wait(patient(60)) for process in racing] == [0, 0, 0]
    assert fake.wait(plan) == {"done"}
    assert len(plan.runs()[0].submissions()) == 1
    assert fake.home.watch_log.read_text().count("launched") == 1


def test_the_watch_outlives_the_terminal_and_leaves_when_all_is_done(fake: FakeHome) -> None:
    """`submit` in a session of its own, whose whole process group is then hung up on and killed."""
    plan = fake.planned(steps=40)
    run = plan.runs()[0]
    command = [sys.executable, "-m", "orchestrator.cli", "submit", "--backend", "local"]
    terminal = subprocess.Popen(
        ["sh", "-c", f"{' '.join(command)} >/dev/null; sleep 60"],
        cwd=fake.home.path,
        env=fake.environment() | {"GRPOQ_FAKE_STEP_S": "0.05"},
        start_new_session=True,
    )
    until(lambda: alive(run), "it runs")
    os.killpg(terminal.pid, signal.SIGHUP)
    os.killpg(terminal.pid, signal.SIGKILL)
    terminal.wait()
    os.kill(until(fake.watch_pid, "the watch"), signal.SIGHUP)
    kill(run)  # somebody must still be there to resume it
    until(run.has_result, "it ends")
    until(lambda: not is_running(fake.home), "the watch leaves")


def test_a_new_watch_adopts_living_workers(fake: FakeHome) -> None:
    plan = fake.planned(steps=60)
    run = plan.runs()[0]
    fake.submit(plan, GRPOQ_FAKE_STEP_S="0.05")
    number = until(lambda: alive(run), "it runs")
    pid = run.heartbeat(number)["pid"]
    os.kill(until(fake.watch_pid, "the watch"), signal.SIGKILL)
    until(lambda: not is_running(fake.home), "its lock is free")
    assert alive(run) == number
    fake.resume(GRPOQ_FAKE_STEP_S="0.05")
    assert is_running(fake.home)
    assert fake.wait(plan) == {"done"}
    assert run.attempts() == [number] and run.heartbeat(number)["pid"] == pid


def test_kills_of_watch_and_workers_at_random_lose_nothing(fake: FakeHome) -> None:
    """Seeded: eight workers die, and before every other one the watch; whoever looks after the box resumes."""
    dice = random.Random(7)
    plan = fake.planned(seeds="41,42,43", steps=60)
    fake.submit(plan, GRPOQ_FAKE_STEP_S="0.02")
    runs = plan.runs()
    for number in range(8):
        if number % 2:
            os.kill(until(fake.watch_pid, "the watch"), signal.SIGKILL)
            until(lambda: not is_running(fake.home), "its lock is free")
        pause = time.monotonic() + dice.uniform(0.0, 0.4)
        until(lambda t=pause: time.monotonic() >= t, "the next kill")
        living = [run for run in runs if alive(run)]
        if living:
            victim = dice.choice(living)
            signal_worker(victim, alive(victim) or 0, signal.SIGKILL)
        if all(run.has_result() for run in runs):
            break
        fake.resume(GRPOQ_FAKE_STEP_S="0.02")
    assert fake.wait(plan) == {"done"}
    for run in runs:
        assert [row["step"] for row in run.metrics()] == unbroken_rows(60)
        assert 79 not in [exit_code(run, n) for n in run.attempts()]  # nobody was started beside a living one
        seen = [row["attempt"] for row in fake.executions(run)]
        assert seen == sorted(set(seen)), "an attempt was executed twice"
    assert any(len(run.attempts()) > 1 for run in runs)  # the kills did hit


def test_a_hung_worker_is_ended_and_resumed(fake: FakeHome) -> None:
    """Deaf to SIGTERM, its beat stops: SIGTERM, SIGKILL, error class `stalled`, a new attempt."""
    plan = fake.planned("stall_s=1", "stall_steps=2", steps=10)
    run = plan.runs()[0]
    plan.record_request("local", 1)
    os.environ["GRPOQ_FAKE_SILENT"] = "run"
    try:
        reconciler = Reconciler(fake.home, say=lambda line: None, watching=True, stall_grace_s=0.3)

        def one_pass_and_done() -> bool:
            with fake.home.applying():
                reconciler.one_pass()
            return run.has_result()

        until(one_pass_and_done, "the second attempt is done", 40)
    finally:
        del os.environ["GRPOQ_FAKE_SILENT"]
    assert (run.error(1) or {})["class"] == "stalled" and run.attempts() == [1, 2]


def test_a_stopped_worker_is_ended_too(fake: FakeHome) -> None:
    """SIGSTOP: it cannot even die of SIGTERM."""
    plan = fake.planned("stall_s=1", "stall_steps=2", steps=200)
    run = plan.runs()[0]
    plan.record_request("local", 1)
    reconciler = Reconciler(fake.home, say=lambda line: None, watching=True, stall_grace_s=0.3)

    def one_pass() -> None:
        with fake.home.applying():
            reconciler.one_pass()

    until(lambda: one_pass() or alive_at(run, 3), "it trains")
    kill(run, signal.SIGSTOP)
    until(lambda: one_pass() or alive_at(run, 6) == 2, "the second attempt trains", 40)
    assert (run.error(1) or {})["class"] == "stalled"


def test_an_attempt_out_of_reach_is_overtaken_and_fenced(fake: FakeHome, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another host's watcher may not signal it: the second attempt starts, the first wakes up and is refused."""
    plan = fake.planned("stall_s=1", "stall_steps=2", steps=60)
    run = plan.runs()[0]
    plan.record_request("local", 1)
    monkeypatch.setenv("GRPOQ_FAKE_STEP_S", "0.05")

    def watched(condition) -> None:
        def one_pass():
            with fake.home.applying():
                reconciler.one_pass()
            return condition()

        until(one_pass, "what the watcher waits for", 40)

    reconciler = Reconciler(fake.home, say=lambda line: None, watching=True)
    watched(lambda: alive_at(run, 7))
    pid = (run.heartbeat(1) or {})["pid"]
    kill(run, signal.SIGSTOP)
    monkeypatch.setenv("GRPOQ_HOST_NAME", "another")
    reconciler = Reconciler(fake.home, say=lambda line: None, watching=True, stall_grace_s=0.0)
    watched(lambda: alive_at(run, 12) == 2)
    assert [s.take_over for s in run.submissions()] == [False, True]
    assert plan_status(ObservedPlan(plan))["runs"][0]["state"] == "running"
    os.kill(pid, signal.SIGCONT)
    until(lambda: exit_code(run, 1) == 79, "the first is refused")
    watched(run.has_result)
    assert run.attempts() == [1, 2] and [row["step"] for row in run.metrics()] == unbroken_rows(60)
    commits = [(e["event"], e["attempt"]) for e in durable.read_lines(run.events_path)]
    after = commits[commits.index(("claim", 2)) :]
    assert {number for _, number in after} == {2}, "the first attempt committed something after it was overtaken"


def test_a_wall_clock_that_jumps_ends_nobody_and_delays_nothing(
    fake: FakeHome,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An hour on, then back to 1970, as the watcher sees it; a lost submission must not wait until 1970 has passed."""
    plan = fake.planned("stall_s=2", "stall_steps=2", steps=40)
    run = plan.runs()[0]
    plan.record_request("local", 1)
    monkeypatch.setenv("GRPOQ_FAKE_STEP_S", "0.05")
    shift = [0.0]
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + shift[0])
    reconciler = Reconciler(fake.home, say=lambda line: None, watching=True, stall_grace_s=0.3)

    def one_pass() -> None:
        with fake.home.applying():
            reconciler.one_pass()

    until(lambda: one_pass() or alive_at(run, 3), "it trains")
    for jump in (3600.0, -1.7e9):
        shift[0] = jump
        one_pass()
        assert plan_status(ObservedPlan(plan))["runs"][0]["note"] == ""
    run.submit("local")  # a submission of 1970 whose launch dies at once
    (run.launch_log(2)).write_text("# launch\n")
    kill(run)
    shift[0] = -1.71e9
    until(lambda: one_pass() or run.has_result(), "it ends", 40)
    assert run.error(1) is None and [row["step"] for row in run.metrics()] == unbroken_rows(40)


@pytest.mark.parametrize(
    "knob, attempts, kind",
    [
        ({"GRPOQ_FAKE_ERROR": "code:1"}, 1, "code"),
        ({"GRPOQ_FAKE_ERROR": "host_oom:1"}, 4, "host_oom"),  # the first and three more
        ({"GRPOQ_FAKE_DIE_EARLY": "1"}, 3, "no_progress"),
    ],
)
def test_what_fails_for_good_stops_after_its_retries(
    fake: FakeHome,
    knob: dict[str, str],
    attempts: int,
    kind: str,
) -> None:
    plan = fake.planned()
    run = plan.runs()[0]
    fake.submit(plan, **knob)
    assert fake.wait(plan) == {"failed"}
    assert run.attempts() == list(range(1, attempts + 1))
    until(lambda: run.error(attempts) is not None, "error.json")  # the watcher writes what readers can conclude before
    assert (run.error(attempts) or {})["class"] == kind


def test_a_launch_that_never_claims_backs_off(fake: FakeHome) -> None:
    plan = fake.planned()
    run = plan.runs()[0]
    fake.submit(plan, GRPOQ_FAKE_UNCLAIMED="1")
    until(lambda: len(run.submissions()) == 3, "three tries")
    first, second, third = (s.time for s in run.submissions())
    assert second - first >= 1.0 and third - second >= 2.0
    row = plan_status(ObservedPlan(plan))["runs"][0]
    assert row["state"] in ("queued", "preempted", "running") and row["attempt"] == 0


def test_a_running_worker_is_cancelled_with_a_checkpoint(fake: FakeHome) -> None:
    plan = fake.planned(steps=500)
    run = plan.runs()[0]
    fake.submit(plan, GRPOQ_FAKE_STEP_S="0.05")
    until(lambda: alive_at(run, 3), "step 3")
    actions.cancel(fake.home, plan, run)
    assert fake.wait(plan) == {"cancelled"}
    assert exit_code(run, 1) == 75 and list(run.checkpoints.glob("step_*/state.json"))
    fake.submit(plan)
    assert len(run.submissions()) == 1


def test_runs_execute_the_code_they_were_planned_with(fake: FakeHome) -> None:
    """The worker is broken after planning; only its frozen copy can finish."""
    plan = fake.planned()
    (fake.source / "worker" / "__main__.py").write_text("raise SystemExit('edited')\n")
    fake.submit(plan)
    assert fake.wait(plan) == {"done"}
    run = plan.runs()[0]
    assert fake.executions(run)[0]["cwd"] == str(fake.home.snapshots / plan.content["snapshot"])


def test_changed_code_in_the_snapshot_starts_nothing(fake: FakeHome) -> None:
    plan = fake.planned()
    run = plan.runs()[0]
    actions.cancel(fake.home, plan, run)  # so that submit finds the code whole, and the launch does not
    fake.submit(plan)
    worker = fake.home.snapshots / plan.content["snapshot"] / "worker"
    worker.chmod(0o755)
    (worker / "__main__.py").chmod(0o644)
    (worker / "__main__.py").write_text("raise SystemExit('edited')\n")
    assert snapshot.mismatch(fake.home.snapshots, plan.content["snapshot"])
    with pytest.raises(Refused, match="has been changed"):
        actions.retry(fake.home, plan, run)
    run.submit("local")  # as a retry just before the edit would have
    fake.resume()
    assert fake.wait(plan) == {"failed"}
    assert (run.error(1) or {})["class"] == "plan" and fake.executions(run) == []
