"""The embedded queue: detached processes of this machine, started by whoever holds the home's watch.lock.

A submission waits while it has neither attempt nor launch log. The log is locked by the process that writes it, so
a launch is known to live before the worker has claimed anything, and after the watcher that started it is gone.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

from core import durable
from core.run_dir import RunDir
from core.spec import RunSpec
from orchestrator.facts import ENDED, RUNNING, UNKNOWN, WAITING
from orchestrator.home import Home


class LocalQueue:
    name = "local"

    def __init__(self, home: Home) -> None:
        self.home = home
        self._children: list[subprocess.Popen[bytes]] = []

    # ---- the four verbs
    def ensure(self) -> None:
        from orchestrator.watch import start_detached

        start_detached(self.home)

    def submit(self, run: RunDir) -> int:
        return run.submit(self.name)

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

    def is_live(self, run: RunDir) -> bool:
        """Whether it occupies a slot, whoever started it."""
        attempts = run.attempts()
        return (bool(attempts) and run.is_alive(attempts[-1])) or self.state(run) == RUNNING

    def launch(self, run: RunDir, spec: RunSpec, number: int) -> int:
        """Start the worker of submission `number` in the plan's snapshot; returns its pid. Needs apply.lock."""
        log = self._locked_log(run, number)
        try:
            child = subprocess.Popen(
                [sys.executable, "-m", "worker", str(run.path), "--attempt", str(number)],
                cwd=self.home.snapshots / spec.snapshot,
                env=worker_environment(self.home.snapshots / spec.snapshot, spec.config.threads),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        finally:
            os.close(log)  # the child's copies keep the lock for as long as it lives
        self._children.append(child)
        run.submitted(number, self.name, f"pid:{child.pid}")
        return child.pid

    def reap(self) -> None:
        """A dead child of ours stays in the process table until it is asked for."""
        self._children = [child for child in self._children if child.poll() is None]

    def _locked_log(self, run: RunDir, number: int) -> int:
        """The launch log under its name and its lock in one step, so that no reader sees it unlocked."""
        temporary = run.path / f".launch-{number:04d}.{os.getpid()}"
        log = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        fcntl.flock(log, fcntl.LOCK_EX)
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
        os.write(log, f"# {stamp} UTC launch of submission {number}\n".encode())
        temporary.rename(run.launch_log(number))
        durable.fsync_dir(run.path)
        return log


def worker_environment(code: Path, threads: int) -> dict[str, str]:
    return os.environ | {
        "PYTHONPATH": str(code),
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",  # root could write into the read-only snapshot
        "OMP_WAIT_POLICY": "passive",  # spinning threads slow a neighbour 5-17x
        "OMP_NUM_THREADS": str(threads),
    }
