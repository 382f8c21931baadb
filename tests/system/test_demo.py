"""The demo kills, shows the resumption and compares with the twin; its verdict can come out either way."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from core.runs import durable
from core.runs.compare import compare
from core.runs.run_dir import RunDir
from orchestrator.refusal import Refused
from orchestrator.tools.scratch_home import MARKER, clear
from support.fake_home import FakeHome
from support.patience import patient


def test_the_demo_ends_well_and_tells_its_story(fake: FakeHome) -> None:
    fake.env["GRPOQ_FAKE_STEP_S"] = "0.06"
    command = [sys.executable, "-m", "orchestrator.tools.demo", "--home", str(fake.home.path), "--plan", "smoke"]
    settings = ["--set", "steps=30", "--set", "disk_floor_gb=0.01"]
    done = subprocess.run(
        command + settings,
        cwd=fake.home.path,
        env=fake.environment(),
        capture_output=True,
        text=True,
        timeout=patient(120),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for words in ("kill -9 of seed 41", "is back by itself: attempt 2", "EQUAL", "page:", "vanilla-s43"):
        assert words in done.stdout
    assert "DIFFERENT" not in done.stdout and "\x1b" not in done.stdout


def run_with(path: Path, weights: str, rows: list[dict]) -> RunDir:
    (path / "attempts" / "0001").mkdir(parents=True)
    (path / "attempts" / "0001" / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    durable.write_json(path / "result.json", {"adapter_sha256": weights})
    return RunDir(path)


@pytest.mark.parametrize(
    "weights, row, equal",
    [
        ("aa", {"step": 1, "rew": 0.5, "sec": 9.0}, [True, True]),
        ("ab", {"step": 1, "rew": 0.5, "sec": 1.0}, [False, True]),
        ("aa", {"step": 1, "rew": 0.6, "sec": 1.0}, [True, False]),
        ("aa", {"step": 2, "rew": 0.5, "sec": 1.0}, [True, False]),
    ],
)
def test_only_columns_of_the_machine_may_differ(tmp_path: Path, weights: str, row: dict, equal: list[bool]) -> None:
    one = run_with(tmp_path / "one", "aa", [{"step": 1, "rew": 0.5, "sec": 1.0}])
    other = run_with(tmp_path / "other", weights, [row])
    assert list(compare(one, other).values()) == [*equal, True]


def test_a_directory_that_no_demo_made_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(Refused, match="no demo made it"):
        clear(tmp_path, (tmp_path,))
    assert (tmp_path / "thesis.tex").read_text() == "years of work"
    (tmp_path / MARKER).write_text("")
    clear(tmp_path, (tmp_path,))
    assert [p.name for p in tmp_path.iterdir()] == [MARKER]
