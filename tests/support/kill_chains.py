"""Real workers that die at named points: found in one traced run, then dealt out to runs that die again and again.

A worker costs seconds of imports, so an attempt dies at one point and the next attempt of the same run at the next.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from core.runs.run_dir import RunDir
from orchestrator.store.home import Home
from support import real_run
from support.fake_home import FakeHome

KILL_POINTS = Path(__file__).parent / "kill_at" / "kill_points.py"
SMALL = (
    *("steps=12", "checkpoint_every=1", "eval_every=6", "eval_problems=2", "max_new=12", "disk_floor_gb=0.01"),
    *("keep_newest=2", "keep_every=5"),
)
FIRST_ROW, FIRST_PUBLISHED = "worker:write_step:write:1", "checkpoint:_publish:fsync:1"
FINISH = "worker:publish_weights:rmdir:1"


def grpoq(home: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """On the embedded queue, also where pueue is installed: it starts the workers that the tests find and kill."""
    command = [sys.executable, "-m", "orchestrator.cli", "--home", str(home), *arguments]
    environment = os.environ | {"GRPOQ_SOURCE": str(home / "source"), "GRPOQ_PUEUE_BIN": "/no-pueue"}
    done = subprocess.run(command, cwd=real_run.REPO, env=environment, capture_output=True, text=True)
    assert not check or done.returncode == 0, done.stderr
    return done


@contextlib.contextmanager
def home(path: Path) -> Iterator[Path]:
    """Whose watch and workers end with the test, however it ends."""
    try:
        yield path
    finally:
        FakeHome(Home(path), path / "source").end_everything()


def planned(home: Path, labels: list[str], settings: tuple[str, ...] = SMALL) -> dict[str, RunDir]:
    """Equal runs by label, on code that kills itself where its run directory asks for it."""
    for package in ("core", "worker"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(real_run.REPO / package, home / "source" / package, ignore=ignored)
    (home / "source" / "worker" / "__init__.py").write_text(KILL_POINTS.read_text() + "\n\ninstall()\n")
    plan = home / "kills.toml"
    arms = "".join(f'[[arm]]\nname = "vanilla"\nlabel = "{label}"\n' for label in labels)
    plan.write_text(f'name = "kills"\npreset = "smoke"\nseeds = [7]\n{arms}')
    grpoq(home, "plan", str(plan), "--slots", "2", *(f"--set={item}" for item in settings))
    return {run.name.partition("-s7-")[0]: RunDir(run) for run in (home / "runs").iterdir()}


def traced(run: RunDir) -> list[str]:
    """The run to its end, as the queue would start it; the points that it passed first in each function, in order.

    Of the checkpoint writer all those of its first checkpoint: in a later attempt they stand for another step.
    """
    trace, number = run.path / "trace", run.submit("hand")
    worker = real_run.worker(run, "--attempt", str(number), GRPOQ_TRACE=str(trace))
    assert worker.wait(real_run.HANGS_S) == 0, (run.path / "test-worker.log").read_text()
    found = list(dict.fromkeys(trace.read_text().split()))
    first_checkpoint = found[: found.index(FIRST_PUBLISHED) + 1]
    return [p for p in found if p.endswith(":1") or (p.startswith("checkpoint:") and p in first_checkpoint)]


def chains(points: list[str], length: int = 9) -> list[list[str]]:
    """Which points each run dies at, one per attempt.

    Three deaths in a row before a metrics row would be `no_progress`, so those before the first row alternate with
    those after it, and at most two of `publish_weights` and what follows end a chain: from a checkpoint of the last
    step no row is written. After its result a run can die once more, and is done.
    """
    early = points[: points.index(FIRST_ROW)]
    late = points[points.index(FIRST_ROW) : points.index(FINISH)]
    last = [p for p in points[points.index(FINISH) :] if p not in late]
    over = [p for p in last if p.startswith("worker:_leave:")]
    last = [p for p in last if p not in over]
    count = max(-(-len(points) // length), -(-len(last) // 2), len(over))
    dealt = []
    for place in range(count):
        ours, theirs = early[place::count], late[place::count]
        mixed = [p for pair in itertools.zip_longest(ours, theirs) for p in pair if p]
        dealt.append([*mixed, *last[place::count], *over[place::count]])
    return dealt


def dies_at(run: RunDir, points: list[str]) -> None:
    (run.path / "kill-at").write_text("".join(f"{point}\n" for point in points))
