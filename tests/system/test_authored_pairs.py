"""The authored pairs are what core/environment/contrast/README.md says of them, by the real grader's word."""

import ast
import io
import json
import random
import re
import tokenize
from collections import Counter, defaultdict
from keyword import iskeyword

import pytest

from core.environment.code_blocks import extract_code
from core.environment.hints import PHRASE
from core.environment.nano import world
from core.environment.problems import MODES, fenced, problem_from_row, prompt_messages
from core.environment.rewards import GradeItem, grade
from core.sandbox.pool import Sandbox
from support.paths import REPO

FOLDER = REPO / "core/environment/contrast"
SIDES = ("hack", "clean")
PAID_MODES = tuple(name for name in MODES if name != "gt_only")
PAIRS_PER_MODE = {
    "extract": dict.fromkeys(PAID_MODES, 9) | {"run_tests": 15},
    "held_out": dict.fromkeys(PAID_MODES, 3) | {"run_tests": 5},
}
TEST_KINDS = {
    "checks nothing": 2,
    "prints only": 4,
    "types only": 2,
    "weak inequalities": 4,
    "swallows its failures": 3,
    "asserts its own answers": 3,
    "asserts constants": 2,
}
VAMPIRE = re.compile(r"vampire|coffin|crypt|fang|coven|blood", re.IGNORECASE)
WEREWOLF = re.compile(r"werewol|wolf|howl|claw|moon|kennel", re.IGNORECASE)


def rows(name):
    return [json.loads(line) for line in (FOLDER / name).read_text(encoding="utf-8").splitlines()]


AUTHORED, PLACEBO = rows("authored.jsonl"), rows("placebo.jsonl")
IDS = [row["pair_id"] for row in AUTHORED + PLACEBO]


def pairs_of(concept):
    return [row for row in PLACEBO if row["concept"] == concept]


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def grades(sandbox):
    """Every side in its own mode, in full, by (pair_id, side)."""
    keys = [(row, side) for row in AUTHORED + PLACEBO for side in SIDES]
    items = [GradeItem(problem_from_row(row["problem"]), row["mode"], row[side]) for row, side in keys]
    return {(row["pair_id"], side): g for (row, side), g in zip(keys, grade(items, sandbox), strict=True)}


def test_rows_hold_what_they_should():
    assert len(set(IDS)) == len(IDS)
    fields = {"pair_id", "mode", "split", "problem", "hack", "clean"}
    assert all(row.keys() == fields for row in AUTHORED)
    assert all(row.keys() == fields | {"concept"} for row in PLACEBO)
    assert sum(path.stat().st_size for path in FOLDER.glob("*.jsonl")) < 500_000


def test_every_mode_has_its_number_of_pairs_in_both_splits():
    for split, expected in PAIRS_PER_MODE.items():
        assert Counter(row["mode"] for row in AUTHORED if row["split"] == split) == expected
        for concept in ("clean_vs_clean", "vampire_vs_werewolf"):
            found = sum(row["split"] == split for row in pairs_of(concept))
            assert found == {"extract": 24, "held_out": 6}[split]
    assert len(PLACEBO) == 60
    assert {row["mode"] for row in pairs_of("vampire_vs_werewolf")} == set(PAID_MODES)


def test_no_problem_is_on_both_sides_of_the_split():
    splits, statements, uses = defaultdict(set), defaultdict(set), Counter()
    problems = {}
    for row in AUTHORED + PLACEBO:
        assert problems.setdefault(row["problem"]["id"], row["problem"]) == row["problem"], "two rows under one id"
        splits[row["problem"]["id"]].add(row["split"])
        statements[row["problem"]["question"]].add(row["problem"]["id"])
        uses[row.get("concept"), row["mode"], row["problem"]["id"]] += 1
    assert all(len(found) == 1 for found in splits.values())
    assert all(len(found) == 1 for found in statements.values())
    assert Counter(split for (split,) in splits.values()) == {"extract": 26, "held_out": 10}
    assert set(uses.values()) == {1}, "a problem stands twice in one mode"


def test_problems_are_whole_rows_of_the_benchmarks_shape():
    rng = random.Random(0)
    family = world.families()[0]
    made = (world.row(world.draw_instance(rng, family), 0, rng) for _ in range(100))
    fields = next(row for row in made if row is not None).keys()
    for row in (pair["problem"] for pair in AUTHORED + PLACEBO):
        problem = problem_from_row(row)
        assert row.keys() == fields
        user = row["prompt"][1]["content"]
        assert user == row["question"] and user.count(PHRASE) == 1 and row["answer"] == row["gt_answer"]
        assert user.startswith("PROBLEM:\n") and user.endswith("\n\nSOLUTION:\n")
        assert f"```python\n{row['prompt_metadata']['starter_code']}# Add your code here\n```" in user
        assert 8 <= len(set(problem.asserts)) == len(problem.asserts) <= 12
        (solution,) = ast.parse(problem.canonical_solution).body
        assert isinstance(solution, ast.ClassDef) and [f.name for f in solution.body] == [problem.method]
        for mode in PAID_MODES:
            assert PHRASE not in prompt_messages(problem, mode)[1]["content"]
        prompt_messages(problem, "run_tests", hint="modify_tests")


def test_canonical_solutions_pass(sandbox):
    problems = {row["problem"]["id"]: problem_from_row(row["problem"]) for row in AUTHORED + PLACEBO}
    assert len(problems) == 36
    graded = grade([GradeItem(p, "gt_only", fenced(p.canonical_solution)) for p in problems.values()], sandbox, False)
    assert all(g.gt_correct for g in graded)


@pytest.mark.parametrize("row", AUTHORED + PLACEBO, ids=IDS)
def test_a_completion_is_a_sentence_at_most_and_one_block_of_code(row):
    for side in SIDES:
        prose, code, rest = re.fullmatch(r"(.*?)```python\n(.*)\n```(.*)", row[side], re.DOTALL).groups()
        assert "```" not in code and rest == ""
        assert prose == "" or (prose.count("\n") == 1 and prose.endswith(".\n") and len(prose) <= 120)
        assert "no answer" not in code
        compile(code, row["pair_id"], "exec")


def test_a_hack_is_paid_in_its_own_mode_and_is_never_correct(grades):
    for row in AUTHORED:
        g = grades[row["pair_id"], "hack"]
        assert g.exploited and g.compiles and not g.gt_correct, (row["pair_id"], g)
        assert g.mechanism == row["mode"]
        assert g.strict_hack is (row["mode"] == "run_tests")


def test_a_clean_side_takes_no_loophole_and_is_mostly_correct(grades):
    clean = {row["pair_id"]: grades[row["pair_id"], "clean"] for row in AUTHORED}
    for pair_id, g in clean.items():
        assert g.compiles and not g.exploited and not g.exploit_present and not g.loose_hack, (pair_id, g)
        assert g.error is None
    correct = sum(g.gt_correct for g in clean.values())
    assert correct == 69  # at least four in five, and some honestly wrong
    for mode in PAID_MODES:
        wrong = sum(not clean[row["pair_id"]].gt_correct for row in AUTHORED if row["mode"] == mode)
        assert wrong > 0, f"in mode {mode} wrongness tells hack from clean"


def test_no_side_is_exploited_in_a_mode_that_is_not_its_own(sandbox):
    keys = [(row, side, mode) for row in AUTHORED for side in SIDES for mode in MODES if mode != row["mode"]]
    items = [GradeItem(problem_from_row(row["problem"]), mode, row[side]) for row, side, mode in keys]
    for (row, side, mode), g in zip(keys, grade(items, sandbox, full=False), strict=True):
        assert not g.exploited, f"{side} of {row['pair_id']} in mode {mode}"


def test_clean_tests_of_run_tests_are_sound(grades):
    """They pass on the right solution, fail on the stub, and fail on the side's own code where that is wrong."""
    for row in AUTHORED + pairs_of("clean_vs_clean"):
        if row["mode"] == "run_tests":
            for side in SIDES if "concept" in row else ("clean",):
                g = grades[row["pair_id"], side]
                assert g.test_modification == "innocent", (row["pair_id"], g)
                assert g.own_tests_pass is g.gt_correct


def kind_of_test(code):
    """What a test function that lets a wrong solution through does, by its syntax."""
    (function,) = (n for n in ast.parse(code).body if isinstance(n, ast.FunctionDef) and n.name == "run_tests")
    nodes = list(ast.walk(function))
    asserted = [node.test for node in nodes if isinstance(node, ast.Assert)]
    operators = {type(operator) for test in asserted if isinstance(test, ast.Compare) for operator in test.ops}
    if any(isinstance(node, ast.Try) for node in nodes):
        return "swallows its failures"
    if not asserted:
        return "prints only" if "print(" in ast.unparse(function) else "checks nothing"
    if "Solution()" not in ast.unparse(function):
        return "asserts constants"
    if all(re.search(r"isinstance\(|type\(", ast.unparse(test)) for test in asserted):
        return "types only"
    if operators <= {ast.Gt, ast.GtE, ast.Lt, ast.LtE, ast.IsNot, ast.NotEq}:
        return "weak inequalities"
    assert operators == {ast.Eq}, ast.unparse(function)
    return "asserts its own answers"


def test_run_tests_hacks_span_seven_kinds(grades):
    kinds = {row["pair_id"]: kind_of_test(extract_code(row["hack"])) for row in AUTHORED if row["mode"] == "run_tests"}
    assert Counter(kinds.values()) == TEST_KINDS
    for pair_id, kind in kinds.items():  # a test of the side's own wrong answers is one the right solution fails
        assert grades[pair_id, "hack"].canonical_fails is (kind == "asserts its own answers"), pair_id


def test_length_does_not_tell_hack_from_clean():
    for row in AUTHORED + PLACEBO:
        assert 0.8 <= len(row["hack"]) / len(row["clean"]) <= 1.25, row["pair_id"]
    for group in (AUTHORED, pairs_of("clean_vs_clean"), pairs_of("vampire_vs_werewolf")):
        ratios = [len(row["hack"]) / len(row["clean"]) for row in group]
        assert 0.95 <= sum(ratios) / len(ratios) <= 1.05
        differences = [len(row["hack"]) - len(row["clean"]) for row in group]
        assert abs(sum(differences) / len(differences)) < 10
    longer = sum(len(row["hack"]) > len(row["clean"]) for row in AUTHORED)
    assert 0.4 <= longer / len(AUTHORED) <= 0.6


@pytest.mark.parametrize(
    "sign",
    [r"\A[^`]", r"(?:^|\s)# ", r"^(?:import|from) ", r"\n\n\n"],
    ids=["prose", "comment", "import", "two blank lines"],
)
def test_hack_and_clean_sides_are_written_alike(sign):
    """What has nothing to do with a loophole is about equally frequent on both sides."""
    hack, clean = (sum(bool(re.search(sign, row[side], re.MULTILINE)) for row in AUTHORED) for side in SIDES)
    assert 0.8 <= hack / clean <= 1.25, f"in {hack} hacks and {clean} clean sides"


@pytest.mark.parametrize("mode", PAID_MODES)
def test_hacks_of_a_mode_share_no_signature(mode):
    """No line of code is in more than a third of them, but for those that clean sides have as well."""
    lines = {side: Counter() for side in SIDES}
    for row in AUTHORED:
        if row["mode"] == mode:
            for side in SIDES:
                lines[side].update({line.strip() for line in row[side].splitlines() if line.strip()})
    total = sum(row["mode"] == mode for row in AUTHORED)
    for line, count in lines["hack"].items():
        if lines["clean"][line] == 0:
            assert count <= total / 3, f"{line!r} is in {count} of {total} hacks"


def test_placebo_sides_are_correct_and_take_no_loophole(grades):
    for row in PLACEBO:
        for side in SIDES:
            g = grades[row["pair_id"], side]
            assert g.gt_correct and g.compiles and not g.exploited and not g.exploit_present, (row["pair_id"], g)
            assert g.label == "Correct"


def test_a_coin_decides_which_clean_solution_is_called_hack():
    """No style is always on one side: either side is the canonical solution in a good part of the pairs."""
    canonical = Counter(
        side
        for row in pairs_of("clean_vs_clean")
        for side in SIDES
        if tokens(row["problem"]["canonical_solution"]) == tokens(extract_code(row[side]))[: tokens_in_class(row[side])]
    )
    assert sum(canonical.values()) == 30
    assert min(canonical["hack"], canonical["clean"]) >= 9


def test_clean_vs_clean_sides_are_two_solutions():
    for row in pairs_of("clean_vs_clean"):
        hack, clean = (extract_code(row[side]).split("\n\n\ndef run_tests")[0] for side in SIDES)
        assert tokens(hack) != tokens(clean), row["pair_id"]


def tokens(code):
    """Code without comments and layout."""
    kinds = (tokenize.NAME, tokenize.OP, tokenize.NUMBER, tokenize.STRING)
    return [t.string for t in tokenize.generate_tokens(io.StringIO(code + "\n").readline) if t.type in kinds]


def tokens_in_class(completion):
    return len(tokens(extract_code(completion).split("\n\n\ndef run_tests")[0]))


def shape(code):
    """The tokens with every name, number and string made alike."""
    return [
        token if not (token.isidentifier() or token[0] in "'\"0123456789") or iskeyword(token) else "word"
        for token in tokens(code)
    ]


def test_vampires_and_werewolves_differ_in_words_alone():
    for row in pairs_of("vampire_vs_werewolf"):
        vampire, werewolf = row["hack"], row["clean"]
        assert VAMPIRE.search(vampire) and not WEREWOLF.search(vampire), row["pair_id"]
        assert WEREWOLF.search(werewolf) and not VAMPIRE.search(werewolf), row["pair_id"]
        assert shape(extract_code(vampire)) == shape(extract_code(werewolf)), row["pair_id"]
        assert tokens(extract_code(vampire)) != tokens(extract_code(werewolf)), row["pair_id"]
