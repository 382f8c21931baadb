"""A worker's halves: those of the plan's two files, as long as they are the plan's."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest

from core.kinds.check import chosen
from core.model.load import DataError
from core.model.run_data import halves, held_out_tasks
from core.runs.run_dir import RunDir
from core.spec import TrainConfig
from support import small_policy
from support.benchmark_row import benchmark_row


def test_halves_are_the_two_files_and_no_others(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    texts = ["".join(json.dumps(benchmark_row(i)) + "\n" for i in ids) for ids in (range(1, 6), (12, 11))]
    run.problems_path.write_text(texts[0])
    run.held_out_path.write_text(texts[1])
    sha256 = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
    config = small_policy.config(problems="rows", problems_sha256=sha256[0], held_out_sha256=sha256[1])
    assert ids(run, config) == [["1", "2", "3", "4", "5"], ["11", "12"]]
    assert [len(chosen(half, dataclasses.replace(config, check_problems=0))) for half in halves(run, config)] == [5, 2]
    judged = held_out_tasks(run, config, small_policy.policy(config))
    assert [task.problem.problem_id for task in judged] == ["11", "12"]
    assert ids(run, dataclasses.replace(config, held_out_sha256="")) == [["1", "2", "3", "4"], ["5"]]
    run.held_out_path.write_text(texts[1] + "\n")
    with pytest.raises(DataError, match=rf"held_out.jsonl has SHA-256 .*the plan froze {sha256[1][:12]}"):
        halves(run, config)


def ids(run: RunDir, config: TrainConfig) -> list[list[str]]:
    return [[p.problem_id for p in half] for half in halves(run, config)]
