"""`grpoq` as installed, where other modules bear the names of ours and of the standard library: real processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from core.runs.code_hash import content_hash
from core.runs.run_dir import RunDir
from orchestrator.queue.processes import pueued_pid
from orchestrator.queue.service import Service
from orchestrator.store.home import Home
from support.engines import REAL_PUEUED
from support.fake_home import FakeHome, until
from support.paths import REPO
from support.patience import patient
from support.real_run import HANGS_S, SMALL

RAISES = 'raise ImportError(f"{__file__} was imported")\n'
OURS = ("core", "worker", "orchestrator", "grpoq")
OF_PYTHON = ("json.py", "queue.py", "typing.py", "argparse.py")  # what Python starts without


def hostile(folder: Path) -> Path:
    """A folder of modules that raise: packages under our names, files under those of the standard library."""
    for name in OURS:
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(RAISES)
    for name in OF_PYTHON:
        (folder / name).write_text(RAISES)
    return folder


@dataclass
class Installed:
    """An environment with the console script that an installer writes, beside packages with our names."""

    program: Path
    home: Home
    here: Path  # the working directory
    environment: dict[str, str]

    def grpoq(self, *arguments: str, seconds: float = 120.0, **env: str) -> str:
        done = subprocess.run(
            [self.program, *arguments], cwd=self.here, env=self.environment | env, capture_output=True, text=True,
            timeout=seconds, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == 0, f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture
def installed(tmp_path: Path, fake: FakeHome) -> Iterator[Installed]:
    """Its home is the fake's, whose processes are ended. Its code is this checkout, as in an editable install."""
    place = tmp_path / "environment"
    venv.create(place, symlinks=True, with_pip=False)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(place), "platbase": str(place)}))
    (site / "libraries.pth").write_text(f"{sysconfig.get_path('purelib')}\n{REPO}\n")
    for name in OURS:  # another distribution's; before ours on the path
        (site / name).mkdir()
        (site / name / "__init__.py").write_text(RAISES)
    module, _, function = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["scripts"]["grpoq"].partition(
        ":"
    )
    program = place / "bin" / "grpoq"
    program.write_text(
        f"#!{place / 'bin' / 'python'}\nimport sys\nfrom {module} import {function}\nsys.exit({function}())\n"
    )
    program.chmod(0o755)
    (program.parent / "queue.py").write_text(RAISES)
    here, theirs = hostile(tmp_path / "here"), hostile(tmp_path / "theirs")
    environment = os.environ | {"GRPOQ_HOME": str(fake.home.path), "COLUMNS": "80"}
    yield Installed(
        program, fake.home, here, environment | {"PYTHONPATH": f"{theirs}{os.pathsep}"}
    )  # the empty one: cwd


def test_plan_to_report_with_the_real_worker(installed: Installed) -> None:
    """The command, the watch that it starts, the worker, the grader's servers."""
    flags = [f"--set={setting}" for setting in SMALL]
    assert "vanilla-s7" in installed.grpoq("plan", "smoke", "--arms", "vanilla", "--seeds", "7", *flags)
    (snapshot,) = installed.home.snapshots.iterdir()
    assert snapshot.name == content_hash(REPO) and {p.name for p in snapshot.iterdir()} == {"core", "worker"}
    hostile(installed.home.path / "hostile")
    for name in OF_PYTHON:
        shutil.copy(installed.here / name, installed.home.path)
    installed.grpoq("submit", "--backend", "local")
    assert "vanilla-s7" in installed.grpoq("status")
    assert "1 of 1 done" in installed.grpoq("wait", seconds=HANGS_S)
    assert installed.grpoq("report").splitlines()[-1].startswith("page: ")
    assert RunDir(next(installed.home.runs.iterdir())).attempts() == [1]
    assert "Error" not in installed.home.watch_log.read_text()


def test_a_worker_of_pueue(installed: Installed, fake: FakeHome) -> None:
    """Who submits, starts the daemon and may call it from anywhere has the hostile PYTHONPATH."""
    if REAL_PUEUED is None:
        pytest.skip("pueue is not installed: `just tools pueue`")
    plan = fake.planned()
    hostile(installed.home.path / "hostile")
    try:
        installed.grpoq("submit", "--backend", "pueue", GRPOQ_PUEUE_BIN=str(Path(REAL_PUEUED).parent))
        assert "1 of 1 done" in installed.grpoq("wait", GRPOQ_PUEUE_BIN=str(Path(REAL_PUEUED).parent))
        assert plan.runs()[0].attempts() == [1]
    finally:
        until(lambda: fake.watch_pid() is None, "the watch has left")
        if pid := pueued_pid(installed.home):
            os.kill(pid, 9)


def test_the_cron_line(installed: Installed, fake: FakeHome) -> None:
    plan = fake.planned()
    plan.record_request("local", 1)
    line = Service(fake.home).cron_line().removeprefix("* * * * * ").replace("\\%", "%")
    for name in OF_PYTHON:  # the line's own directory
        shutil.copy(installed.here / name, fake.home.path)
    subprocess.run(["/bin/sh", "-c", line], env=installed.environment, cwd="/", check=True, timeout=patient(60))
    assert plan.runs()[0].has_result()


def test_a_unit_of_an_earlier_version_still_works(fake: FakeHome) -> None:
    plan = fake.planned()
    plan.record_request("local", 1)
    command = [sys.executable, "-P", "-m", "orchestrator.cli", "--home", str(fake.home.path), "watch", "--detached"]
    environment = {"PYTHONPATH": str(REPO), "PATH": os.environ["PATH"]}
    subprocess.run(command, env=environment, cwd=hostile(fake.home.path / "here"), check=True, timeout=patient(60))
    assert plan.runs()[0].has_result()


def test_the_shell_completes(installed: Installed, fake: FakeHome) -> None:
    fake.planned(seeds="41,42")
    words = {"COMP_WORDS": "grpoq status van", "COMP_CWORD": "2", "_GRPOQ_COMPLETE": "complete_bash"}
    assert installed.grpoq(**words).split() == ["vanilla-s41", "vanilla-s42"]


def test_the_users_pythonpath_reaches_what_the_user_starts(installed: Installed, tmp_path: Path) -> None:
    """A command of `notify` is their own program."""
    seen = tmp_path / "seen"
    installed.grpoq("notify", f'echo "$PYTHONPATH" > {seen}', "--test")
    assert seen.read_text().strip() == installed.environment["PYTHONPATH"]


@pytest.mark.parametrize("name", ["arms_table", "grading", "queue"])
def test_a_bench_runs_as_its_recipe_does(name: str) -> None:
    """Without -P its folder would come first on sys.path, and bench/queue.py in the place of Python's queue."""
    recipes = [line for line in (REPO / "justfile").read_text().splitlines() if f"python -P bench/{name}.py " in line]
    assert len(recipes) == 1
    command = [sys.executable, "-P", f"bench/{name}.py", "--help"]
    environment = os.environ | {"PYTHONPATH": "."}
    assert "--out" in subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True).stdout
