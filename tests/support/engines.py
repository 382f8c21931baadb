"""What the conformance suite runs on. A backend joins by an entry: a class that says how its engine goes on and ends.

`turn` lets an engine go on that has no process of its own: the embedded queue's is the watch, which is us here.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.runs.run_dir import RunDir
from orchestrator.backends import BACKENDS, Backend, Order
from orchestrator.backends.pueue import PueueQueue
from orchestrator.backends.words import ENDED, RUNNING
from orchestrator.queue.reconcile import Reconciler
from orchestrator.store.plan_dir import PlanDir
from support.fake_home import FakeHome, until

FAKE_PUEUE = Path(__file__).parent / "fake_pueue"
REAL_PUEUED = shutil.which("pueued", path=os.environ.get("GRPOQ_PUEUE_BIN"))  # before a test hides it


class Engine:
    backend_name: str
    word_of_a_claimed_run = RUNNING

    def __init__(self, fake: FakeHome) -> None:
        self.fake = fake
        self.backend: Backend = BACKENDS[self.backend_name](fake.home)

    def start(self, plan: PlanDir, slots: int) -> list[RunDir]:
        """Ready for the plan's runs; returns them."""
        self.backend.ensure(slots)
        return plan.runs()

    def submit(self, run: RunDir, place: int = 0, threads: int = 1, take_over: bool = False) -> int:
        with self.fake.home.applying():
            return self.backend.submit(Order(run, threads, place, take_over))

    def word(self, run: RunDir) -> str:
        return self.backend.states([run])[run.run_id]

    def turn(self) -> None:
        pass

    def until(self, condition: Callable[[], Any], what: str, seconds: float = 30.0) -> Any:
        def turn_and_ask() -> Any:
            self.turn()
            return condition()

        return until(turn_and_ask, what, seconds)

    def close(self) -> None:
        pass


class Local(Engine):
    backend_name = "local"
    word_of_a_claimed_run = ENDED  # the launch is over; from the claim on the lease speaks

    def start(self, plan: PlanDir, slots: int) -> list[RunDir]:
        plan.record_request("local", slots)
        self.reconciler = Reconciler(self.fake.home, say=lambda line: None, watching=True)
        return super().start(plan, slots)

    def turn(self) -> None:
        with self.fake.home.applying():
            self.reconciler.one_pass()


class Pueue(Engine):
    backend_name = "pueue"
    backend: PueueQueue

    def __init__(self, fake: FakeHome) -> None:
        if REAL_PUEUED is None:
            pytest.skip("pueued is not on PATH; `just tools pueue` installs it")
        os.environ["GRPOQ_PUEUE_BIN"] = str(Path(REAL_PUEUED).parent)
        super().__init__(fake)

    def pueue(self, *arguments: str) -> str:
        return self.backend.daemon.ask(*arguments)

    def task_id(self, run: RunDir) -> str:
        return run.submissions()[-1].engine_id or ""

    def daemons(self) -> list[int]:
        """Found by their configuration, which is this home's."""
        mark = os.fsencode(self.backend.daemon.config)
        return [pid for pid, words in _command_lines() if mark in words and b"--color" not in words]

    def daemon_pid(self) -> int:
        (pid,) = self.daemons()
        return pid

    def kill_daemon(self, which: signal.Signals = signal.SIGKILL) -> None:
        pid = self.daemon_pid()
        os.kill(pid, which)
        until(lambda: pid not in self.daemons(), "pueued is gone")

    def close(self) -> None:
        def ended() -> bool:
            for pid in self.daemons():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return not self.daemons()

        until(ended, "pueued is gone")
        shutil.rmtree(self.backend.daemon.short_socket_directory(), ignore_errors=True)


class FakePueue(Pueue):
    def __init__(self, fake: FakeHome) -> None:
        os.environ["GRPOQ_PUEUE_BIN"] = str(FAKE_PUEUE)
        Engine.__init__(self, fake)


ENGINES: dict[str, Callable[[FakeHome], Engine]] = {"local": Local, "fake_pueue": FakePueue, "pueue": Pueue}
# At each commit the real pueue, or the one in Python where there is none; CI runs both (GRPOQ_TEST_ENGINES=every).
PUEUES = ["fake_pueue", "pueue"]
if os.environ.get("GRPOQ_TEST_ENGINES") != "every":
    PUEUES = ["fake_pueue" if REAL_PUEUED is None else "pueue"]


def at_once(actions: list[Callable[[], None]]) -> list[BaseException]:
    """Run them in threads that start together; returns what they raised."""
    barrier, raised = threading.Barrier(len(actions)), []

    def run(action: Callable[[], None]) -> None:
        barrier.wait()
        try:
            action()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def _command_lines() -> Iterator[tuple[int, list[bytes]]]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield int(path.parent.name), path.read_bytes().split(b"\0")
