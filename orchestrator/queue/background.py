"""Processes of our own that outlive the terminal: how one is started, and the kernel lock that says that it lives."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from orchestrator.refusal import FAILED, Refused
from orchestrator.store.home import Home

START_S = 10.0  # for a process to take its lock


def program() -> list[str]:
    """`grpoq` of this code, from any directory and under any PYTHONPATH."""
    return [sys.executable, "-P", str(Path(__file__).parents[2] / "grpoq_entry.py")]


def start_detached(home: Home, command: Sequence[str], log: Path, is_running: Callable[[], bool], what: str) -> None:
    """`grpoq COMMAND` of this code, unless it runs. Returns once it holds its lock. Raises Refused."""
    if is_running():
        return
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        process = subprocess.Popen(
            [*program(), "--home", str(home.path), *command],
            cwd=home.path,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            start_new_session=True,
        )
    finally:
        os.close(descriptor)
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if is_running():
            return
        if process.poll() is not None:
            if process.returncode == 0:  # it found another one, or nothing left to do
                return
            raise Refused(f"{what} could not start (exit {process.returncode}); see {log}", FAILED)
        time.sleep(0.02)


def take_lock(path: Path) -> int | None:
    """An open descriptor that is the lock, or None. Tries for a second: asking `is_flocked` takes it for a moment."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    deadline = time.monotonic() + 1.0
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(descriptor)
                return None
            time.sleep(0.05)
