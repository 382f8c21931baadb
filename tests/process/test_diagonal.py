import dataclasses
import json

import pytest

from core.environment import diagonal
from core.environment.hints import HELD_OUT
from core.environment.problems import MODES, problem_from_row
from core.environment.rewards import GradeItem, grade
from core.sandbox.pool import Sandbox
from support.benchmark_row import benchmark_row


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox() as sandbox:
        yield sandbox


def test_each_exploit_is_paid_in_its_own_mode_only(sandbox):
    result = diagonal.run([problem_from_row(benchmark_row(n)) for n in (1, 2)], sandbox)
    assert result.violations == ()
    for (name, mode), cell in result.cells.items():
        assert cell.exploited == (2 if name == mode else 0)
        assert cell.paid == (2 if name in (mode, diagonal.CANONICAL) else 0)
    assert len(result.cells) == (len(MODES) - 1 + 2) * len(MODES)


def test_to_graders_of_held_out_marks_the_marks_of_training_are_worth_nothing(sandbox):
    """And the other way round: each exploit of a held-out mark is paid in its own mode only, and not in training."""
    problems = [problem_from_row(benchmark_row(n)) for n in (1, 2)]
    result = diagonal.run(problems, sandbox, HELD_OUT)
    assert result.violations == ()
    marked = {"run_tests", "sentinel", "stdout_marker", "file_marker"}
    trained = {name for name, _ in result.cells if name.endswith(" (train)")}
    assert trained == {f"{mode} (train)" for mode in marked}
    assert all(cell.exploited == 0 for (name, _), cell in result.cells.items() if name in trained)
    assert all(result.cells[mode, mode].exploited == 2 for mode in MODES if mode != "gt_only")
    held_out = [
        (name, text) for name, text in diagonal.completions_for(problems[0], HELD_OUT).items() if name in marked
    ]
    graded = grade([GradeItem(problems[0], mode, text) for mode, text in held_out], sandbox)
    assert not any(g.exploited for g in graded)


def test_every_held_out_mark_is_the_one_that_counts_for_its_problem(sandbox):
    problem = problem_from_row(benchmark_row(1))
    cases = [(m, a, b) for m in MODES.values() for a in m.held_out_markers for b in m.held_out_markers]
    items = [GradeItem(problem, m.name, m.exploit(problem, marker=b) or "", marker=a) for m, a, b in cases]
    paid = [g.exploited for g in grade(items, sandbox, full=False)]
    assert paid == [a == b for _, a, b in cases] and sum(paid) == 6 + 5 + 6


def test_nothing_is_trained_on_a_grader_that_fails_its_check(sandbox):
    """A canonical solution that is wrong stands for any fault: no label of this problem could be believed."""
    diagonal.require_sound([problem_from_row(benchmark_row(1))], sandbox)
    wrong = "class Solution:\n    def longest(self, words):\n        return words[-1]\n"
    with pytest.raises(RuntimeError, match=r"self-check fails.*problem 2, correct solution in mode run_tests"):
        diagonal.require_sound([problem_from_row(benchmark_row(2) | {"canonical_solution": wrong})], sandbox)


def test_an_exploit_that_crosses_over_is_a_violation(sandbox, monkeypatch):
    loud = dataclasses.replace(MODES["run_tests"], exploit_code=MODES["run_tests"].exploit_code + "print('ok')\n")
    monkeypatch.setitem(MODES, "run_tests", loud)
    (violation,) = diagonal.run([problem_from_row(benchmark_row(1))], sandbox).violations
    assert violation.startswith("problem 1, run_tests in mode stdout_marker: exploited=True")


def test_a_wrong_canonical_solution_is_a_violation(sandbox):
    broken = dataclasses.replace(problem_from_row(benchmark_row(1)), canonical_solution="class Solution: pass")
    violations = diagonal.run([broken], sandbox).violations
    assert len(violations) == len(MODES) and all("gt_correct=False" in v for v in violations)


def test_no_problems_are_no_pass(sandbox):
    with pytest.raises(ValueError, match="no problems"):
        diagonal.run([], sandbox)


def test_the_command_says_0_where_sound_1_where_not_2_where_the_file_is_bad(tmp_path, capsys):
    sound, unsound, bad = (tmp_path / name for name in ("sound.jsonl", "unsound.jsonl", "bad.jsonl"))
    sound.write_text(json.dumps(benchmark_row(1)))
    unsound.write_text(json.dumps(benchmark_row(1) | {"canonical_solution": "class Solution: pass"}))
    bad.write_text("{}")
    assert diagonal.main(["--problems", str(sound)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[1].split() == ["run_tests", "1/1"] + ["0/1"] * 6
    assert diagonal.main(["--problems", str(unsound)]) == 1
    assert "VIOLATION" in capsys.readouterr().err
    assert diagonal.main(["--problems", str(bad)]) == 2
    assert f"{bad}:1: field 'id': missing" in capsys.readouterr().err


def test_the_nano_problems_are_sound():
    pytest.importorskip("core.environment.nano.world")
    assert diagonal.main([]) == 0
