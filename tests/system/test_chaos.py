"""`grpoq chaos` itself: it strikes, compares, cleans up, and finds what is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.refusal import Refused
from orchestrator.store.home import Home
from orchestrator.tools import chaos as chaos_module
from support.fake_home import REPO
from support.patience import patient


def chaos(home: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "orchestrator.cli", "--home", str(home), "chaos", *flags]
    environment = os.environ | {"PYTHONPATH": str(REPO)}
    return subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, timeout=patient(600))


@pytest.mark.parametrize("backend", ["local", "pueue"])
def test_chaos_strikes_finds_nothing_wrong_and_leaves_nothing(tmp_path: Path, backend: str) -> None:
    if backend == "pueue" and chaos_module.default_backend() != "pueue":
        pytest.skip("pueue is not installed: `just tools pueue`")
    done = chaos(tmp_path, "--backend", backend, "--seed", "3")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 things wrong" in done.stdout and done.stdout.count("kill -9") >= 2
    assert done.stdout.count("equal the twin's") == 6
    assert list(tmp_path.iterdir()) == []


def test_chaos_does_not_touch_what_an_earlier_one_left(tmp_path: Path) -> None:
    (tmp_path / "chaos").mkdir()
    with pytest.raises(Refused, match="left from a chaos"):
        chaos_module.chaos(Home(tmp_path), "local", 0, 1, print)
    assert list((tmp_path / "chaos").iterdir()) == []
