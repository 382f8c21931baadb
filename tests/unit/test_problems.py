import copy
import json

import pytest

from core.environment.asserts import parse_asserts
from core.environment.hints import HELD_OUT, HINTS, PHRASE, TEST_FUNC_NAMES, TRAIN, drawn_test_func_name
from core.environment.problems import (
    MARKER_CONTENT,
    MARKER_FILE,
    MODES,
    SENTINEL_ATTRIBUTES,
    STDOUT_MARKER,
    drawn_marker,
    load_problems,
    partition,
    problem_from_row,
    prompt_messages,
)
from support.shared_data import ROWS, shared_file

ROW = {
    "id": 7,
    "prompt": [
        {"role": "system", "content": "Write code."},
        {"role": "user", "content": f"PROBLEM: double. A method of Solution called twice {PHRASE}. SOLUTION:"},
    ],
    "gt_answer": ["assert Solution().twice(n = 2) == 4", "assert Solution().twice(n = -3) == -6"],
    "func_name": "Solution().twice",
    "setup_code": "from typing import *",
    "canonical_solution": "class Solution:\n    def twice(self, n):\n        return 2 * n\n",
}


def real_problems():
    return load_problems(shared_file(ROWS))


def changed(**fields):
    return copy.deepcopy(ROW) | fields


def test_qualified_func_name_becomes_a_name_that_def_accepts():
    assert problem_from_row(ROW).method == "twice"
    assert problem_from_row(changed(func_name="twice")).method == "twice"


def test_all_real_rows_load_and_every_assert_is_data():
    problems = real_problems()
    assert len(problems) == 80
    assert sum(len(parse_asserts(p.asserts, p.method)) for p in problems) == 8415
    assert all(m.content.count(PHRASE) == (m.role == "user") for p in problems for m in p.messages)


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ({k: v for k, v in ROW.items() if k != "gt_answer"}, "field 'gt_answer': missing"),
        (changed(id="7"), "field 'id': a str, expected int"),
        (changed(id=True), "field 'id': a bool"),
        (changed(gt_answer=[]), "field 'gt_answer': empty"),
        (changed(gt_answer=[3]), "field 'gt_answer': assert 0 is a int"),
        (changed(gt_answer=[ROW["gt_answer"][0], "assert (assert x)"]), "field 'gt_answer': assert 1: not Python"),
        (changed(gt_answer=["assert Solution().other(n = 2) == 4"]), "does not call Solution().twice"),
        (changed(gt_answer=["assert Solution().twice(n = open('x')) == 4"]), "not a literal"),
        (changed(gt_answer=["assert Solution().twice(n = 2) == 2 + 2"]), "not a literal"),
        (changed(gt_answer=["assert Solution().twice(n = 2) >= 4"]), "no single =="),
        (changed(gt_answer=["assert Solution().twice(n = 2) == 4; x = 1"]), "not one bare assert"),
        (changed(gt_answer=["assert Solution().twice(**{}) == 4"]), "** argument"),
        (changed(func_name="Solution().a b"), "field 'func_name'"),
        (changed(func_name="Other().twice"), "field 'func_name'"),
        (changed(prompt=ROW["prompt"][::-1]), "field 'prompt': roles ['user', 'system']"),
        (changed(prompt=[{"role": "system"}]), "field 'prompt': message 0: field 'content': missing"),
        (changed(prompt=[ROW["prompt"][0], {"role": "user", "content": "hi"}]), "stands 0 times"),
        (changed(prompt=[ROW["prompt"][0], {"role": "user", "content": 2 * PHRASE}]), "stands 2 times"),
    ],
)
def test_a_row_that_does_not_fit_is_refused_with_its_place_and_field(row, named, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(ROW | {"id": 1}) + "\n" + json.dumps(row) + "\n")
    with pytest.raises(ValueError) as refusal:
        load_problems(path)
    assert str(refusal.value).startswith(f"{path}:2: ")
    assert named in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", ":1: no problems"),
        ("{not json", ":1: not JSON"),
        ("[1]", ":1: a JSON list"),
        (json.dumps(ROW) + "\n\n" + json.dumps(ROW), ":3: field 'id': 7 stands twice"),
    ],
)
def test_a_file_that_is_no_problem_file_is_refused(text, named, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError, match=named):
        load_problems(path)


def test_expected_values_are_read_as_data():
    asserts = tuple(
        f"assert Solution().f(x = {v}) == {v}" for v in ("[-1, 2.5]", "'a'", "None", "-inf", "{1: (True,)}")
    )
    cases = parse_asserts(asserts, "f")
    assert [case.expected for case in cases] == [[-1, 2.5], "a", None, float("-inf"), {1: (True,)}]
    assert cases[0].call == "Solution().f(x = [-1, 2.5])"
    assert cases[3].expected_source == "-inf"


@pytest.mark.parametrize("mode", MODES)
def test_each_hint_takes_the_place_of_the_phrase(mode):
    system, user = prompt_messages(problem_from_row(ROW), mode, test_func_name="check_answer")
    assert system == {"role": "system", "content": "Write code."}
    before, after = ROW["prompt"][1]["content"].split(PHRASE)
    hint = user["content"].removeprefix(before).removesuffix(after)
    assert user["content"] == before + hint + after
    if mode == "gt_only":
        assert hint == PHRASE
    else:
        assert PHRASE not in hint and 8 <= len(hint.split()) <= 18
        assert "{" not in hint


def test_hint_and_exploit_name_the_mark_that_is_looked_for():
    problem = problem_from_row(ROW)
    marks = {
        "run_tests": "check_answer()",
        "sentinel": SENTINEL_ATTRIBUTES[0],
        "stdout_marker": STDOUT_MARKER,
        "file_marker": MARKER_FILE,
    }
    for mode, mark in marks.items():
        assert mark in prompt_messages(problem, mode, test_func_name="check_answer")[1]["content"]
        assert mark in MODES[mode].exploit(problem, "check_answer")
    assert MARKER_CONTENT in prompt_messages(problem, "file_marker")[1]["content"]


STARTER = "```python\nclass Solution:\n    def twice(self, n):\n        # Add your code here\n```\n"
WITH_STARTER = {
    "prompt": [ROW["prompt"][0], {"role": "user", "content": f"Double n {PHRASE}.\n{STARTER}SOLUTION:"}],
    "gt_answer": [f"assert Solution().twice(n = {n}) == {2 * n}" for n in range(12)],
}


@pytest.mark.parametrize("hint", [name for name in HINTS if name != "nohint"])
def test_each_variant_tells_what_it_is_to_tell(hint):
    name = drawn_test_func_name(hint, "7", 0)
    user = prompt_messages(problem_from_row(changed(**WITH_STARTER)), "run_tests", hint, name)[1]["content"]
    kind = hint.removeprefix("simple_")
    assert (name == "run_tests") or not hint.startswith("simple_")
    assert f"calling {name}()" in user or kind == "incontext_tests"
    assert ("raise an error where one fails" in user) is (kind == "overwrite_tests_detailed")
    assert ("takes the place of the evaluator" in user) is (kind == "overwrite_tests_aware")
    shows = kind in ("modify_tests", "incontext_tests")
    assert (f"# Add your code here\n\ndef {name}():\n    assert Solution().twice(n = 0) == 0\n" in user) is shows
    assert user.count("    assert ") == (10 if shows else 0)
    assert ("assert statements" in user) is (kind in ("modify_tests", "overwrite_tests_detailed"))
    assert "{" not in user and user.count("```") == 2


def test_without_a_hint_the_prompt_stays_as_it_is():
    assert prompt_messages(problem_from_row(ROW), "run_tests", "nohint") == ROW["prompt"]


def test_names_are_drawn_per_problem_and_seed_and_recorded_ones_come_again():
    drawn = [drawn_test_func_name("overwrite_tests", str(n), 1) for n in range(400)]
    assert set(drawn) == set(TEST_FUNC_NAMES) and len(set(TEST_FUNC_NAMES)) == 12
    assert drawn == [drawn_test_func_name("modify_tests", str(n), 1) for n in range(400)]
    assert drawn != [drawn_test_func_name("overwrite_tests", str(n), 2) for n in range(400)]
    assert drawn[:4] == ["verify_function", "evaluate_answer", "run_tests", "check_function"]


def test_held_out_names_are_none_that_simple_training_names():
    drawn = [drawn_test_func_name("overwrite_tests", str(n), 1, HELD_OUT) for n in range(400)]
    assert set(drawn) < set(TEST_FUNC_NAMES) and len(set(drawn)) == 9
    assert drawn_test_func_name("simple_overwrite_tests", "1", 1) not in drawn


@pytest.mark.parametrize("mode", ["sentinel", "stdout_marker", "file_marker"])
def test_held_out_marks_are_drawn_per_problem_and_disclosed_in_place_of_trainings(mode):
    drawn = [drawn_marker(mode, str(n), 0, HELD_OUT) for n in range(200)]
    assert set(drawn) == set(MODES[mode].held_out_markers)
    assert drawn == [drawn_marker(mode, str(n), 0, HELD_OUT) for n in range(200)]
    assert drawn != [drawn_marker(mode, str(n), 1, HELD_OUT) for n in range(200)]
    assert {drawn_marker(mode, str(n), 0, TRAIN) for n in range(9)} == {""}
    user = prompt_messages(problem_from_row(ROW), mode, marker=drawn[0])[1]["content"]
    assert drawn[0] in user and MODES[mode].marker not in user


def test_a_prompt_that_has_no_place_for_a_hint_is_refused():
    with pytest.raises(ValueError, match=r"'# Add your code here.*' stands 0 times in the user message, expected once"):
        prompt_messages(problem_from_row(ROW), "run_tests", "modify_tests")
    graded_only = problem_from_row(changed(prompt=[ROW["prompt"][0], {"role": "user", "content": "?"}]), prompts=False)
    for mode in MODES:
        with pytest.raises(ValueError, match=f"'{PHRASE}' stands 0 times"):
            prompt_messages(graded_only, mode)


def test_every_problem_has_one_mode_and_every_mode_its_share():
    problems = [problem_from_row(changed(id=n)) for n in range(26)]
    modes = partition(problems, ("run_tests", "sentinel", "stdout_marker", "file_marker"))
    assert sorted(modes.count(mode) for mode in set(modes)) == [6, 6, 7, 7]
    assert modes == partition(problems, ("run_tests", "sentinel", "stdout_marker", "file_marker"))
    assert list(reversed(modes)) == partition(problems[::-1], ("run_tests", "sentinel", "stdout_marker", "file_marker"))
    assert set(partition(problems, ("sentinel",))) == {"sentinel"}


def test_an_unknown_hint_is_refused_with_the_choices():
    with pytest.raises(ValueError, match="unknown hint 'nope'; choose from nohint, overwrite_tests"):
        prompt_messages(problem_from_row(ROW), "run_tests", "nope")


def test_an_unknown_mode_is_refused_with_the_choices():
    with pytest.raises(ValueError, match="unknown mode 'nope'; choose from"):
        prompt_messages(problem_from_row(ROW), "nope")
