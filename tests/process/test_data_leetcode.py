"""`grpoq data leetcode`: what a plan needs, filtered with counts, hashed, whole or absent."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from core.environment.problems import load_problems
from orchestrator.data.filters import _variants
from orchestrator.data.hub import rows_from
from orchestrator.data.sources import TEST_NAME, TRAIN_NAME
from support.benchmark_row import benchmark_row
from support.fake_home import FakeHome

FULL = "Qwen/Qwen3-4B"


def row(number: int, **fields: Any) -> dict[str, Any]:
    text = (
        f"PROBLEM {number} and should pass all tests. Start:\n```python\nclass Solution:\n    # Add your code here\n```"
    )
    prompt = [{"role": "system", "content": "s"}, {"role": "user", "content": text}]
    return benchmark_row(number) | {"difficulty": "medium", "prompt": prompt} | fields


def told(text: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": "s"}, {"role": "user", "content": text}]


TRAIN = [
    row(1),
    row(2, difficulty="easy"),
    row(3, difficulty="Hard"),
    row(3),  # an id again
    row(4, prompt=row(1)["prompt"]),  # a text again
    row(5, prompt=row(102)["prompt"]),  # held out, under another id
    row(6, prompt=told("6 and should pass all tests")),  # no place for shown tests
    row(7, canonical_solution="class Solution:\n    def longest(self, words):\n        return words[0]\n"),
    row(8),
]
TEST = [row(101), row(102), row(103, difficulty="easy"), row(104)]


def file(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


@pytest.fixture
def home(fake: FakeHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHome:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "no cache"))
    return fake


def files(folder: Path, train: list[dict[str, Any]] = TRAIN, test: list[dict[str, Any]] = TEST) -> list[str]:
    return ["--train", str(file(folder / "a.jsonl", train)), "--test", str(file(folder / "b.jsonl", test))]


def test_every_filter_counts_what_it_leaves_out(home: FakeHome, tmp_path: Path) -> None:
    out = tmp_path / "data"
    done = home.grpoq("data", "leetcode", *files(tmp_path), "--out", str(out), "--json")
    data = json.loads(done.stdout)
    assert data == json.loads((out / "data.json").read_text())
    counts = {f["name"]: (f["train"], f["held_out"]) for f in data["filters"]}
    assert counts == {
        "difficulty": (1, 1), "duplicate": (2, 0), "held out too": (1, 0), "every hint": (1, 0),
        "prompt too long": (0, 0), "canonical solution": (1, 0),
    }  # fmt: skip
    assert data["left_out"]["held out too"] == {"train": [5], "held_out": []}
    assert data["left_out"]["canonical solution"] == {"train": [7], "held_out": []}
    (unapplied,) = [f for f in data["filters"] if not f["applied"]]
    assert unapplied["name"] == "prompt too long" and f"tokenizer of {FULL} is not on this machine" in unapplied["why"]
    assert f"1536 tokens of {FULL}" in unapplied["rule"] and "16 times out of 16" in data["not_checked"][0]
    kept = {"train.jsonl": ["1", "3", "8"], "held_out.jsonl": ["101", "102", "104"]}
    for name, ids in kept.items():
        raw = (out / name).read_bytes()
        assert [p.problem_id for p in load_problems(out / name)] == ids
        assert data["outputs"][name] == {"rows": 3, "sha256": hashlib.sha256(raw).hexdigest()}
        assert set(raw.decode().splitlines()) <= {json.dumps(r) for r in (*TRAIN, *TEST)}  # as they stood
    assert data["inputs"]["train"]["rows"] == 9 and str(tmp_path) not in done.stdout
    plan = ["plan", "smoke", "--set", "batch=4", "--set", "completions=2", "--dry-run"]
    both = ["--problems", str(out / "train.jsonl"), "--held-out", str(out / "held_out.jsonl")]
    told = home.grpoq(*plan, *both).stderr
    assert "held out: 3 of the 4 rows that were read; left out: difficulty: 103; prompt too long not applied" in told
    assert "records it as held out" in home.grpoq(*plan, "--problems", str(out / "held_out.jsonl"), expect=2).stderr


def test_a_second_call_adds_nothing_and_other_data_is_not_overwritten(home: FakeHome, tmp_path: Path) -> None:
    few = [row(1), row(8)]
    home.grpoq("data", "leetcode", *files(tmp_path, few))
    out = home.home.path / "data" / "leetcode"
    before = {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in out.iterdir()}
    assert "nothing was written" in home.grpoq("data", "leetcode", *files(tmp_path, few)).stderr
    assert (
        "holds something else already" in home.grpoq("data", "leetcode", *files(tmp_path, TRAIN[:1]), expect=2).stderr
    )
    assert {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in out.iterdir()} == before
    assert set(before) == {"train.jsonl", "held_out.jsonl", "data.json"} and len(list(out.parent.iterdir())) == 1


def test_all_bad_rows_are_named_and_nothing_is_written(home: FakeHome, tmp_path: Path) -> None:
    flags = files(tmp_path, [row(1), row(2, gt_answer=["assert True"]), row(3)], [row(101, difficulty=None)])
    with (tmp_path / "a.jsonl").open("a") as more:
        more.write("{\n")
    done = home.grpoq("data", "leetcode", *flags, expect=2)
    assert "3 rows cannot be read; nothing was written" in done.stderr
    for words in ("a.jsonl:2: field 'gt_answer'", "a.jsonl:4: not JSON", "b.jsonl:1: field 'difficulty'"):
        assert words in done.stderr
    assert not (home.home.path / "data").exists()


def test_the_test_file_is_never_training_data(home: FakeHome, tmp_path: Path) -> None:
    test = [row(n) for n in range(101, 111)]
    same = home.grpoq("data", "leetcode", *files(tmp_path, test[:8], test), expect=2).stderr
    assert "a.jsonl was given as training data, and 8 of its 8 problems are those of the test file b.jsonl" in same
    exchanged = home.grpoq("data", "leetcode", *files(tmp_path, test, [row(n) for n in range(1, 5)]), expect=2).stderr
    assert "(median id 105) are newer than those of b.jsonl (median id 2)" in exchanged
    assert not (home.home.path / "data").exists()


def test_a_copy_of_the_benchmarks_repository_is_read_by_its_layout(home: FakeHome, tmp_path: Path) -> None:
    place = tmp_path / "clone" / "results" / "data"
    file(place / TRAIN_NAME, [row(1), row(8)])
    file(place / TEST_NAME, TEST)
    data = json.loads(home.grpoq("data", "leetcode", "--mirror", str(tmp_path / "clone"), "--json").stdout)
    assert (data["origin"], data["inputs"]["train"]["file"]) == ("mirror", TRAIN_NAME)
    (place / TRAIN_NAME).write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n")
    refused = home.grpoq("data", "leetcode", "--mirror", str(place), "--out", str(tmp_path / "x"), expect=2)
    assert f"{TRAIN_NAME}: it is a Git LFS pointer" in refused.stderr
    (place / TRAIN_NAME).unlink()
    assert "No such file" in home.grpoq("data", "leetcode", "--mirror", str(place), expect=2).stderr


def test_lines_that_end_in_two_bytes_are_the_same_data_a_second_time(home: FakeHome, tmp_path: Path) -> None:
    flags = files(tmp_path, [row(1), row(8)], [row(101), row(102)])
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes().replace(b"\n", b"\r\n"))
    home.grpoq("data", "leetcode", *flags)
    assert "nothing was written" in home.grpoq("data", "leetcode", *flags).stderr


def test_a_place_that_takes_no_files_is_refused_before_anything_is_judged(home: FakeHome, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("nowhere")
    places = {"file": "is no folder", "file/x": "no folder that may be written to", "link": "is no folder"}
    for place, words in places.items():
        done = home.grpoq("data", "leetcode", *files(tmp_path), "--out", str(tmp_path / place), expect=2)
        assert words in done.stderr and "difficulty" not in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (gzip.compress(b"{}"), "a.jsonl: no UTF-8 text .*; unpack it"),
        ("{}".encode("utf-16"), "a.jsonl: no UTF-8 text"),
        (json.dumps(row(1, canonical_solution="\ud800")).encode(), r"a.jsonl:1: half of a surrogate pair, '\\ud800'"),
    ],
    ids=["gzip", "utf-16", "surrogate"],
)
def test_what_is_no_text_is_named_with_its_path(home: FakeHome, tmp_path: Path, raw: bytes, words: str) -> None:
    flags = files(tmp_path)
    (tmp_path / "a.jsonl").write_bytes(raw)
    for command in (["data", "leetcode", *flags], ["plan", "smoke", "--problems", flags[1]]):
        assert re.search(words, home.grpoq(*command, expect=2).stderr)


@pytest.mark.parametrize(
    "flags", [[], ["--train", "a"], ["--from-hub", "--mirror", "d"], ["--test", "b", "--from-hub"]]
)
def test_one_source_is_named(home: FakeHome, flags: list[str]) -> None:
    assert "one of the three" in home.grpoq("data", "leetcode", *flags, expect=2).stderr


def test_rows_of_the_hubs_set_become_rows_of_the_benchmark() -> None:
    item = {
        "question_id": 7, "difficulty": "Hard", "problem_description": "Join them.\n", "entry_point": "Solution().join",
        "starter_code": "class Solution:\n    def join(self, words: List[str]) -> str:\n", "prompt": "import typing\n",
        "input_output": [{"input": "words = ['a', 'b']", "output": "ab"}], "completion": "class Solution: ...",
    }  # fmt: skip
    number = item | {"question_id": 8, "starter_code": "class Solution:\n    def join(self, words) -> int:\n"}
    (found,), unreadable = rows_from([item, number])  # `ab` is no literal
    assert unreadable == ["8"] and found.difficulty == "hard"
    assert found.problem.asserts == ("assert Solution().join(words = ['a', 'b']) == 'ab'",)
    assert len(_variants(found.problem)) == 2 * 11 and json.loads(found.text)["id"] == 7
