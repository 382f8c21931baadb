"""A home that a tool makes, fills and throws away: the demo's, and that of `grpoq chaos`."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

from core.runs import durable
from core.runs.run_dir import RunDir
from orchestrator.planning.plan import Draft, require_room, write_plan
from orchestrator.queue.processes import pueued_pid, watch_pid
from orchestrator.queue.signals import signal_worker
from orchestrator.refusal import Refused
from orchestrator.store.home import Home
from orchestrator.store.plan_dir import PlanDir

MARKER = ".grpoq-demo"
PATIENCE_S = 20.0


def planned(home: Home, draft: Draft) -> PlanDir:
    require_room(home, draft)
    home.path.mkdir(parents=True, exist_ok=True)
    return write_plan(home, draft)[0]


def clear(place: Path, homes: tuple[Path, ...]) -> None:
    """An empty `place`. `homes`: those of a demo within it. Raises Refused where no demo made what is there."""
    if place.exists() and any(place.iterdir()):
        if not (place / MARKER).is_file():
            raise Refused(f"{place} is not empty and no demo made it; choose another --home")
        print(f"Wiping the last demo's home {place}.")
        for home in homes:
            stop(Home(home))  # workers of the last demo must not write into this one's directories
        remove(place)
    place.mkdir(parents=True, exist_ok=True)
    (place / MARKER).write_text("made by `just demo`, which may wipe this directory\n")


def stop(home: Home) -> None:
    """Nothing of it runs on: no worker, watch or daemon."""
    for path in home.runs.glob("*/spec.json"):
        run = RunDir(path.parent)
        if not run.has_result():
            run.cancel()
        for attempt in run.attempts():
            signal_worker(run, attempt, signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE_S
    while durable.is_flocked(home.watch_lock) and time.monotonic() < deadline:
        time.sleep(0.1)  # a detached watch leaves when all its runs are cancelled
    for find in (watch_pid, pueued_pid):
        _end(home, find)


def _end(home: Home, find: Callable[[Home], int | None]) -> None:
    """Ask it to leave and wait until it has: a daemon saves its state on the way out, into a folder that goes next."""
    deadline = time.monotonic() + PATIENCE_S
    asked = signal.SIGTERM
    while (pid := find(home)) is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, asked)
        if time.monotonic() > deadline:
            asked = signal.SIGKILL
        time.sleep(0.1)


def remove(place: Path) -> None:
    for item in place.rglob("*"):
        if item.is_dir() and not item.is_symlink():
            item.chmod(0o755)  # snapshots are read-only
    shutil.rmtree(place, ignore_errors=True)
