"""Phases of a visit to a GPU: one that dies or hangs costs its own line, and the others get theirs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from bench.gpu import processes
from bench.gpu.phase import Finding, Phase
from bench.gpu.processes import Line, visited
from support.paths import REPO


def test_the_process_that_watches_loads_no_torch() -> None:
    code = "import sys, bench.gpu.visit; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=True)
    assert not {"torch", "transformers", "numpy"} & set(done.stdout.split())


def phase(name: str, alone: bool = False) -> Phase:
    return Phase(name, 30.0, "", lambda visit: Finding(True, ""), alone)


PROGRAM = """
import json, sys, time
for name in sys.argv[1:]:
    if name == "dies": sys.exit(3)
    if name == "hangs": time.sleep(600)
    print("Loading weights: 100%")
    print(json.dumps({"phase": name, "process": sys.argv[1:]}), flush=True)
"""


def lines_of(phases: Sequence[Phase], folder: Path, total_s: float = 60.0) -> list[Line]:
    def command(group: Sequence[Phase], left_s: float) -> list[str]:
        return [sys.executable, "-c", PROGRAM, *(phase.name for phase in group)]

    return list(visited(phases, command, folder, total_s))


def test_phases_share_a_process_unless_they_need_the_card_alone(tmp_path: Path) -> None:
    phases = [phase("a"), phase("b"), phase("c", alone=True), phase("d"), phase("e")]
    lines = lines_of(phases, tmp_path)
    assert [line["phase"] for line in lines] == list("abcde")
    assert [line["process"] for line in lines] == [["a", "b"], ["a", "b"], ["c"], ["d", "e"], ["d", "e"]]


def test_a_process_that_dies_costs_one_phase(tmp_path: Path) -> None:
    lines = lines_of([phase("a"), phase("dies"), phase("b")], tmp_path)
    assert [line["phase"] for line in lines] == ["a", "dies", "b"]
    assert lines[1]["passed"] is False and lines[1]["says"] == "its process ended with exit code 3"
    assert lines[2] == {"phase": "b", "process": ["b"]}


def test_a_process_that_hangs_is_killed_at_its_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "START_S", 0.5)
    monkeypatch.setattr(processes, "GRACE_S", 0.5)
    began = time.monotonic()
    lines = lines_of([phase("hangs"), phase("dies")], tmp_path, total_s=0.0)
    assert lines[0]["passed"] is False and lines[0]["says"].startswith("killed: ")
    assert lines[1]["passed"] is False and time.monotonic() - began < 30
    assert json.dumps(lines)
