"""A box in one process: the real orchestrator over a simulated engine, simulated workers, clocks and a disk that fail.

Run directories, claims, commits, locks, plans, passes and actions are the product's own. A worker here is a held claim:
closing its descriptor is its death, and what it does between two turns is decided by the test. Every rule
of the queue that can be seen while something happens is checked where it happens (`laws`); the others by `look`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import functools
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import core.runs.run_dir
import orchestrator.cli  # every module whose clock is to be replaced
import orchestrator.store.registry  # noqa: F401
from core.runs import durable
from core.runs.run_dir import Claim, Fenced, RunDir, identity
from orchestrator.backends import BACKENDS, Order, Unreachable
from orchestrator.backends.local import LocalQueue
from orchestrator.backends.words import ENDED, RUNNING, UNKNOWN, UNREACHABLE, WAITING
from orchestrator.planning import plan as planning
from orchestrator.planning.matrix import parse_matrix
from orchestrator.planning.resolve import Choices
from orchestrator.queue import actions
from orchestrator.queue.reconcile import Reconciler
from orchestrator.refusal import Refused
from orchestrator.state import gates
from orchestrator.state.budget import Purse, box_cost
from orchestrator.state.decide import TERMINAL, THREE_TIMES, Decision
from orchestrator.state.observed_plan import ObservedPlan
from orchestrator.store import amend
from orchestrator.store.home import Home
from orchestrator.store.plan_dir import PlanDir, read_spec
from support import plan_files

CHAIN = (
    plan_files.CHAIN.replace("[41, 42]", "[41]")
    .replace("steps = 6", "steps = 5\ncheckpoint_every = 2")
    .replace("at_least = 0.9", 'at_least = 0.9\napprove = "human"')
)
MONEY = plan_files.MONEY.replace("steps = 40", "steps = 12\ncheckpoint_every = 4").replace("cap = 100", "cap = 400")
SLOTS = 2
STEP_S = 1.0
TOLD_S = 20.0  # what a row says that its step took: then what is reserved is a good part of the cap
NEVER_RETRIED = ("code", "cuda_oom", "tripwire", "data", "checkpoints")
HERE, ELSEWHERE = "box", "other"
SETTLE_ROUNDS = 400


class Killed(BaseException):
    """kill -9 of whoever orchestrates, at one of its writes."""


class Clock:
    """In place of the module `time`: true time never jumps, the wall clock may, the monotonic one restarts at boot."""

    CLOCK_BOOTTIME = time.CLOCK_BOOTTIME
    strftime, gmtime = staticmethod(time.strftime), staticmethod(time.gmtime)

    def __init__(self) -> None:
        self.true = 1000.0  # seconds since this box was rented
        self.wall_at_0 = {HERE: 1.8e9, ELSEWHERE: 1.8e9}
        self.booted_at = {HERE: 0.0, ELSEWHERE: -5000.0}
        self.boots = {HERE: "boot-1", ELSEWHERE: "boot-other"}

    def time(self) -> float:
        return self.wall_at_0[core.runs.run_dir.host()] + self.true

    def monotonic(self) -> float:
        return self.true - self.booted_at[core.runs.run_dir.host()]

    def clock_gettime(self, _: int) -> float:
        return self.monotonic()

    def sleep(self, _: float) -> None:
        raise AssertionError("a pass sleeps under apply.lock")


@dataclass
class Process:
    """A started worker: it claims, steps, saves, and ends in one of the ways in which workers end."""

    box: Box
    run: RunDir
    number: int | None  # None: by hand, the claim allots it
    take_over: bool = False
    host: str = HERE
    log: int | None = None  # held lock of the local queue's launch log
    claim: Claim | None = None
    alive: bool = True
    stopped: bool = False  # SIGSTOP, or hung: only SIGKILL reaches it
    terminated: bool = False  # SIGTERM came
    step: int = 0
    last_beat: float = 0.0  # true time

    def turn(self) -> None:
        if self.stopped or not self.alive:
            return
        with self.box.as_worker(self):
            try:
                self._turn()
            except Fenced:
                self.leave(79)
            except OSError:  # no room: it cannot even say so
                self.die()

    def _turn(self) -> None:
        if self.claim is None:
            self.start()
            return
        if self.run.newest_number() > self.claim.number:
            raise Fenced("overtaken")
        spec = self.box.spec(self.run)
        if self.terminated or self.run.cancelled():
            if spec.kind == "train":
                self.save()
            self.leave(75)
        elif spec.kind == "train" and self.step < spec.config.steps:
            self.take_step(spec.config.checkpoint_every)
        else:
            self.finish(spec)

    def start(self) -> None:
        self.claim = self.run.claim(self.number, self.take_over)
        self.box.laws.claimed(self)
        saved = [int(p.parent.name[5:]) for p in self.run.checkpoints.glob("step_*/state.json")]
        self.step = max(saved, default=0)
        self.last_beat = self.box.clock.true

    def take_step(self, every: int) -> None:
        assert self.claim
        self.step += 1
        durable.append_line(self.claim.path / "metrics.jsonl", {"step": self.step, "rew": 0.5, "sec": TOLD_S})
        if self.step % every == 0:
            self.save()
        self.beat()

    def beat(self) -> None:
        assert self.claim
        row = identity() | {"attempt": self.claim.number, "beat": self.box.clock.time(), "step": self.step}
        row |= {"clock": self.box.clock.monotonic(), "seconds_per_step": STEP_S, "phase": "train"}
        durable.replace_json_fast(self.claim.path / "heartbeat.json", row)
        self.last_beat = self.box.clock.true

    def save(self) -> None:
        assert self.claim
        with self.run.commit(self.claim.number, "checkpoint", self.step):
            self.box.laws.committed(self, "checkpoint")
            folder = self.run.checkpoints / f"step_{self.step:06d}"
            folder.mkdir(parents=True, exist_ok=True)
            durable.write_json(folder / "state.json", {"step": self.step})

    def finish(self, spec: Any) -> None:
        assert self.claim
        result = {"run_id": self.run.run_id, "hack_rate": 0.5, "metrics": {"separation": self.box.separation}}
        with self.run.commit(self.claim.number, "result", spec.config.steps):
            self.box.laws.committed(self, "result")
            durable.write_json(self.run.result_path, result)
        self.leave(0)

    def fail(self, kind: str) -> None:
        """Ends with an error of this class."""
        assert self.claim
        with self.box.as_worker(self), contextlib.suppress(OSError):
            row = {"class": kind, "message": "made up", "exit_code": 1, "time": self.box.clock.time()}
            durable.write_json(self.claim.path / "error.json", row)
        self.die()

    def commit_blindly(self) -> bool:
        """What a process does that was stopped between its look and its commit. Returns whether it was accepted."""
        try:
            with self.box.as_worker(self):
                self.save()
            return True
        except Fenced:
            self.box.reached["write refused"] += 1
            return False
        except OSError:
            return False

    def is_outranked(self) -> bool:
        return self.claim is not None and self.run.newest_number() > self.claim.number

    def leave(self, code: int) -> None:
        if self.claim and code != 79:
            with contextlib.suppress(OSError):
                durable.write_json(self.claim.path / "exit.json", {"exit_code": code, "time": self.box.clock.time()})
        self.die()

    def die(self) -> None:
        self.alive = False
        for descriptor in (self.log, self.claim.lock if self.claim else None):
            if descriptor is not None:
                os.close(descriptor)
        self.log, self.claim = None, self.claim and Claim(self.claim.number, self.claim.path, -1)


@dataclass
class Task:
    label: tuple[str, int]  # run id and submission number
    take_over: bool
    word: str = WAITING
    process: Process | None = None


@dataclass
class Engine:
    """The daemon and its memory; ids are handed out anew after a clean, as pueue does."""

    box: Box
    up: bool = True
    broken: bool = False  # cannot be brought up
    drops_replies: bool = False
    tasks: dict[int, Task] = field(default_factory=dict)
    lies: dict[str, str] = field(default_factory=dict)  # what it says instead, by run id

    def require_up(self) -> None:
        if not self.up:
            raise Unreachable("simulated: no daemon answers")

    def task(self, label: tuple[str, int]) -> Task | None:
        return next((task for task in self.tasks.values() if task.label == label), None)

    def word(self, run_id: str, number: int) -> str:
        if not self.up:
            return UNREACHABLE
        task = self.task((run_id, number))
        return self.lies.get(run_id, task.word if task else UNKNOWN)

    def add(self, label: tuple[str, int], take_over: bool) -> int:
        number = max(self.tasks, default=-1) + 1
        self.tasks[number] = Task(label, take_over)
        return number

    def start(self, task: Task) -> None:
        task.word = RUNNING
        task.process = self.box.spawn(self.box.home.run(task.label[0]), task.label[1], task.take_over)

    def notice(self) -> None:
        """A child's end is seen by a daemon that runs; of orphans it knows nothing."""
        for task in self.tasks.values():
            if self.up and task.word == RUNNING and task.process and not task.process.alive:
                task.word = ENDED

    def die(self) -> None:
        """After its restart every running task is said to have ended, also those that live on (pueue 4.0.4)."""
        self.up = False
        for task in self.tasks.values():
            if task.word == RUNNING:
                task.word = ENDED


@dataclass
class SimulatedEngine:
    """The engine's adapter: the protocol of orchestrator/backends/__init__.py."""

    engine: Engine
    name: str = "simulated"

    def ensure(self, slots: int) -> None:
        if self.engine.broken:
            raise Unreachable("simulated: cannot be started")
        self.engine.up = True

    def submit(self, order: Order) -> int:
        number = order.run.submit(self.name, order.take_over)
        self.engine.require_up()
        engine_id = self.engine.add((order.run.run_id, number), order.take_over)
        if self.engine.drops_replies:
            raise Unreachable("simulated: no reply")
        order.run.submitted(number, self.name, f"id:{engine_id}")
        return number

    def states(self, runs: list[RunDir]) -> dict[str, str]:
        self.engine.require_up()
        self.engine.notice()
        return {run.run_id: self.engine.word(run.run_id, run.submissions()[-1].number) for run in runs}

    def cancel(self, run: RunDir) -> None:
        self.engine.require_up()
        task = self.engine.task((run.run_id, run.submissions()[-1].number))
        if task and task.word == WAITING:
            task.word = ENDED
        elif task and task.process and task.process.alive:
            task.process.terminated = True


class Laws:
    """What must never happen, checked at the moment when it would."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self.claims: set[tuple[str, int]] = set()
        self.overtaken: set[tuple[str, int]] = set()  # with --take-over: they may live on, and write nothing
        self.results: Counter[str] = Counter()
        self.ended: dict[str, str] = {}
        self.cancelled: set[str] = set()  # a cancel was acknowledged
        self.submitted_at: dict[str, list[tuple[int, float]]] = {}  # number and true time, by the orchestrator
        self.last_jump = float("-inf")  # true time
        self.set_back = False  # the wall clock, by which cost is counted, under a living run: its hours are hidden then
        self.bytes: dict[str, bytes] = {}  # of each result

    # ---- of workers
    def claimed(self, process: Process) -> None:
        assert process.claim
        key = (process.run.run_id, process.claim.number)
        assert key not in self.claims, f"two processes hold {key}"
        assert key[1] == max(_numbers(process.run)), f"{key} is claimed, and outranked"
        self.claims.add(key)
        if process.take_over:
            self.overtaken |= {(key[0], n) for n in process.run.attempts() if n != key[1]}
        others = [p.claim.number for p in self.box.living(process.run) if p.claim and p.host == process.host]
        beside = [n for n in others if n != key[1] and (key[0], n) not in self.overtaken]
        assert not beside, f"{key} lives beside {beside}"

    def committed(self, process: Process, what: str) -> None:
        assert process.claim
        highest = max(_numbers(process.run))
        assert process.claim.number == highest, (
            f"{what} by {process.claim.number} of {process.run.run_id}, not {highest}"
        )
        assert not process.run.has_result(), f"{what} after the result of {process.run.run_id}"
        if what == "result":
            self.results[process.run.run_id] += 1

    # ---- of the orchestrator
    def submits(self, run: RunDir, take_over: bool) -> None:
        """Before a submission is recorded."""
        run_id, newest = run.run_id, max(run.attempts(), default=0)
        assert not run.has_result(), f"{run_id} is done and is submitted again"
        living = [p for p in self.box.living(run) if p.claim and p.claim.number == newest]
        here = [p for p in living if p.host == HERE]
        assert not here, f"{run_id} lives and is submitted again"
        last = max(_numbers(run), default=0)
        assert not self.box.disk_full, f"{run_id} is submitted into a full disk"
        if self.box.retrying != run_id:  # else a person wants it, who may know more of another host than we do
            if living and newest == last:
                silent = self.box.clock.true - living[0].last_beat
                assert silent >= 120, f"{run_id} beats on another host and is submitted again"
            assert run_id not in self.cancelled, f"{run_id} is cancelled and is submitted again"
            error = run.error(last)
            if error is not None:
                self._may_be_retried(run, error["class"])
            elif last and not run.is_out_of_reach(newest):
                self._engine_let_go(run, last)
            if last > newest:
                self._backed_off(run_id, last - newest, last)
            self._gates_passed(run)
        self.box.require_affordable(run)

    def _may_be_retried(self, run: RunDir, kind: str) -> None:
        errors = self.errors_since_retry(run)
        allowed = kind == "preempted" or (kind in THREE_TIMES and errors.count(kind) <= 3)
        assert allowed, f"{run.run_id} is submitted again after {errors}"

    def errors_since_retry(self, run: RunDir) -> list[str | None]:
        since = (durable.read_json(run.path / "retry.json") or {}).get("after_submission", 0)
        return [(run.error(n) or {}).get("class") for n in run.attempts() if n > since]

    def _engine_let_go(self, run: RunDir, last: int) -> None:
        """Nothing is concluded from silence, nor from a word that nobody knows."""
        request = self.box.plan_of(run).request()
        if request and request["backend"] == "simulated":
            word = self.box.engine.word(run.run_id, last)
            assert word in (ENDED, UNKNOWN), f"{run.run_id} is submitted again while the engine says {word!r}"

    def _backed_off(self, run_id: str, lost: int, last: int) -> None:
        before = self.submitted_at.get(run_id, [])
        if before and before[-1][0] == last and self.last_jump < before[-1][1]:
            waited, due = self.box.clock.true - before[-1][1], min(60.0, 2.0 ** (lost - 1))
            assert waited >= due - 1e-3, f"{run_id}: after {lost} lost ones again within {waited} s"

    def _gates_passed(self, run: RunDir) -> None:
        """Of a run that begins: what it stands behind has come out well, and a person agreed."""
        plan = self.box.plan_of(run)
        if _numbers(run):
            return
        assert all(plan.home.run(i).has_result() for i in plan.rows()[run.run_id].get("after", ())), run.run_id
        for gate in (g for g in plan.gates if run.run_id in g["before_runs"]):
            result = durable.read_json(plan.home.run(gate["run_id"]).result_path)
            passed = result is not None and result["metrics"]["separation"] >= 0.9
            assert passed and (plan.path / "approvals.jsonl").exists(), f"{run.run_id} begins before its gate"

    def after_a_pass(self) -> None:
        """Whoever is to stop has been told, unless it hangs: that one is ended for its silence."""
        for plan, run in self.box.runs():
            if plan.request() is None or run.has_result():
                continue
            newest = max(run.attempts(), default=0)
            for p in self.box.living(run):
                if p.host == HERE and p.claim and p.claim.number == newest:
                    told = p.terminated or not (run.cancelled() or self.box.is_over(run))
                    assert told, f"{run.run_id} was not told to stop"

    def submitted(self, run: RunDir, number: int) -> None:
        self.submitted_at.setdefault(run.run_id, []).append((number, self.box.clock.true))

    def signals(self, process: Process, which: signal.Signals) -> None:
        """Who beats is not ended, but for a request or the cap; then it is asked, so that it can save."""
        run, silent = process.run, self.box.clock.true - process.last_beat
        asked = which == signal.SIGTERM and (run.cancelled() or self.box.is_over(run))
        assert asked or silent > 120, f"{run.run_id} gets {which.name}, silent for {silent:.0f} s"

    # ---- of what is seen
    def seen(self, plan: PlanDir, run_id: str, decision: Decision) -> None:
        run, was = plan.home.run(run_id), self.ended.get(run_id)
        leaves = was not in (None, decision.state)
        assert not leaves or self._may_leave(was, run, decision), f"{run_id} was {was}, is {decision.state}"
        self.ended.pop(run_id, None)
        if decision.state in TERMINAL and decision.due != "record_error":
            self.ended[run_id] = decision.state
        assert (decision.state == "done") == run.has_result()
        if run.has_result():
            now = run.result_path.read_bytes()
            assert self.bytes.setdefault(run_id, now) == now, f"{run_id}: another result"
            assert self.results[run_id] == 1
        alive = [n for n in run.attempts() if run.is_alive(n) and (run_id, n) not in self.overtaken]
        assert len(alive) <= 1, f"{run_id}: {alive} hold valid leases"

    def _may_leave(self, was: str, run: RunDir, decision: Decision) -> bool:
        """Only at a person's request; or cancelled, while a worker that it could not reach has yet to see it."""
        away = any(p.host == ELSEWHERE for p in self.box.living(run))
        unseen = was == "cancelled" and (away or decision.note == "cancelling")
        return was != "done" and (run.run_id in self.box.revived or unseen)


class Box:
    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="grpoq-box-", dir=_fast_directory()))
        self.home, self.clock, self.laws = Home(self.path / "home"), Clock(), Laws(self)
        self.home.path.mkdir()
        self.engine = Engine(self)
        self.processes: list[Process] = []
        self.plans: dict[str, PlanDir] = {}
        self.acknowledged: set[str] = set()  # plans whose submit was
        self.watch: Reconciler | None = None
        self.retrying = ""  # run id
        self.lost_before: dict[str, int] = {}
        self.half_planned: set[str] = set()  # run ids of plans that were killed before their plan.json
        self.revived: set[str] = set()  # runs that a person made go on, since the last look
        self.separation = 0.95
        self.disk_full = False
        self.writes_left: int | None = None  # until the orchestrator is killed
        self.torn = False
        self.acting = False
        self.reached: Counter[str] = Counter()
        self._specs: dict[str, Any] = {}
        self._patch = pytest.MonkeyPatch()
        self._install()

    # ---- life of the simulation
    def _install(self) -> None:
        patch = self._patch
        for name, module in list(sys.modules.items()):
            if name.partition(".")[0] in ("core", "orchestrator"):
                if getattr(module, "time", None) is time:
                    patch.setattr(module, "time", self.clock)
                if hasattr(module, "boot_id"):
                    patch.setattr(module, "boot_id", lambda: self.clock.boots[core.runs.run_dir.host()])
        patch.setenv("GRPOQ_HOST_NAME", HERE)
        patch.setenv("GRPOQ_SOURCE", str(_source(self.path)))
        patch.setitem(BACKENDS, "simulated", lambda home: SimulatedEngine(self.engine))
        patch.setattr(LocalQueue, "launch", lambda queue, *what: self._launch(queue, *what))
        patch.setattr(
            Reconciler, "_keep_events", lambda reconciler: reconciler._events.clear()
        )  # an index, tested apart
        patch.setattr(actions, "Reconciler", functools.partial(Reconciler, send=self.send))
        patch.setattr(actions, "start_detached", lambda home: self.start_watch())
        patch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=0 if self.disk_full else 10**12))
        patch.setattr(signal, "pidfd_send_signal", lambda *_: pytest.fail("a signal to the process of the test"))
        patch.setattr(os, "fsync", lambda descriptor: None)  # no power cut here
        for name in ("append_line", "write_atomic"):
            patch.setattr(durable, name, functools.partial(self._write, getattr(durable, name)))
        submit, claim = RunDir.submit, RunDir.claim
        patch.setattr(RunDir, "submit", lambda run, *what: self._submit(submit, run, *what))
        patch.setattr(RunDir, "claim", lambda run, *what, **how: self._claim(claim, run, *what, **how))

    def close(self) -> None:
        self.stop_watch()
        for process in self.processes:
            if process.alive:
                process.die()
        self._patch.undo()
        for folder in self.path.rglob("snapshots/*"):
            planning.snapshot.discard(folder)
        shutil.rmtree(self.path)

    # ---- what the product calls
    def _write(self, real: Callable[..., None], path: Path, value: Any) -> None:
        """A durable write: it may be the one at which the orchestrator dies, or find no room."""
        if self.acting and self.writes_left is not None:
            self.writes_left -= 1
            if self.writes_left < 0:
                self.writes_left = None
                if self.torn:
                    self._tear(real, path, value)
                raise Killed
        if self.disk_full:
            self._tear(real, path, value)
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        real(path, value)

    def _tear(self, real: Callable[..., None], path: Path, value: Any) -> None:
        """Half of an appended line; a replaced file is whole or absent."""
        if real.__name__ == "append_line":
            with path.open("a") as handle:
                handle.write(str(value)[:9].replace("'", '"'))

    def _submit(self, real: Callable[..., int], run: RunDir, backend: str, take_over: bool = False) -> int:
        self.laws.submits(run, take_over)
        number = real(run, backend, take_over)
        self.laws.submitted(run, number)
        return number

    def _claim(self, real: Callable[..., Claim], run: RunDir, *what: Any, **how: Any) -> Claim:
        claim = real(run, *what, **how)
        os.utime(claim.path / "lock", (self.clock.time(),) * 2)  # the kernel's clock is not ours
        return claim

    def _launch(self, queue: LocalQueue, run: RunDir, spec: Any, number: int, slot: int) -> int:
        log = queue._locked_log(run, number)
        take_over = any(s.take_over for s in run.submissions() if s.number == number)
        process = self.spawn(run, number, take_over)
        process.log = log
        run.submitted(number, "local", f"pid:{os.getpid()} slot:{slot}")
        return os.getpid()

    def send(self, run: RunDir, attempt: int, which: signal.Signals) -> bool:
        found = [p for p in self.living(run) if p.host == HERE and p.claim and p.claim.number == attempt]
        if not found or not run.is_alive(attempt):
            return False
        self.laws.signals(found[0], which)
        self.reached[which.name] += 1
        if which == signal.SIGKILL:
            found[0].die()
        found[0].terminated = True
        return True

    @contextlib.contextmanager
    def as_worker(self, process: Process) -> Iterator[None]:
        acting, self.acting = self.acting, False
        os.environ["GRPOQ_HOST_NAME"] = process.host
        try:
            yield
        finally:
            os.environ["GRPOQ_HOST_NAME"], self.acting = HERE, acting

    # ---- things and people that act
    def spawn(self, run: RunDir, number: int | None, take_over: bool = False, host: str = HERE) -> Process:
        self.processes.append(Process(self, run, number, take_over, host))
        return self.processes[-1]

    def act(self, what: Callable[[], Any]) -> bool:
        """A command. Returns whether it was acknowledged; it may be refused, find no room, or be killed."""
        self.acting = True
        try:
            what()
            return True
        except (Refused, Killed):
            return False
        except OSError as error:
            assert error.errno == errno.ENOSPC and self.disk_full, error
            return False
        finally:
            self.acting = False

    def start_watch(self) -> None:
        if self.watch is None:
            self.watch = Reconciler(self.home, say=lambda line: None, watching=True, send=self.send)

    def stop_watch(self) -> None:
        if self.watch is not None:
            for handle in self.watch.living():
                os.close(handle)
        self.watch = None

    def one_pass(self) -> bool:
        """The watch's; a pass that meets a full disk goes on later, one that is killed is gone."""
        if self.watch is None:
            return False
        watch, self.acting = self.watch, True
        try:
            with self.home.applying():
                watch.one_pass()
                self.laws.after_a_pass()
        except Killed:
            self.stop_watch()
        except OSError as error:
            assert error.errno == errno.ENOSPC and self.disk_full, error
        finally:
            self.acting = False
        return True

    def advance(self, seconds: float) -> None:
        """Whoever can beat does so at least every few seconds."""
        while seconds > 0:
            self.clock.true += min(seconds, 5.0)
            seconds -= 5.0
            for process in self.processes:
                if process.alive and process.claim and not process.stopped and not self.disk_full:
                    with self.as_worker(process):
                        process.beat()

    # ---- questions
    def living(self, run: RunDir | None = None) -> list[Process]:
        return [p for p in self.processes if p.alive and run in (None, p.run)]

    def runs(self) -> list[tuple[PlanDir, RunDir]]:
        return [(plan, run) for plan in self.plans.values() for run in plan.runs()]

    def spec(self, run: RunDir) -> Any:
        if run.run_id not in self._specs:
            self._specs[run.run_id] = read_spec(run)
        return self._specs[run.run_id]

    def plan_of(self, run: RunDir) -> PlanDir:
        return next(plan for plan, other in self.runs() if other == run)

    def purse(self, plan: PlanDir) -> Purse:
        request = plan.request() or {"slots": plan.slots}
        return Purse(plan, [(run, self.spec(run)) for run in plan.runs()], request["slots"])

    def is_over(self, run: RunDir) -> bool:
        return bool(self.purse(self.plan_of(run)).over())

    def require_affordable(self, run: RunDir) -> None:
        """Spent, and the least that all that runs or waits still takes, and this one: under the cap."""
        plan = self.plan_of(run)
        cap = plan.budget().get("cap")
        if cap is None or self.retrying == run.run_id or self.laws.set_back:
            return
        measured = any(row for other in plan.runs() for row in other.metrics())
        ahead = {p.run.run_id: p.run for p in self.living() if p.run in plan.runs()} | {run.run_id: run}
        left = (
            [(self.spec(other).config.steps - _last_step(other)) * TOLD_S for other in ahead.values()]
            if measured
            else [0.0]
        )
        spent = box_cost(plan) or 0.0
        reserved = max(max(left), sum(left) / SLOTS)
        assert spent + reserved <= cap, f"{run.run_id} is submitted with {spent:.1f} + {reserved:.1f} of {cap}"

    def observed(self, plan: PlanDir) -> ObservedPlan:
        return ObservedPlan(plan, None if plan.request() else SimulatedEngine(self.engine), specs=self._specs)

    def look(self) -> dict[str, Decision]:
        """As `status` does, after everything that happens."""
        found: dict[str, Decision] = {}
        for plan in self.plans.values():
            stored = durable.read_json(plan.path / "plan.json")
            assert [row["run_id"] for row in stored["runs"]] == plan.run_ids
            observed = self.observed(plan)
            for run_id in plan.run_ids:
                found[run_id] = decision = observed.decision(run_id)
                self.laws.seen(plan, run_id, decision)
                self.reached[f"state {decision.state}"] += 1
                self.reached[f"due {decision.due or 'nothing'}"] += 1
        there = {path.name for path in self.home.runs.glob("[!.]*")}
        locked = {run.run_id for _, run in self.runs()}
        assert locked <= there and there - locked <= self.half_planned, there ^ locked
        self.revived.clear()
        return found

    # ---- the end: faults stop, and every run must end
    def settle(self) -> dict[str, Decision]:
        self.disk_full, self.writes_left, self.engine.broken, self.engine.drops_replies = False, None, False, False
        self.engine.lies.clear()
        for process in self.living():
            process.stopped &= process.claim is not None  # before its claim nobody can tell that it hangs
            if process.is_outranked():
                process.commit_blindly()
        found, still, before = self.look(), 0, None
        self.lost_before = {run.run_id: _lost(run) for _, run in self.runs()}  # from here on no launch is lost
        for _ in range(SETTLE_ROUNDS):
            self._help()
            for task in list(self.engine.tasks.values()):
                if self.engine.up and task.word == WAITING:
                    self.engine.start(task)
            for process in self.living():
                process.turn()
            now = {i: (d.state, d.note) for i, d in found.items()}
            still, before = (still + 1 if now == before else 0), now
            self.advance(STEP_S if still < 3 else 10.0)
            self.one_pass()
            found = self.look()
            if all(self.has_settled(plan, run, found) for plan, run in self.runs()):
                break
        else:
            stuck = [run.run_id for plan, run in self.runs() if not self.has_settled(plan, run, found)]
            raise AssertionError(f"stuck: { {i: found[i] for i in stuck} }")
        for _, run in self.runs():
            assert self.laws.results[run.run_id] == (found[run.run_id].state == "done")
        return found

    def _help(self) -> None:
        """What people do whom `status` asks for it: start the watch, approve, raise the cap."""
        self.start_watch()
        for plan in self.plans.values():
            if plan.request() is None:
                continue
            for verdict in ObservedPlan(plan).verdicts():
                if verdict.state == "needs approval":
                    actions.approve(self.home, plan, verdict.gate["name"])
            if (plan.budget().get("cap") or 1e9) < 1e6:
                amend.amend(self.home, plan, "let it end", 1e6, False)

    def has_settled(self, plan: PlanDir, run: RunDir, found: dict[str, Decision]) -> bool:
        decision = found[run.run_id]
        if plan.request() is None:
            return plan.plan_id not in self.acknowledged  # whoever starts runs by hand looks after them
        newest = max(run.attempts(), default=0)  # one that hangs, and that a person overtook, is left to that person
        if any(p.claim and p.host == HERE and p.claim.number == newest for p in self.living(run)):
            return False
        if decision.state == "failed":
            return decision.due == "" and self._failed_for_a_reason(run, decision)
        if decision.state == "blocked":
            return self._blocked_for_a_reason(plan, run, found)
        return decision.state in ("done", "cancelled")

    def _failed_for_a_reason(self, run: RunDir, decision: Decision) -> bool:
        assert decision.error is not None
        kind = decision.error.get("class")
        errors = self.laws.errors_since_retry(run)
        if kind == "no_progress" and "launches" in decision.note + decision.error["message"]:
            assert self.lost_before[run.run_id] >= 4, f"{run.run_id}: launches are refused: {decision}"
        elif kind == "no_progress":
            silent = [n for n in run.attempts() if not (run.attempt(n) / "metrics.jsonl").exists()]
            assert len(silent) >= 3, f"{run.run_id}: {decision}"
        elif kind in THREE_TIMES:
            assert errors.count(kind) >= 4, f"{run.run_id}: {decision}"
        else:
            assert kind in (*NEVER_RETRIED, "budget"), f"{run.run_id}: {decision}"
        return True

    def _blocked_for_a_reason(self, plan: PlanDir, run: RunDir, found: dict[str, Decision]) -> bool:
        ends = {i for i, d in found.items() if d.state in ("failed", "cancelled")}
        after = plan.rows()[run.run_id].get("after", ())
        verdicts = [
            gates.judge(plan, g, durable.read_json(plan.home.run(g["run_id"]).result_path), lambda i: found[i].state)
            for g in plan.gates
            if run.run_id in g["before_runs"]
        ]
        shut = any(v.state in ("failed", "void") for v in verdicts)
        return shut or any(i in ends or found[i].state == "blocked" for i in after)


def _numbers(run: RunDir) -> list[int]:
    """Submitted or claimed, read without the product's reader."""
    rows = durable.read_lines(run.submissions_path)
    numbers = [row["number"] for row in rows if isinstance(row, dict) and "number" in row]
    folder = run.path / "attempts"
    return numbers + [int(p.name) for p in folder.iterdir() if p.name.isdigit()] if folder.is_dir() else numbers


def _lost(run: RunDir) -> int:
    """Launches in a row that no attempt came from, or whose place an error took."""
    unclaimed = [n for n in _numbers(run) if not (run.attempt(n) / "metrics.jsonl").exists()]
    return len(set(unclaimed))


def _last_step(run: RunDir) -> int:
    return max((row["step"] for row in run.metrics()), default=0)


def _fast_directory() -> str | None:
    """Memory where there is some: thousands of small files are written."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() and os.access(memory, os.W_OK) else None


def _source(path: Path) -> Path:
    """Code to freeze: none of it is executed here."""
    for package in ("core", "worker"):
        (path / "source" / package).mkdir(parents=True)
        (path / "source" / package / "__init__.py").write_text("")
    return path / "source"


def draft(text: str, source: Path) -> planning.Draft:
    return dataclasses.replace(_draft(text), source=source)


@functools.cache
def _draft(text: str) -> planning.Draft:
    return planning.draft_plan(parse_matrix(text, "simulated"), Choices(slots=SLOTS))
