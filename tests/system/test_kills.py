"""kill -9 at every named point and at random: nothing acknowledged is lost, nothing trained twice, the twin's bytes.

A command dies at a point, its user does what is natural, and what is in the home in the end is what the unbroken twin
left, with nothing that the offline checker could find. docs/kills.md lists the points, `just kill-table` finds them.
"""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from core.runs.run_dir import RunDir
from orchestrator.queue.signals import open_worker, signal_worker
from orchestrator.queue.watch import is_running
from orchestrator.state.observed_run import has_progress
from orchestrator.store.home import Home
from orchestrator.store.plan_dir import all_plans, read_spec
from orchestrator.tools.audit import audit, examine
from support import kill_chains, real_run
from support.fake_home import FakeHome, made, until
from support.kill_home import SCENARIOS, Stage, command, ending
from support.kill_instants import kill_each
from support.patience import patient

SAMPLE = {
    "plan": ("plan:_copy:fsync:1", "plan:_write_run_dir:rename:2", "plan:write_plan:replace:1"),
    "submit": ("submit:PlanDir.record_request:replace:1", "submit:RunDir.submit:write:1"),
    "retry": ("retry:RunDir.submit:fsync:1",),
    "cancel": ("cancel:RunDir.cancel:replace:1",),
    "watch": (
        "reconcile:LocalQueue._locked_log:fsync:1",
        "reconcile:LocalQueue.launch:Popen-after:1",
        "reconcile:record_error:replace:1",
    ),
}
LEAST = {
    **{"plan": 35, "submit": 18, "resume": 12, "retry": 13, "cancel": 10, "cancel-running": 2},
    **{"watch": 24, "watch-again": 9, "watch-stalled": 4, "worker and checkpoint": 50},
}
RANDOM, INSTANTS = 100, 10
# Two of five deaths come after up to MOST_ROWS steps: there are as many again, so that none ends before its moment.
LONGER = (*kill_chains.SMALL, "steps=120", "checkpoint_every=5", "eval_every=60")


@pytest.mark.parametrize("name", SAMPLE)
def test_a_command_killed_at_a_sample_of_points_is_made_good(name: str, tmp_path: Path) -> None:
    stage = Stage(name, tmp_path / "stage")
    for point in SAMPLE[name]:
        stage.killed_at(point)


def test_the_matrix_has_at_least_sixty_points() -> None:
    assert set(LEAST) == {*SCENARIOS, "worker and checkpoint"} and sum(LEAST.values()) >= 60


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name != "watch-stalled"])
def test_a_command_or_watch_killed_at_any_point_is_made_good(name: str, tmp_path: Path) -> None:
    stage, failed = Stage(name, tmp_path / "stage"), {}
    for point in stage.points:
        try:
            stage.killed_at(point)
        except AssertionError as error:
            failed[point] = str(error)[:1000]
    _tell(name, stage.points)
    assert not failed, "\n\n".join(f"{point}: {why}" for point, why in failed.items())


def test_a_watch_killed_while_it_ends_a_stalled_worker_is_made_good(tmp_path: Path) -> None:
    """All at once: each waits for the stall and for the grace between SIGTERM and SIGKILL."""
    stage = Stage("watch-stalled", tmp_path / "stage")
    dying = [(point, *stage.dying(point)) for point in stage.points]
    for point, _, process in dying:
        process.join(patient(120))
        assert process.exitcode == -signal.SIGKILL, f"it never came to {point}"
    for _, home, _ in dying:
        stage.follow(home)
    for _, home, _ in dying:
        stage.check(home)
    _tell("watch-stalled", stage.points)


def test_real_workers_killed_at_named_points_end_as_their_twin(tmp_path: Path) -> None:
    """Nobody helps: the watch resumes. The checkpoint writer's points are among them."""
    twin = kill_chains.planned(tmp_path / "twin", ["twin"])["twin"]
    points = kill_chains.traced(twin)
    chains = {f"chain{n}": chain for n, chain in enumerate(kill_chains.chains(points))}
    with kill_chains.home(tmp_path / "home") as home:
        runs = kill_chains.planned(home, list(chains))
        for label, chain in chains.items():
            kill_chains.dies_at(runs[label], chain)
        kill_chains.grpoq(home, "submit")
        _come_home(home, runs, twin)
    for label, run in runs.items():
        left = run.path / "kill-at"
        assert not left.exists(), f"{label} never came to {left.read_text().splitlines()[0]}"
    _tell("worker and checkpoint", points)


def test_real_workers_killed_at_any_instant_end_as_their_twin(tmp_path: Path) -> None:
    """Seeded: where in its life each launch is killed, not when by the clock. Every kill hits a living worker."""
    twin = kill_chains.planned(tmp_path / "twin", ["twin"], LONGER)["twin"]
    began, process = time.monotonic(), real_run.worker(twin)
    until(lambda: twin.metrics() or process.poll() is not None, "the twin's first row", real_run.HANGS_S)
    first_row_s = time.monotonic() - began
    assert process.wait(real_run.HANGS_S) == 0, (twin.path / "test-worker.log").read_text()[-3000:]
    with kill_chains.home(tmp_path / "home") as home:
        runs = kill_chains.planned(home, ["instant0", "instant1"], LONGER)
        kill_chains.grpoq(home, "submit")
        victims = kill_each(list(runs.values()), random.Random("instants"), INSTANTS // 2, first_row_s)
        print(*(death for victim in victims for death in victim.deaths), sep="\n")
        _come_home(home, runs, twin)
    assert [run.newest_number() for run in runs.values()] == [INSTANTS // 2 + 1] * 2


def _come_home(home: Path, runs: dict[str, RunDir], twin: RunDir) -> None:
    waited = kill_chains.grpoq(home, "wait", "--timeout", f"{real_run.HANGS_S:.0f}", check=False)
    assert waited.returncode == 0, waited.stdout + waited.stderr
    for label, run in runs.items():
        real_run.assert_equal_runs(run, twin)
        assert list(run.path.glob("result*.json")) == [run.result_path], label
        assert not list(run.checkpoints.glob(".step*")), label
    assert audit(Home(home)) == []


def test_a_hundred_random_kills_of_workers_and_watch_lose_nothing(tmp_path: Path) -> None:
    """Seeded. A run is spared where a third death in a row without a row would, as it should, end it."""
    dice = random.Random(100)
    home = made_with_runs(tmp_path)
    command(home, "submit")
    runs, kills = all_plans(home.home)[0].runs(), {"watch": 0, "worker": 0}
    try:
        while sum(kills.values()) < RANDOM:
            pause = time.monotonic() + dice.uniform(0.0, 0.3)
            until(lambda t=pause: time.monotonic() >= t, "the next kill")
            if dice.random() < 0.2:
                os.kill(until(home.watch_pid, "the watch"), signal.SIGKILL)
                until(lambda: not is_running(home.home), "its lock is free")
                kills["watch"] += 1
                assert command(home, "resume") == 0
                continue
            victims = until(lambda: [run for run in runs if _may_die(run)] or _all_done(runs), "a worker lives")
            assert victims is not True, f"all done after {kills}"
            victim = dice.choice(victims)
            kills["worker"] += signal_worker(victim, victim.attempts()[-1], signal.SIGKILL)
        until(lambda: _all_done(runs) and not is_running(home.home), "every run ends", 120)
        assert audit(home.home) == []
        found = ending(home)
        print(kills, examine(home.home).summary())
    finally:
        home.end_everything()
    twin = made_with_runs(tmp_path / "twin", "0.001")
    try:
        command(twin, "submit")
        until(lambda: _all_done(all_plans(twin.home)[0].runs()), "the twin", 120)
        assert found == ending(twin)
    finally:
        twin.end_everything()


def made_with_runs(folder: Path, pace: str = "0.03") -> FakeHome:
    folder.mkdir(exist_ok=True)
    home = made(folder)
    home.env["GRPOQ_FAKE_STEP_S"] = pace
    home.planned(seeds="41,42,43,44", steps=300, slots=2)
    return home


def _all_done(runs: list[RunDir]) -> bool:
    return all(run.has_result() for run in runs)


def _may_die(run: RunDir) -> bool:
    numbers = run.attempts()
    if not numbers or run.has_result():
        return False
    handle = open_worker(run, numbers[-1])
    if handle is None:
        return False
    os.close(handle)
    return any(has_progress(run, read_spec(run), n) for n in numbers[-2:]) or len(numbers) < 2


def _tell(name: str, points: list[str]) -> None:
    print(f"{name}: {len(points)} points", *points, sep="\n  ")
    assert len(points) >= LEAST[name]
