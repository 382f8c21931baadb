"""The home of a demo: a directory of its own, which the next demo wipes, and nothing else is ever wiped."""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path

from core.runs import durable
from core.runs.run_dir import RunDir
from orchestrator.queue.signals import signal_worker
from orchestrator.refusal import Refused
from orchestrator.store.home import Home

MARKER = ".grpoq-demo"


def clear(place: Path, homes: tuple[Path, ...]) -> None:
    """An empty `place`. `homes`: those of a demo within it. Raises Refused where no demo made what is there."""
    if place.exists() and any(place.iterdir()):
        if not (place / MARKER).is_file():
            raise Refused(f"{place} is not empty and no demo made it; choose another --home")
        print(f"Wiping the last demo's home {place}.")
        _stop_watches(homes)
        for item in place.rglob("*"):
            if item.is_dir() and not item.is_symlink():
                item.chmod(0o755)  # snapshots are read-only
        shutil.rmtree(place)
    place.mkdir(parents=True, exist_ok=True)
    (place / MARKER).write_text("made by `just demo`, which may wipe this directory\n")


def _stop_watches(homes: tuple[Path, ...]) -> None:
    """Workers of the last demo must not write into this one's directories."""
    for home in map(Home, homes):
        for path in home.runs.glob("*/spec.json"):
            run = RunDir(path.parent)
            if not run.has_result():
                run.cancel()
            for attempt in run.attempts():
                signal_worker(run, attempt, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while durable.is_flocked(home.watch_lock) and time.monotonic() < deadline:
            time.sleep(0.1)  # a detached watch leaves when all its runs are cancelled


def clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
