"""The embedded queue: detached processes of this machine, started by whoever holds the home's watch.lock.

A submission waits while it has neither attempt nor launch log. The log is locked by the process that writes it, so
a launch is known to live before the worker has claimed anything, and after the watcher that started it is gone.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import time

from core.runs import durable
from core.runs.run_dir import RunDir
from core.spec import RunSpec
from orchestrator.backends import Order
from orchestrator.backends.words import ENDED, RUNNING, UNKNOWN, WAITING
from orchestrator.backends.worker_process import worker_command, worker_environment
from orchestrator.store.home import Home


class LocalQueue:
    name = "local"

    def __init__(self, home: Home) -> None:
        self.home = home
        self._children: list[subprocess.Popen[bytes]] = []

    # ---- the four verbs
    def ensure(self, slots: int) -> None:
        """The watch is the queue; who submits starts it, whatever the engine."""

    def submit(self, order: Order) -> int:
        return order.run.submit(self.name, order.take_over)

    def states(self, runs: list[RunDir]) -> dict[str, str]:
        return {run.run_id: self.state(run) for run in runs}

    def cancel(self, run: RunDir) -> None:
        """Nothing is handed over before a slot is free, so there is nothing to take back."""

    # ---- local only
    def state(self, run: RunDir) -> str:
        submissions = run.submissions()
        if not submissions:
            return UNKNOWN
        number = submissions[-1].number
        if run.attempt(number).is_dir():
            return ENDED  # the lease decides from here: a stray grandchild may hold the log's lock longer
        if run.is_launched(number):
            return RUNNING
        return ENDED if run.launch_log(number).exists() else WAITING

    def slot(self, run: RunDir) -> int | None:
        """The slot that it occupies, whoever started it (-1: nobody gave it one); None: it does not live."""
        attempts = run.attempts()
        if not (attempts and run.is_alive(attempts[-1])) and self.state(run) != RUNNING:
            return None
        engine_id = next((s.engine_id for s in reversed(run.submissions()) if s.engine_id), None) or ""
        slot = engine_id.rpartition(" slot:")[2]
        return int(slot) if slot.isdigit() else -1

    def launch(self, run: RunDir, spec: RunSpec, number: int, slot: int) -> int:
        """Start the worker of submission `number` in the plan's snapshot; returns its pid. Needs apply.lock."""
        code = self.home.snapshots / run.snapshot()
        take_over = any(s.take_over for s in run.submissions() if s.number == number)
        log = self._locked_log(run, number)
        try:
            child = subprocess.Popen(
                worker_command(run, number, take_over),
                cwd=code,
                env=worker_environment(code, spec.config.threads) | {"GRPOQ_SLOT": str(slot)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        finally:
            os.close(log)  # the child's copies keep the lock for as long as it lives
        self._children.append(child)
        run.submitted(number, self.name, f"pid:{child.pid} slot:{slot}")
        return child.pid

    def reap(self) -> None:
        """A dead child of ours stays in the process table until it is asked for."""
        self._children = [child for child in self._children if child.poll() is None]

    def _locked_log(self, run: RunDir, number: int) -> int:
        """The launch log under its name and its lock in one step, so that no reader sees it unlocked."""
        temporary = run.path / f".launch-{number:04d}.{os.getpid()}"
        temporary.unlink(missing_ok=True)  # of a launch that failed
        log = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(log, fcntl.LOCK_EX)
            stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
            os.write(log, f"# {stamp} UTC launch of submission {number}\n".encode())
            temporary.rename(run.launch_log(number))
            durable.fsync_dir(run.path)
        except BaseException:  # a full disk: left open, its lock would bar every later launch
            os.close(log)
            raise
        return log
