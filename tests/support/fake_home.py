"""A home in a temporary directory whose plans freeze the fake worker, and the `grpoq` command in it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from core.runs import durable
from core.runs.run_dir import RunDir
from orchestrator.planning import plan as planning
from orchestrator.planning.matrix import find_matrix, read_matrix
from orchestrator.planning.resolve import read_choices
from orchestrator.queue import actions
from orchestrator.queue.waiting import wait
from orchestrator.store.home import Home
from orchestrator.store.plan_dir import PlanDir
from support import command
from support.command import environment
from support.paths import REPO
from support.patience import patient


@dataclass
class FakeHome:
    home: Home
    source: Path
    env: dict[str, str] = field(default_factory=dict)

    def grpoq(self, *arguments: str, expect: int | None = 0, **env: str) -> subprocess.CompletedProcess[str]:
        """The command in this process (support.command)."""
        done = command.grpoq(*arguments, cwd=self.home.path, **self.environment() | env)
        return _expected(done, expect)

    def grpoq_process(self, *arguments: str, expect: int | None = 0, **env: str) -> subprocess.CompletedProcess[str]:
        """The command as a script meets it: where exit codes, streams or imports are the claim."""
        done = subprocess.run(
            [sys.executable, "-m", "orchestrator.cli", *arguments],
            cwd=self.home.path,
            env=self.environment() | env,
            capture_output=True,
            text=True,
            timeout=patient(60),
            stdin=subprocess.DEVNULL,
        )
        return _expected(done, expect)

    def environment(self) -> dict[str, str]:
        return (
            os.environ
            | {
                "GRPOQ_HOME": str(self.home.path),
                "GRPOQ_SOURCE": str(self.source),
                "PYTHONPATH": str(REPO),
                "COLUMNS": "80",
            }
            | self.env
        )

    def planned(self, *overrides: str, steps: int = 12, seeds: str = "41", slots: int | None = None) -> PlanDir:
        """Vanilla on these seeds, planned in this process: imports are what is slow about the command."""
        settings = [f"steps={steps}", "disk_floor_gb=0.01", *overrides]
        with environment(GRPOQ_SOURCE=str(self.source)):
            choices = read_choices("vanilla", seeds, slots, None, settings)
            draft = planning.draft_plan(read_matrix(find_matrix("smoke")), choices)
        return planning.write_plan(self.home, draft)[0]

    def submit(self, plan: PlanDir, **env: str) -> None:
        """The watch that this starts, and so its workers, see `env`."""
        with environment(PYTHONPATH=str(REPO), **env):
            actions.submit(self.home, plan, "local", None)

    def resume(self, **env: str) -> None:
        with environment(PYTHONPATH=str(REPO), **env):
            actions.resume(self.home)

    def wait(self, plan: PlanDir, seconds: float = 60.0) -> set[str]:
        """The states in which its runs ended."""
        return {d.state for d in wait(self.home, [(plan, run) for run in plan.runs()], seconds).values()}

    def executions(self, run: RunDir) -> list[dict[str, Any]]:
        return durable.read_lines(run.path / "executions.jsonl")

    def watch_pid(self) -> int | None:
        """Found by its command line: the watch of this very home."""
        mark = f"\0--home\0{self.home.path}\0watch\0".encode()
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if mark in path.read_bytes():
                    return int(path.parent.name)
        return None

    def end_everything(self) -> None:
        """No process may outlive its test."""
        marks = (str(self.home.path) + "\0", str(self.home.runs) + "/")
        deadline = time.monotonic() + patient(20)
        while time.monotonic() < deadline:
            ours = [pid for pid in _processes(marks) if pid != os.getpid()]
            if not ours:
                return
            for pid in ours:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)


def _expected(done: subprocess.CompletedProcess[str], expect: int | None) -> subprocess.CompletedProcess[str]:
    if expect is not None:
        assert done.returncode == expect, f"{done.args}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def _processes(marks: tuple[str, ...]) -> Iterator[int]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            line = path.read_bytes().decode(errors="replace")
            if any(mark in line for mark in marks):
                yield int(path.parent.name)


def until(condition: Callable[[], Any], what: str, seconds: float = 30.0) -> Any:
    """Wait for a condition with a deadline; returns what it gave."""
    deadline = time.monotonic() + patient(seconds)
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        time.sleep(0.02)


def tree(path: Path) -> list[str]:
    return sorted(str(p.relative_to(path)) for p in path.rglob("*"))


def made(folder: Path) -> FakeHome:
    """Source and home in `folder`, which is empty."""
    source = folder / "source"
    no_bytecode = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPO / "core" / "runs", source / "core" / "runs", ignore=no_bytecode)
    for name in ("__init__.py", "spec.py"):
        shutil.copy(REPO / "core" / name, source / "core" / name)
    shutil.copytree(REPO / "tests" / "support" / "fake_worker" / "worker", source / "worker", ignore=no_bytecode)
    (folder / "home").mkdir()
    return FakeHome(Home(folder / "home"), source)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHome]:
    monkeypatch.setenv("GRPOQ_PUEUE_BIN", str(tmp_path / "no-pueue"))  # where it is installed it would be the default
    ours = made(tmp_path)
    yield ours
    ours.end_everything()
