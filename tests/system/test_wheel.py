"""The wheel in an empty environment: what it holds, and that it plans, trains and reports with nothing beside it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from core.runs.code_hash import content_hash
from support.paths import REPO
from support.real_run import HANGS_S, SMALL

NO_NETWORK = ("failed to fetch", "dns error", "error sending request", "failed to download")


def uv(*arguments: str) -> None:
    """In the checkout, whose pyproject.toml dates the versions. Skips the test where uv or its sources are missing."""
    if shutil.which("uv") is None:
        pytest.skip("uv is not installed: `pip install uv`")
    done = subprocess.run(["uv", *arguments], cwd=REPO, capture_output=True, text=True, timeout=HANGS_S)
    if done.returncode and any(words in done.stderr.lower() for words in NO_NETWORK):
        pytest.skip(f"no package index answers here: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr


def test_the_wheel_alone_plans_trains_and_reports(tmp_path: Path) -> None:
    """Without uv's cache it downloads torch."""
    uv("build", "--wheel", "--out-dir", str(tmp_path / "dist"))
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {
        "grpoq_entry.py", "core", "worker", "orchestrator",
    }  # fmt: skip
    place = tmp_path / "environment"
    uv("venv", "--python", sys.executable, str(place))
    uv("pip", "install", "--python", str(place / "bin" / "python"), str(wheel))

    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "GRPOQ_", "VIRTUAL_"))}
    home = tmp_path / "home"
    home.mkdir()

    def grpoq(*arguments: str) -> str:
        done = subprocess.run(
            [place / "bin" / "grpoq", *arguments], cwd=home, env=clean | {"COLUMNS": "80"}, capture_output=True,
            text=True, timeout=HANGS_S, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == 0, f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    flags = [f"--set={setting}" for setting in (*SMALL, "steps=2", "checkpoint_every=2", "eval_every=2")]
    assert "vanilla-s41" in grpoq("plan", "smoke", "--arms", "vanilla", "--seeds", "41", *flags)
    (snapshot,) = (home / "snapshots").iterdir()
    assert snapshot.name == content_hash(REPO)  # every file that a run may read, data included, to the byte
    assert "nano15" in grpoq("plan", "nano15", "--dry-run")  # its model, teacher and pairs are read from the package
    grpoq("submit", "--backend", "local")
    assert "1 of 1 done" in grpoq("wait")
    page = grpoq("report").splitlines()[-1].removeprefix("page: ")
    assert (home / page).read_text().count("<svg") >= 2
