"""Homes of the fake worker in which a command dies at a named point, and what must be true of them in the end."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.runs import durable
from core.runs.run_dir import RunDir
from orchestrator.queue.watch import is_running
from orchestrator.state.observed_plan import ObservedPlan
from orchestrator.store.home import Home
from orchestrator.store.plan_dir import all_plans
from orchestrator.tools.audit import audit
from support.fake_home import REPO, FakeHome, made, until
from support.patience import patient

KILL_AT = Path(__file__).parent / "kill_at"
SETTINGS = ("steps=6", "disk_floor_gb=0.01")


# ---- commands that may die
def command(home: FakeHome, *arguments: str, kill: str = "", trace: Path | None = None) -> int:
    """`grpoq ARGUMENTS` in a process of its own, forked so that imports are paid once; its exit code, -9 if killed."""
    process = started(home, *arguments, kill=kill, trace=trace)
    process.join(patient(90))
    assert process.exitcode is not None, f"{arguments} does not end; {(home.home.path / 'cli.log').read_text()}"
    return process.exitcode


def started(home: FakeHome, *arguments: str, kill: str = "", trace: Path | None = None) -> Any:
    process = multiprocessing.get_context("fork").Process(target=_grpoq, args=(home, arguments, kill, trace))
    process.start()
    return process


def _grpoq(home: FakeHome, arguments: tuple[str, ...], kill: str, trace: Path | None) -> None:
    os.chdir(home.home.path)
    os.environ.pop("PYTEST_CURRENT_TEST", None)
    os.environ |= home.environment() | {"PYTHONPATH": f"{KILL_AT}{os.pathsep}{REPO}", "GRPOQ_KILL": kill}
    os.environ["GRPOQ_PUEUE_BIN"] = "/no-pueue"  # the embedded queue, also where pueue is installed
    if trace is not None:
        os.environ["GRPOQ_TRACE"] = str(trace)
    log = os.open("cli.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
    sys.argv = ["grpoq", *arguments]
    sys.path.insert(0, str(KILL_AT))
    import kill_points

    from orchestrator.cli import main

    kill_points.install(arguments[0])
    try:
        main()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


# ---- what happens
@dataclass(frozen=True)
class Scenario:
    """A command that dies, in a home prepared for it, and what its user does next."""

    phase: str
    dies: tuple[str, ...]
    follows: tuple[str, ...]
    prepare: Callable[[FakeHome], None]
    seeds: str = "41"
    settings: tuple[str, ...] = SETTINGS
    refused: bool = False  # what follows may be refused, because the killed command had done it all
    runs_on: bool = True  # runs go on until they end; else nothing was submitted
    only: tuple[str, ...] = ()  # functions whose points are meant; empty: all
    occurrences: int = 99
    claim_s: str = "0"  # what a worker takes before its claim

    def wants(self, point: str) -> bool:
        phase, function, _, occurrence = point.split(":")
        own = phase in ((self.phase, "reconcile") if self.dies[0] == "watch" else (self.dies[0],))
        return own and int(occurrence) <= self.occurrences and (not self.only or function in self.only)


def nothing(home: FakeHome) -> None:
    pass


def wished(home: FakeHome) -> None:
    all_plans(home.home)[0].record_request("local", 2)


def died(home: FakeHome) -> None:
    """Submitted, and the first attempt was killed; so was the watch."""
    wished(home)
    for run in _runs(home):
        run.submit("local")
        _die_after_claim(run, 1)


def queued(home: FakeHome) -> None:
    wished(home)
    for run in _runs(home):
        run.submit("local")


def cancelled(home: FakeHome) -> None:
    queued(home)
    for run in _runs(home):
        run.cancel()


def running(home: FakeHome) -> None:
    """A living worker, whose steps are too long for it to see a request before the signal comes."""
    queued(home)
    for run in _runs(home):
        _worker(run, GRPOQ_FAKE_STEP_S="0.7")


def stopped(home: FakeHome) -> None:
    """A worker that cannot even answer."""
    queued(home)
    for run in _runs(home):
        _worker(run, GRPOQ_FAKE_STEP_S="0.2")
        os.kill((run.heartbeat(1) or {})["pid"], signal.SIGSTOP)


def mixed(home: FakeHome) -> None:
    """For the watch: one run waits, one died, one died three times without a row."""
    wished(home)
    first, second, third = _runs(home)
    first.submit("local")
    second.submit("local")
    _die_after_claim(second, 1)
    for number in (1, 2, 3):
        third.submit("local")
        _die_after_claim(third, number)


def _runs(home: FakeHome) -> list[RunDir]:
    return all_plans(home.home)[0].runs()


def _die_after_claim(run: RunDir, number: int) -> None:
    process = multiprocessing.get_context("fork").Process(target=_claim_and_die, args=(run, number))
    process.start()
    process.join(patient(30))
    assert process.exitcode == -signal.SIGKILL


def _claim_and_die(run: RunDir, number: int) -> None:
    run.claim(number)
    os.kill(os.getpid(), signal.SIGKILL)


def _worker(run: RunDir, **env: str) -> None:
    snapshot = run.path.parents[1] / "snapshots" / run.snapshot()
    arguments = [sys.executable, "-m", "worker", str(run.path), "--attempt", "1"]
    subprocess.Popen(arguments, cwd=snapshot, env=os.environ | env | {"PYTHONPATH": str(snapshot)})
    until(lambda: run.attempts() and run.heartbeat(1), f"{run.run_id} lives")


SCENARIOS = {
    "plan": Scenario(
        "plan",
        ("plan", "smoke", "--arms", "vanilla", "--seeds", "41,42", *(f"--set={s}" for s in SETTINGS)),
        ("plan", "smoke", "--arms", "vanilla", "--seeds", "41,42", *(f"--set={s}" for s in SETTINGS)),
        nothing,
        seeds="",
        runs_on=False,
        occurrences=2,
    ),
    "submit": Scenario("submit", ("submit",), ("submit",), nothing),
    "resume": Scenario("resume", ("resume",), ("resume",), died),
    "retry": Scenario("retry", ("retry", "vanilla-s41"), ("retry", "vanilla-s41"), cancelled, refused=True),
    "cancel": Scenario("cancel", ("cancel", "vanilla-s41"), ("cancel", "vanilla-s41"), queued),
    "cancel-running": Scenario(
        "cancel", ("cancel", "vanilla-s41"), ("cancel", "vanilla-s41"), running, only=("signal_worker",)
    ),
    "watch": Scenario("watch", ("watch", "--detached"), ("resume",), mixed, seeds="41,42,43", occurrences=1),
    "watch-again": Scenario(  # at once, so that it comes while a launched worker has not claimed anything
        "watch",
        ("watch", "--detached"),
        ("watch", "--detached"),
        queued,
        only=("LocalQueue.launch", "LocalQueue._locked_log", "RunDir.submitted"),
        claim_s="1.5",
    ),
    "watch-stalled": Scenario(
        "watch",
        ("watch", "--detached"),
        ("resume",),
        stopped,
        settings=("steps=6", "disk_floor_gb=0.01", "stall_s=1", "stall_steps=2"),
        only=("signal_worker",),
    ),
}


class Stage:
    """One scenario: its template home, its traced twin, and homes in which the command dies."""

    def __init__(self, name: str, folder: Path) -> None:
        self.scenario, self.folder = SCENARIOS[name], folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "template").mkdir()
        template = made(folder / "template")
        if self.scenario.seeds:
            template.planned(*self.scenario.settings[1:], seeds=self.scenario.seeds, steps=6, slots=2)
        twin, trace = self._home("twin"), folder / "trace"
        assert command(twin, *self.scenario.dies, trace=trace) == 0, (twin.home.path / "cli.log").read_text()
        self.twin = self._ending(twin)
        self.points = [p for p in dict.fromkeys(trace.read_text().split()) if self.scenario.wants(p)]

    def _home(self, name: str) -> FakeHome:
        path = self.folder / name
        shutil.copytree(self.folder / "template", path)
        home = FakeHome(Home(path / "home"), path / "source", {"GRPOQ_FAKE_CLAIM_S": self.scenario.claim_s})
        self.scenario.prepare(home)
        return home

    def dying(self, point: str) -> tuple[FakeHome, Any]:
        home = self._home(point.replace(":", "+").replace("<", "").replace(">", ""))
        return home, started(home, *self.scenario.dies, kill=point)

    def follow(self, home: FakeHome) -> None:
        code = command(home, *self.scenario.follows)
        allowed = (0, 2) if self.scenario.refused else (0,)
        assert code in allowed, f"{self.scenario.follows}: exit {code}\n{(home.home.path / 'cli.log').read_text()}"

    def check(self, home: FakeHome) -> None:
        ending = self._ending(home)
        assert ending == self.twin, f"{json.dumps(ending, indent=1)}\nbut the twin\n{json.dumps(self.twin, indent=1)}"

    def _ending(self, home: FakeHome) -> dict[str, Any]:
        """All that a user can find in the end and that may not depend on deaths."""
        try:
            if self.scenario.runs_on:
                until(lambda: _all_over(home), "every run ends and the watch leaves", 90)
            assert (found := audit(home.home)) == [], found
            return ending(home)
        finally:
            home.end_everything()

    def killed_at(self, point: str) -> None:
        """The whole story of one point."""
        home, process = self.dying(point)
        process.join(patient(90))
        assert process.exitcode == -signal.SIGKILL, f"it never came to {point}: exit {process.exitcode}"
        self.follow(home)
        self.check(home)


def _all_over(home: FakeHome) -> bool:
    observed = ObservedPlan(all_plans(home.home)[0])
    return not is_running(home.home) and all(not observed.progresses(i) for i in observed.plan.run_ids)


def ending(home: FakeHome) -> dict[str, Any]:
    found: dict[str, Any] = {"plans": {}, "runs": {}}
    for plan in all_plans(home.home):
        found["plans"][plan.plan_id] = {k: v for k, v in plan.content.items() if k not in ("created", "source")}
        observed = ObservedPlan(plan)
        for run in plan.runs():
            decision, result = observed.decision(run.run_id), durable.read_json(run.result_path) or {}
            found["runs"][run.run_id] = {
                "state": decision.state,
                "error": (decision.error or {}).get("class"),
                "spec": durable.read_json(run.spec_path),
                "rows": [[row["step"], row["rew"]] for row in run.metrics()] if result else None,
                "bytes": result.get("adapter_sha256"),
                "results": len(list(run.path.glob("result*.json"))),
            }
    snapshots = home.home.snapshots
    found["snapshots"] = sorted(f"{p.relative_to(snapshots)} {p.stat().st_mode:o}" for p in snapshots.rglob("*"))
    found["litter"] = sorted(p.name for p in home.home.runs.iterdir() if p.name.startswith("."))
    with contextlib.closing(sqlite3.connect(home.home.registry)) as connection:
        for table in ("plan", "run"):
            found[table] = sorted(row[0] for row in connection.execute(f"SELECT {table}_id FROM {table}"))
    return found
