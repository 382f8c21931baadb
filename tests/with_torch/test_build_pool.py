"""`just build-pool checkpoint`: the named weights are asked, graded, and a killed call goes on where it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.environment import teacher_pool
from core.studies import build_pool
from support import in_process
from support.benchmark_row import benchmark_row

SETS = ("batch=4", "completions=2", "max_new=8", "decode_rows=4", "disk_floor_gb=0.01")


@pytest.fixture
def problems(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(benchmark_row(number)) + "\n" for number in range(5)))
    return path


def pool_of(name: str | Path, problems: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    words = ["checkpoint", str(name), "--problems", str(problems), "--preset", "smoke", "--samples", "2"]
    words += [word for item in SETS for word in ("--set", item)]
    monkeypatch.setattr("sys.argv", ["build-pool", *words, "--out", str(out)])
    assert build_pool.main() == 0
    return list(teacher_pool.read_rows(out))


def test_a_killed_call_goes_on_and_ends_with_the_same_pool(
    tmp_path: Path, problems: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = pool_of("smoke", problems, tmp_path / "pool.jsonl", monkeypatch)
    assert {row["problem_id"] for row in whole} == {"0", "1", "2", "3", "4"} and len(whole) <= 10
    kept = tmp_path / "pool.jsonl.answers"
    lines = kept.read_text().splitlines(keepends=True)
    assert len(lines) == 3  # two problems are asked at a time
    kept.write_text("".join(lines[:1]) + lines[1][:40])
    capsys.readouterr()
    assert pool_of("smoke", problems, tmp_path / "pool.jsonl", monkeypatch) == whole
    assert capsys.readouterr().out.count("problems asked") == 2


def test_a_run_and_its_peft_adapter_are_the_same_checkpoint(
    tmp_path: Path, problems: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = in_process.planned(tmp_path, "vanilla", steps=2, checkpoint_every=2)
    in_process.attempt(run)
    pools = [
        pool_of(name, problems, tmp_path / f"{i}.jsonl", monkeypatch)
        for i, name in enumerate((run.path, run.adapter, "smoke"))
    ]
    assert pools[0] == pools[1] != pools[2]


def test_weights_that_cannot_be_had_are_a_sentence(
    tmp_path: Path, problems: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["checkpoint", str(tmp_path / "nowhere"), "--problems", str(problems), "--out", str(tmp_path / "o")]
    monkeypatch.setattr("sys.argv", ["build-pool", *words, "--preset", "smoke", "--set", "loss_ranks=1"])
    assert build_pool.main() == 2
    assert "nowhere" in capsys.readouterr().err and not (tmp_path / "o").exists()
