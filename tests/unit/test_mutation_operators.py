"""Each operator makes exactly the faults that it names; every stored survivor has a reason."""

import random

import pytest

from support.mutations import OPERATORS, all_mutations, chosen_mutations, probed
from support.perturbed_inputs import perturbed_inputs
from support.stored_mutations import STORED

# operator, source, every mutant of it
EXAMPLES = [
    ("comparison boundary", "a < b", ["a <= b"]),
    ("comparison boundary", "a > b >= c", ["a >= b >= c", "a > b > c"]),
    ("comparison opposite", "a == b", ["a != b"]),
    ("comparison opposite", "a in b", ["a not in b"]),
    ("arithmetic", "a + b", ["a - b"]),
    ("arithmetic", "a -= b", ["a += b"]),
    ("constant", "f(7)", ["f(8)", "f(6)"]),
    ("constant", "f(True, 'a', 1.5)", []),
    ("constant", "x: List[5] = f(a)", []),
    ("and/or", "a and b", ["a or b"]),
    ("condition negated", "a if b else c", ["a if not b else c"]),
    ("condition negated", "[a for a in b if not a]", ["[a for a in b if a]"]),
    ("condition negated", "a if b == c else d", []),
    ("statement removed", "a = 1\nb += a", ["pass\nb += a", "a = 1\npass"]),
    ("statement removed", '"""docstring"""', []),
    ("break/continue", "while a:\n    break", ["while a:\n    continue"]),
    ("break/continue", "while a:\n    continue", ["while a:\n    break"]),
    ("returned value", "def f() -> int:\n    return a", ["def f() -> int:\n    return a + 1"]),
    ("returned value", "def f() -> List[int]:\n    return a", ["def f() -> List[int]:\n    return a[::-1]"]),
    ("returned value", "def f() -> bool:\n    return a", ["def f() -> bool:\n    return not a"]),
    ("returned value", "def f():\n    return a", []),
    ("range bound", "range(n)", ["range(n + 1)", "range(n - 1)"]),
    ("slice bound", "a[i:]", ["a[i + 1:]", "a[i - 1:]"]),
    ("min/max", "min(a, b)", ["max(a, b)"]),
]


@pytest.mark.parametrize(("operator", "source", "mutants"), EXAMPLES)
def test_operator_gives_exactly_these_mutants(operator: str, source: str, mutants: list[str]) -> None:
    assert [m.code for m in all_mutations(source) if m.operator == operator] == mutants


def test_every_operator_has_an_example() -> None:
    assert {operator for operator, _, mutants in EXAMPLES if mutants} == set(OPERATORS)


SOURCE = "def f(n) -> int:\n    s = 0\n    for i in range(n):\n        s += i\n    return s\n"


def test_a_mutation_says_where_and_what() -> None:
    assert "arithmetic at line 4, column 8: s += i -> s -= i" in map(str, all_mutations(SOURCE))


def test_the_choice_depends_on_row_and_seed_and_spreads_over_operators() -> None:
    chosen = chosen_mutations(SOURCE, "1", 0)
    assert chosen == chosen_mutations(SOURCE, "1", 0)
    assert len({m.code for m in chosen}) == len({m.operator for m in chosen}) == 5
    assert chosen != chosen_mutations(SOURCE, "2", 0) and chosen != chosen_mutations(SOURCE, "1", 1)


def test_a_probe_counts_how_often_the_place_is_run_and_changes_nothing_else() -> None:
    for text, hits in {"arithmetic at line 4": 3, "statement removed at line 2": 1, "range bound at line 3": 1}.items():
        mutation = next(m for m in all_mutations(SOURCE) if str(m).startswith(text))
        namespace: dict = {}
        exec(probed(SOURCE, mutation), namespace)
        assert namespace["f"](3) == 3 and namespace["_hits"] == [hits], text


def test_perturbed_inputs_keep_what_holds_for_all_examples() -> None:
    examples = [{"nums": [1, 3, 4], "k": 2}, {"nums": [2, 5], "k": 1}, {"nums": [1, 2, 6, 9], "k": 4}]
    found = perturbed_inputs(examples, 50, random.Random(0))
    assert len(found) >= 30 and all(example not in found for example in examples)
    for arguments in found:
        nums, k = arguments["nums"], arguments["k"]
        assert nums == sorted(set(nums)) and min(nums) >= 1 and max(nums) <= 9
        assert 1 <= k <= len(nums) and 2 <= len(nums) <= 4


def test_every_stored_survivor_has_a_reason_and_was_read_by_hand() -> None:
    assert STORED["rows"] == 80 and STORED["mutants"] == 400 and STORED["canonical_failures"] == []
    assert STORED["survivors"] == len(STORED["survivor_list"]) == 400 - sum(STORED["killed"].values())
    assert STORED["two_oracles_disagree"] == []
    for found in STORED["survivor_list"]:
        assert found["reason"] and found["by_hand"]["why"], found
        assert found["inputs_tried"] >= 300, found
