"""`bench/gpu_check.py`, rehearsed: as it is called, on the CPU; and its measuring phases on a pretended GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.gpu import inside
from bench.gpu.phase import Visit
from bench.gpu.visit import PHASES
from support.paths import REPO
from support.patience import patient
from support.pretended_gpu import pretended_gpu

JUDGED_ANYWHERE = {"lease", "arms", "model", "backward", "svd", "killed"}
# Says that whoever was started by the process that asks is on the card.
NVIDIA_SMI = """#!/bin/sh
case "$1" in
    --query-gpu=index*) echo "0, GPU-11111111-aaaa, 3" ;;
    --query-gpu=memory.total) echo 97887 ;;
    --query-gpu=*) echo "pretended" ;;
    --query-compute-apps=*) for pid in $(pgrep -P $PPID); do
        [ $pid = $$ ] || echo "$pid, 1100, GPU-11111111-aaaa"; done ;;
    *) exit 2 ;;
esac
"""


def with_nvidia_smi(folder: Path) -> Path:
    """For PATH."""
    tool = folder / "nvidia-smi"
    tool.write_text(NVIDIA_SMI)
    tool.chmod(0o755)
    return folder


def without(folder: Path, *names: str) -> Path:
    """For PYTHONPATH: the machine that a GPU is in has none of these."""
    for name in names:
        (folder / f"{name}.py").write_text(f"raise ImportError('{name} is not on this machine')\n")
    return folder


def test_every_phase_leaves_its_line(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    command = [sys.executable, "bench/gpu_check.py", "--device", "cpu", "--tiny", "--out", str(out)]
    environment = os.environ | {
        "PATH": f"{with_nvidia_smi(tmp_path)}:{os.environ['PATH']}",
        "PYTHONPATH": str(without(tmp_path, "sqlmodel", "sqlalchemy", "typer", "plotext")),
    }
    done = subprocess.run(
        command, cwd=REPO, env=environment, capture_output=True, text=True, timeout=patient(600), check=False
    )
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["phase"] for line in lines] == list(PHASES)
    assert not {line["phase"]: line for line in lines if line["passed"] is False}
    assert {line["phase"] for line in lines if line["passed"]} == JUDGED_ANYWHERE
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert said[: len(lines)] == [json.dumps(line) for line in lines]
    table = said[-len(lines) - 1 : -1]
    assert [row.split()[1] for row in table] == list(PHASES)
    assert f"{len(JUDGED_ANYWHERE)} pass, 0 FAIL" in said[-1]


def test_an_unknown_phase_is_refused() -> None:
    command = [sys.executable, "bench/gpu_check.py", "--only", "drive"]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "choose from" in done.stderr


@pytest.fixture(scope="module")
def visit(tmp_path_factory: pytest.TempPathFactory) -> Visit:
    return Visit("cuda", True, tmp_path_factory.mktemp("visit"))


def test_phases_that_measure_run_on_a_gpu(visit: Visit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What they measure there is nothing; that no tensor lies on the wrong side is what is shown."""
    monkeypatch.setenv("PATH", f"{with_nvidia_smi(tmp_path)}:{os.environ['PATH']}")
    names = ("machine", "model", "decode", "backward", "step", "agreement", "evaluation", "svd")
    with pretended_gpu():
        lines = [inside.result(PHASES[name], visit, time.monotonic() + patient(600)) for name in names]
    assert not {line["phase"]: line for line in lines if line["passed"] is False}
