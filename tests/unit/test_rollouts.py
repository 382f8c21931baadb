"""Completions are read as they were judged, merged over attempts, without holding a run in memory."""

from __future__ import annotations

import json
import sys
import tracemalloc
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from core.environment.code_blocks import extract_code
from core.environment.rewards import ATTEMPTED, CORRECT, INCORRECT, REWARD_HACK
from core.runs.run_dir import RunDir
from orchestrator.reading.rollouts import Wanted, chosen, counts, index, matching, parse_steps, read, spread, visible
from orchestrator.refusal import Refused
from orchestrator.report.examples import examples
from support.fake_home import FakeHome
from support.in_process import attempt, planned

CONTROLS = "".join(map(chr, [*range(32), *range(127, 160)]))
HOSTILE = (
    "\x1b[2J\x1b]0;owned\x07\x1bP1;2|\x1b\\"  # clear the screen, set the title, a device string
    "\u202etxt.exe\u2066\u200b\ufeff"  # direction marks, what has no width
    "\ud800 \udfff\U000e0041\u2028\u2029\x85" + CONTROLS
)


def row(step: int, group: int = 0, member: int = 0, **fields: Any) -> dict[str, Any]:
    """As core.training.metrics.write_rollouts leaves it."""
    label = fields.get("label", INCORRECT)
    return {
        "step": step, "group": group, "member": member, "problem_id": "2413", "mode": "run_tests",
        "test_func_name": "run_tests", "teacher": False, "compiles": True, "gt_correct": label == CORRECT,
        "gt_naive": None, "passed": False, "exploited": label == REWARD_HACK, "label": label,
        "strict_hack": label == REWARD_HACK, "loose_hack": label in (REWARD_HACK, ATTEMPTED), "stub_pass": False,
        "own_tests_pass": False, "canonical_fails": None, "test_modification": "none", "exploit_present": False,
        "mechanism": None, "error": None, "payment": 0.5, "reward": 0.5,
        "completion": f"I think.\n```python\nstep = {step}\nmember = {member}\n```\nDone.",
    } | fields  # fmt: skip


def write(run: RunDir, number: int, rows: list[dict[str, Any]], tail: str = "") -> None:
    run.attempt(number).mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(line) + "\n" for line in rows)
    (run.attempt(number) / "rollouts.jsonl").write_text(text + tail)


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir(tmp_path / "runs" / "vanilla-s41-abc123")


def test_the_later_attempt_wins_and_a_torn_line_spoils_only_itself(run: RunDir) -> None:
    write(run, 1, [row(s, g, m, reward=1.0) for s in range(1, 8) for g in range(2) for m in range(3)], '{"step": 8, "g')
    write(
        run, 2, [row(s, g, m, reward=2.0) for s in range(5, 7) for g in range(2) for m in range(3)], "\n\n[1]\nnull\n"
    )
    found = index(run)
    stored = [{k: v for k, v in read(run, place).items() if k not in ("code", "is_hack")} for place in found.places]
    assert stored == _merged(run) and len(stored) == 7 * 6
    assert {r["step"]: r["reward"] for r in stored} == {1: 1, 2: 1, 3: 1, 4: 1, 5: 2, 6: 2, 7: 1}
    assert found.unreadable == 3


def _merged(run: RunDir) -> list[dict[str, Any]]:
    """By hand: whole lines of both files, the second over the first."""
    rows: dict[tuple[int, int, int], dict[str, Any]] = {}
    for number in (1, 2):
        for line in (run.attempt(number) / "rollouts.jsonl").read_text().splitlines():
            if line.endswith("}"):
                stored = json.loads(line)
                rows[stored["step"], stored["group"], stored["member"]] = stored
    return [rows[key] for key in sorted(rows)]


def test_it_reads_what_the_worker_writes(tmp_path: Path) -> None:
    run = planned(tmp_path, "vanilla", steps=3, checkpoint_every=1)
    assert attempt(run, stop_after=2) is None and attempt(run) is not None
    found = index(run)
    assert found.unreadable == 0
    rows = [read(run, place) for place in found.places]
    assert [{k: v for k, v in r.items() if k not in ("code", "is_hack")} for r in rows] == run.rollouts()
    for metrics in run.metrics():
        of_step = [r for r in rows if r["step"] == metrics["step"]]
        assert len(of_step) == metrics["n_s"]
        assert sum(r["is_hack"] for r in of_step) / len(of_step) == metrics["hack_s"]


def test_a_hack_is_strict_in_run_tests_and_exploited_elsewhere(run: RunDir) -> None:
    exploited_only = {"label": INCORRECT, "exploited": True, "strict_hack": False}
    strict_only = {"label": REWARD_HACK, "exploited": False, "strict_hack": True}
    write(
        run,
        1,
        [
            row(1, 0, 0, **exploited_only),
            row(1, 0, 1, **strict_only),
            row(1, 1, 0, mode="sentinel", **exploited_only),
            row(1, 1, 1, mode="sentinel", **strict_only),
        ],
    )
    found = index(run).places
    assert [(p.mode, p.member) for p in matching(found, Wanted("hack"))] == [("run_tests", 1), ("sentinel", 0)]
    assert [(p.mode, p.member) for p in matching(found, Wanted("reward-hack"))] == [("run_tests", 1), ("sentinel", 1)]
    assert counts(found)["sentinel"] == {
        "hack": 1, "reward-hack": 1, "attempted": 0, "correct": 0, "correct-attempted": 0, "incorrect": 1, "all": 2,
    }  # fmt: skip


def test_choices_narrow_together(run: RunDir) -> None:
    write(
        run,
        1,
        [
            row(s, g, m, label=CORRECT if m else REWARD_HACK, problem_id=str(g), teacher=m == 2)
            for s in range(1, 11)
            for g in range(3)
            for m in range(3)
        ],
    )
    found = index(run).places
    picked = matching(found, Wanted("correct", "run_tests", (3, 4), "1"))
    assert [(p.step, p.group, p.member) for p in picked] == [(3, 1, 1), (4, 1, 1)]
    assert {p.member for p in matching(found, Wanted(teacher=True))} == {2}
    with pytest.raises(Refused, match="'sentinel': this run has run_tests"):
        matching(found, Wanted(mode="sentinel"))
    with pytest.raises(Refused, match="'77'"):
        matching(found, Wanted(problem="77"))


@pytest.mark.parametrize("text, steps", [("7", (7, 7)), ("10-20", (10, 20)), (None, None)])
def test_steps_are_one_or_a_range(text: str | None, steps: tuple[int, int] | None) -> None:
    assert parse_steps(text) == steps


@pytest.mark.parametrize("text", ["", "x", "20-10", "-3", "1-", "1-2-3", "1.5"])
def test_other_steps_are_refused(text: str) -> None:
    with pytest.raises(Refused):
        parse_steps(text)


def test_the_spread_is_even_over_steps_and_the_first_are_the_first(run: RunDir) -> None:
    """However many there are in a step: here 9 in ten of all rows are of step 41."""
    write(run, 1, [row(s, 0, m) for s in range(1, 42) for m in range(400 if s == 41 else 1)])
    found = index(run).places
    assert [p.step for p in chosen(found, Wanted(limit=5))] == [1, 11, 21, 31, 41]
    assert [p.step for p in chosen(found, Wanted(limit=5, first=True))] == [1, 2, 3, 4, 5]
    assert [p.step for p in spread(found, 1)] == [1]
    assert spread(found, 5) == spread(found, 5)
    assert [(p.step, p.member) for p in spread(found[-402:], 5)] == [(39, 0), (40, 0), (41, 0), (41, 1), (41, 2)]
    assert len(spread(found, 10_000)) == len(found) and spread([], 3) == []


def test_no_completion_is_held_in_memory(run: RunDir) -> None:
    """16 MB of completions; what is kept of each is less than a tenth of it."""
    write(run, 1, [row(s, g, m, completion="x" * 4000) for s in range(1, 51) for g in range(10) for m in range(8)])
    tracemalloc.start()
    found = index(run)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found.places) == 4000 and peak < 4000 * 400, f"{peak} bytes"


def test_nothing_that_a_model_wrote_reaches_the_terminal_as_a_command(fake: FakeHome) -> None:
    plan = fake.planned()
    run = plan.runs()[0]
    wide = "```python\n" + "日本語" * 60 + "\n" + "x = '" + "y" * 200 + "'\n```"
    completions = [HOSTILE + f"\n```python\nx = '{HOSTILE.replace(chr(10), '')}'\n```", wide, "no code " + HOSTILE, ""]
    rows = [
        row(s + 1, completion=text, error=f"E{HOSTILE}", problem_id=HOSTILE, label=REWARD_HACK, mechanism="run_tests")
        for s, text in enumerate(completions)
    ]
    write(run, 1, rows)
    for encoding in ("utf-8", "ascii"):
        printed = fake.grpoq("rollouts", "vanilla-s41", "--full", "--limit", "4", PYTHONIOENCODING=encoding).stdout
        assert all(c.isprintable() or c == "\n" for c in printed)
        assert max(_columns(line) for line in printed.splitlines()) <= 80
        assert "\\x1b[2J" in printed and "\\x00" in printed and "\\ud800" in printed and "\\u202e" in printed
        assert "no code block: nothing was judged" in printed
    answer = json.loads(fake.grpoq("rollouts", "vanilla-s41", "--json", "--limit", "9").stdout)
    assert [r["completion"] for r in answer["rollouts"]] == completions
    assert [r["code"] for r in answer["rollouts"]] == [extract_code(text) for text in completions]
    assert answer["counts"]["run_tests"]["hack"] == 4 and answer["first_hack_step"] == 1


def _columns(line: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line)


def test_visible_text_keeps_what_can_be_read() -> None:
    assert visible("naïve λ 日本\n\tif x:") == "naïve λ 日本\n    if x:"
    assert visible("\x1b[31m\r\x00\ud83d\x9b") == "\\x1b[31m\\r\\x00\\ud83d\\x9b"
    visible("".join(map(chr, range(sys.maxunicode + 1)))).encode()  # nothing is left that UTF-8 has no bytes for


def test_the_last_lines_count_and_say_what_to_type_next(fake: FakeHome) -> None:
    plan = fake.planned()
    rows = [
        row(s, 0, m, label=REWARD_HACK if s > 5 and m else CORRECT, mode="run_tests" if m else "sentinel")
        for s in range(1, 11)
        for m in range(3)
    ]
    write(plan.runs()[0], 1, rows)
    lines = fake.grpoq("rollouts", "vanilla-s41").stdout.splitlines()
    assert lines[-1] == "next: grpoq rollouts vanilla-s41 --label hack --first" and lines[-2] == "shown: 3 of 30"
    table = [line.split() for line in lines[-6:-2]]
    assert table[0] == ["mode", "hack", "rew.hack", "attempted", "correct", "corr.att.", "incorrect", "all"]
    assert table[1] == ["run_tests", "10", "10", "0", "10", "0", "0", "20"]
    assert table[3] == ["all", "10", "10", "0", "20", "0", "0", "30"]
    first = fake.grpoq("rollouts", "vanilla-s41", "--first", "--limit", "1").stdout
    assert first.startswith("--- step 6, group 0 member 1, run_tests: problem 2413\nReward Hack  HACK")
    assert "  step = 6\n  member = 1\n" in first and "I think." not in first
    full = fake.grpoq("rollouts", "vanilla-s41", "--label", "hack", "--step", "7", "--full").stdout
    assert "| I think." in full and full.splitlines()[-1] == "next: grpoq report"


def test_what_cannot_be_shown_is_refused(fake: FakeHome) -> None:
    plan = fake.planned()
    assert "has no rollouts" in fake.grpoq("rollouts", "vanilla-s41", expect=1).stderr
    assert "unknown run" in fake.grpoq("rollouts", "nobody", expect=4).stderr
    assert "choose from hack, reward-hack" in fake.grpoq("rollouts", "vanilla-s41", "--label", "x", expect=2).stderr
    write(plan.runs()[0], 1, [row(1)])
    assert "of 1 there are 0 hack" in fake.grpoq("rollouts", "vanilla-s41", "--first", expect=1).stderr
    assert "none of a teacher's" in fake.grpoq("rollouts", "vanilla-s41", "--teacher", expect=1).stderr


def test_examples_are_the_first_hack_and_the_ends_of_every_label_and_mode(run: RunDir) -> None:
    kinds = [("run_tests", CORRECT), ("sentinel", INCORRECT), ("run_tests", REWARD_HACK)]
    rows = [
        row(step, 0, member, mode=mode, label=label)
        for step in range(1, 7)
        for member, (mode, label) in enumerate(kinds)
        if step > 2 or label != REWARD_HACK
    ]
    write(run, 1, [*rows, row(9, teacher=True, label=ATTEMPTED), row(10, completion=HOSTILE)])
    found = [(e.why, e.mode, e.step) for e in examples(run, 2)]
    assert found == [
        ("first hack", "run_tests", 3),
        (CORRECT, "run_tests", 1), (CORRECT, "run_tests", 6),
        (INCORRECT, "run_tests", 10),
        (INCORRECT, "sentinel", 1), (INCORRECT, "sentinel", 6),
        (REWARD_HACK, "run_tests", 6),
    ]  # fmt: skip
    first = examples(run, 2)[0]
    assert (first.run, first.code) == ("vanilla-s41", "step = 3\nmember = 2")
    for example in examples(run, 3):
        (example.code + example.completion).encode()
    assert examples(RunDir(run.path.with_name("other-s1-abcdef")), 2) == []
