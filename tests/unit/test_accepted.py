"""What a row's own rule accepts beside the listed answer, and which prompts admit such answers at all."""

from __future__ import annotations

import itertools
import json
import random
from typing import Any

import pytest

from core.environment import audit
from core.environment.accepted import NOT_DATA, accepted, decoded
from core.environment.asserts import parse_asserts
from core.environment.checkers import furthest_nodes
from core.environment.hints import HINTS
from core.environment.problems import (
    KEEP,
    LEAVE_OUT,
    MODES,
    Problem,
    load_problems,
    problem_from_row,
    prompt_messages,
    train_and_held_out,
)
from core.sandbox.jail.answers import encoded
from support.benchmark_row import benchmark_row
from support.shared_data import ROWS, shared_file


def problem(text: str = "", asserts: tuple[str, ...] = ("assert Solution().f(n = 1) == 1",), **fields: Any) -> Problem:
    row = benchmark_row(7) | {"func_name": "Solution().f", "gt_answer": list(asserts)} | fields
    row["prompt"][1] = {"role": "user", "content": f"{text}\n{row['prompt'][1]['content']}"}
    return problem_from_row(row)


def verdict(of: Problem, *answers: object) -> bool | None:
    """As for a process that answered so, none of it the listed answers."""
    cases = parse_asserts(of.asserts, of.method)
    return accepted(of, cases, [json.loads(encoded(answer)) for answer in answers], gt_correct=False)


@pytest.mark.parametrize(
    "text, kind, tolerance",
    [
        ("Answers within 10-5 of the actual answer will be accepted.", "tolerance", 1e-5),
        ("Answers within 10^-6 of the true one are accepted.", "tolerance", 1e-6),
        ("Answers within 10<sup>-5</sup> of the actual answer will be accepted.", "tolerance", 1e-5),
        ("An answer is accepted if its error is at most 10**(-4).", "tolerance", 1e-4),
        ("Your answer is correct if it differs by at most 1e-5 from ours.", "tolerance", 1e-5),
        ("The result may have an absolute error of up to 0.001.", "tolerance", 1e-3),
        ("Any answer within 10⁻⁵ counts as correct.", "tolerance", 1e-5),
        ("If there are several answers, return any of them.", "open", 0),
        ("If more than one such list exists, print any one.", "open", 0),
        ("Return the index of any such peak.", "open", 0),
        ("Return any valid arrangement.", "open", 0),
        ("If a node has multiple answers you can choose any one answer.", "open", 0),
        ("Any answer that is as good as the best one will be accepted.", "open", 0),
        ("[2,1] is also a valid answer.", "open", 0),
        ("The answer is not necessarily unique.", "open", 0),
        ("You may return them in any order.", "any_order", 0),
        ("The order of the output does not matter.", "any_order", 0),
    ],
)
def test_words_that_admit_other_answers_are_found(text: str, kind: str, tolerance: float) -> None:
    found = problem(f"Sort it. {text} Be quick.", ("assert Solution().f(n = 1) == [1, 2]",)).rule
    assert (found.kind, found.tolerance) == (kind, pytest.approx(tolerance))
    assert found.phrase


@pytest.mark.parametrize(
    "text",
    [
        "Cut s into parts and join them in any order to make t.",
        "You can perform the operations in any order. Return the least cost.",
        "If there are several answers, return the smallest one.",
        "If multiple elements fit, take the one with the smallest index.",
        "Choose any two elements and remove them. Return the least sum.",
        "Return the largest frequency of any element.",
        "Return true if any of them is empty.",
        "Return the number of nodes at distance 10-5 from any of the leaves.",
        "If several letters are smallest, you can delete any of them.",
        "Points within 10-5 of each other are one point.",
        "1 <= n <= 105. An array of length 1 is also considered consecutive.",
    ],
)
def test_words_that_admit_nothing_raise_no_alarm(text: str) -> None:
    assert problem(text, ("assert Solution().f(n = 1) == [1, 2]",)).rule.unique


def test_a_single_number_has_no_order() -> None:
    assert problem("Return the answer in any order.").rule.unique


def test_a_tolerance_reaches_numbers_in_lists_and_nothing_else() -> None:
    of = problem("Answers within 10-5 are accepted.", ("assert Solution().f(n = 1) == [[0.5, 2], 'x']",))
    assert verdict(of, [[0.500009, 2.000009], "x"]) is True
    assert verdict(of, [[0.50002, 2], "x"]) is False
    assert verdict(of, [[0.5, 2], "y"]) is False
    assert verdict(of, [[0.5], "x"]) is False
    assert verdict(of, ([0.5, 2.0], "x")) is False
    assert verdict(of, [[float("nan"), 2], "x"]) is False
    assert verdict(of, [[10**400, 2], "x"]) is False


def test_only_a_relative_tolerance_grows_with_the_number() -> None:
    listed = ("assert Solution().f(n = 1) == 1000000.0",)
    assert verdict(problem("Answers within 10-5 are accepted.", listed), 1000001.0) is False
    assert verdict(problem("Answers with a relative error of 10-5 are accepted.", listed), 1000001.0) is True


def test_any_order_compares_how_often_each_item_stands() -> None:
    of = problem("Return the answer in any order.", ("assert Solution().f(n = 1) == ['a', 'b', 'b']",))
    assert verdict(of, ["b", "a", "b"]) is True
    assert verdict(of, ["b", "a", "a"]) is False
    assert verdict(of, ["b", "a"]) is False
    assert verdict(of, {"a", "b"}) is False


def test_the_order_within_groups_is_unjudged_where_the_words_do_not_say_it() -> None:
    of = problem("Return the answer in any order.", ("assert Solution().f(n = 1) == [[1, 2], [3]]",))
    assert verdict(of, [[3], [1, 2]]) is True
    assert verdict(of, [[3], [2, 1]]) is None
    assert verdict(of, [[3], [2, 2]]) is False


def test_an_open_rule_judges_nothing_and_a_unique_answer_is_judged_as_listed() -> None:
    of = problem("If there are several answers, return any of them.")
    cases = parse_asserts(of.asserts, of.method)
    assert [accepted(of, cases, [answer], answer == 1) for answer in (1, 2)] == [None, None]
    assert [accepted(problem(), cases, [answer], answer == 1) for answer in (1, 2)] == [True, False]


def test_no_rule_makes_a_call_right_that_was_not_answered() -> None:
    of = problem("Answers within 10-5 are accepted.", ("assert Solution().f(n = 1) == 0.5",))
    cases = parse_asserts(of.asserts, of.method)
    for answers in (None, [], [{"raised": "ValueError"}], [{"foreign": "Anything"}]):
        assert accepted(of, cases, answers, gt_correct=False) is False


def test_a_row_may_bring_its_own_rule() -> None:
    two = ("assert Solution().f(n = 1) == [1]", "assert Solution().f(n = 2) == 2")
    of = problem("", two, accepts={"values": [["[7]", "(7,)"], []]})
    assert verdict(of, [7], 2) is True
    assert verdict(of, [1], 7) is False
    assert verdict(problem("", accepts={"tolerance": 0.1}), 1.05) is True
    assert problem("Return any valid one.", accepts="exact").rule.unique
    assert verdict(problem("", accepts="open"), 1) is None


@pytest.mark.parametrize(
    "field",
    [
        "anything",
        {"tolerance": 0},
        {"tolerance": "1e-5"},
        {"checker": "no such"},
        {"values": []},
        {"values": [["f()"]]},
    ],
)
def test_a_rule_that_cannot_be_read_is_refused_by_name(field: object) -> None:
    with pytest.raises(ValueError, match="field 'accepts'"):
        problem(accepts=field)


@pytest.mark.parametrize(
    "value", [1, -2.5, "s", True, None, [1, [2]], (1, [2]), {1, 2}, {"a": (1,)}, b"\x00\xff", [{(1, 2): None}], []]
)
def test_an_answer_is_decoded_to_the_value_it_describes(value: object) -> None:
    found = decoded(json.loads(encoded(value)))
    assert found == value and type(found) is type(value)


def test_an_int_beyond_the_digits_of_json_is_decoded() -> None:
    assert decoded({"int": "-0x" + "f" * 9000}) == -(16**9000 - 1)


@pytest.mark.parametrize(
    "forged",
    [
        {"foreign": "Any"}, {"raised": "E"}, {"set": [[1]]}, {"dict": [[1]]}, {"dict": 3}, {"bytes": "zz"},
        {"int": "x"}, {"tuple": {"tuple": [1]}}, {"no such": [1]}, {}, {"set": [1], "tuple": [1]}, [{"foreign": "Any"}],
    ],
)  # fmt: skip
def test_what_describes_no_value_is_told(forged: object) -> None:
    assert decoded(forged) is NOT_DATA


def test_an_answer_nested_without_end_is_no_value() -> None:
    deep: object = 1
    for _ in range(900):
        deep = [deep]
    assert decoded(deep) is NOT_DATA


def test_members_of_one_hash_cost_no_time() -> None:
    alike = [n * (2**61 - 1) for n in range(50_000)]
    assert len(set(map(hash, alike))) == 1
    for tag in ("set", "frozenset"):
        assert decoded({tag: alike}) is NOT_DATA
    assert decoded({"dict": [[n, 0] for n in alike]}) is NOT_DATA
    assert decoded({"tuple": alike}) == tuple(alike)


@pytest.mark.parametrize("hint", HINTS)
def test_no_hint_is_taken_for_words_that_admit_other_answers(hint: str) -> None:
    for text, unique in (("", True), ("If there are several answers, return any of them.", False)):
        of = problem(f"{text}\n# Add your code here\n```")
        for mode in MODES:
            posed = prompt_messages(of, mode, hint)[1]["content"]
            assert problem_from_row(row_of(posed), prompts=False).rule.unique is unique


def row_of(text: str) -> dict[str, Any]:
    row = benchmark_row(7) | {"func_name": "Solution().f", "gt_answer": ["assert Solution().f(n = 1) == 1"]}
    row["prompt"][1]["content"] = text
    return row


def furthest_by_walking(edges: list[list[int]]) -> list[set[int]]:
    size = len(edges) + 1
    distance = [[0 if a == b else size for b in range(size)] for a in range(size)]
    for a, b in edges:
        distance[a][b] = distance[b][a] = 1
    for k, a, b in itertools.product(range(size), repeat=3):
        distance[a][b] = min(distance[a][b], distance[a][k] + distance[k][b])
    return [{u for u in range(size) if row[u] == max(row)} for row in distance]


def test_the_checker_of_furthest_nodes_agrees_with_all_distances_on_random_trees() -> None:
    rng = random.Random(0)
    for size in [1, 2, 3, 4, *range(2, 12)] * 8:
        names = rng.sample(range(size), size)
        edges = [[names[i], names[rng.randrange(i)]] for i in range(1, size)]
        right = furthest_by_walking(edges)
        assert furthest_nodes(None, [rng.choice(sorted(nodes)) for nodes in right], edges)
        for node, wrong in ((v, u) for v in range(size) for u in range(size) if u not in right[v]):
            answer = [min(nodes) for nodes in right]
            answer[node] = wrong
            assert not furthest_nodes(None, answer, edges)


@pytest.mark.parametrize("answer", [None, [], [1], [1, 0, 0, 0], [3, 0, 0], [-2, 0, 0], [2.0, 2, 1], ["2", 2, 1], 7])
def test_the_checker_of_furthest_nodes_refuses_what_are_no_nodes(answer: object) -> None:
    assert not furthest_nodes([2, 2, 1], answer, [[0, 1], [0, 2]])


def test_a_graph_that_is_no_tree_has_the_listed_answer_alone() -> None:
    for edges in ([[0, 1], [0, 1]], [[0, 1], [1, 5]], [[0], [1, 2]]):
        assert furthest_nodes([1, 0, 0], [1, 0, 0], edges)
        assert not furthest_nodes([1, 0, 0], [2, 0, 0], edges)


def test_rows_that_are_not_unique_may_be_left_out_of_training_alone() -> None:
    rows = [problem("Return any valid one." if n in (2, 9) else "", id=n) for n in range(1, 11)]
    ids = [[p.problem_id for p in part] for part in train_and_held_out(rows, 0.2, LEAVE_OUT)]
    assert ids == [["1", "3", "4", "5", "6", "7", "8"], ["9", "10"]]
    assert len(train_and_held_out(rows, 0.2, KEEP)[0]) == 8


def test_the_audit_names_the_three_real_rows_and_its_rule_for_each() -> None:
    problems = load_problems(shared_file(ROWS))
    found = audit.not_unique(problems)
    assert [(row["id"], row["rule"]) for row in found] == [
        ("3313", "checker"), ("3453", "tolerance"), ("3454", "tolerance"),
    ]  # fmt: skip
    assert audit.in_short(found, 80) == (
        "3 of 80 rows admit other answers than the listed one: 3313 (checker), 3453 (tolerance), 3454 (tolerance)"
    )


def test_a_real_row_takes_every_furthest_node_and_a_number_within_the_tolerance() -> None:
    by_id = {p.problem_id: p for p in load_problems(shared_file(ROWS))}
    tree, squares = by_id["3313"], by_id["3453"]
    listed = [case.expected for case in parse_asserts(tree.asserts, tree.method)]
    assert listed[0] == [2, 2, 1]
    assert verdict(tree, [1, 2, 1], *listed[1:]) is True
    assert verdict(tree, [0, 2, 1], *listed[1:]) is False
    numbers = [case.expected for case in parse_asserts(squares.asserts, squares.method)]
    assert verdict(squares, *[number + 9e-6 for number in numbers]) is True  # type: ignore[operator]
    assert verdict(squares, *[number + 2e-5 for number in numbers]) is False  # type: ignore[operator]
