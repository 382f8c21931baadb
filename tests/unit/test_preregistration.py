"""Hypotheses and claim come from the plan file, are refused where they name nothing, and are locked by its hash."""

from __future__ import annotations

import pytest

from core.statistics.hypotheses import RULES
from orchestrator.planning.matrix import built_in_names, find_matrix, parse_matrix, read_matrix
from orchestrator.planning.plan import draft_plan
from orchestrator.planning.resolve import read_choices
from orchestrator.refusal import Refused
from orchestrator.store.preregistration import Registered

PLAN = """
name = "mine"
preset = "smoke"
seeds = [41]
[[arm]]
name = "vanilla"
[[arm]]
name = "erase"
[[arm]]
name = "random_V"
[[hypothesis]]
name = "H1"
rule = "reduces"
statement = "less"
treatment = "erase"
baseline = "vanilla"
drop_at_least = 25
[claim]
hypothesis = "H1"
controls = ["random_V"]
"""


def hash_of(text: str) -> str:
    return draft_plan(parse_matrix(text, "mine.toml"), read_choices(None, None, None, None, [])).content["hash"]


def test_thresholds_are_the_registered_ones_where_none_is_written() -> None:
    registered = parse_matrix(PLAN, "mine.toml").registered
    (h,) = registered.hypotheses
    assert h.thresholds == RULES["reduces"].thresholds | {"drop_at_least": 25}
    assert registered.contrasts() == [("H1", "erase", "vanilla"), ("control", "erase", "random_V")]
    arms = {"vanilla": "vanilla", "erase": "erase", "random_V": "random_V", "erase-k1": "erase"}
    roles = [registered.role(label, arm, arms) for label, arm in arms.items()]
    assert roles == ["baseline", "treatment", "control", "ablation"]


def test_what_is_registered_is_locked_and_comes_back_from_the_plan() -> None:
    matrix = parse_matrix(PLAN, "mine.toml")
    content = draft_plan(matrix, read_choices(None, None, None, None, [])).content
    assert Registered.of_plan(content) == matrix.registered
    first = hash_of(PLAN)
    for old, new in (("= 25", "= 26"), ('"less"', '"more"'), ('controls = ["random_V"]', "controls = []")):
        assert hash_of(PLAN.replace(old, new)) != first
    bare, _, _ = PLAN.partition("[[hypothesis]]")
    nothing = draft_plan(parse_matrix(bare, "x"), read_choices(None, None, None, None, [])).content
    assert Registered.of_plan(nothing) == Registered() and "hypotheses" not in nothing


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('rule = "reduces"', 'rule = "shrinks"', ["H1", "'shrinks'", "not_dominated"]),
        ('treatment = "erase"', 'treatment = "eraze"', ["'eraze'", "vanilla, erase"]),
        ('baseline = "vanilla"', 'baseline = "erase"', ["both 'erase'"]),
        ("drop_at_least = 25", "drop_at_most = 25", ["unknown key 'drop_at_most'", "falsified_below"]),
        ("drop_at_least = 25", "drop_at_least = -1", ["-1", "at least 0"]),
        ("drop_at_least = 25", "seeds_at_least = 0", ["seeds_at_least = 0", "whole number"]),
        ('statement = "less"', "", ["statement = ''"]),
        ('hypothesis = "H1"', 'hypothesis = "H9"', ["'H9'", "H1"]),
        ('controls = ["random_V"]', 'controls = ["vanilla"]', ["'vanilla'", "another arm"]),
        ('controls = ["random_V"]', 'control = "random_V"', ["unknown key 'control'"]),
    ],
)
def test_a_name_that_is_none_is_refused(old: str, new: str, words: list[str]) -> None:
    with pytest.raises(Refused) as refused:
        parse_matrix(PLAN.replace(old, new), "mine.toml")
    assert all(word in str(refused.value) for word in ["mine.toml", *words])


def test_full_registers_h1_to_h4_and_its_controls() -> None:
    registered = read_matrix(find_matrix("full")).registered
    assert [h.name for h in registered.hypotheses] == ["H1", "H2", "H3", "H4"]
    assert registered.claim is not None and registered.claim.controls == ("random_V", "shuffled_V")
    assert registered.claim.pass_within == 5
    h1 = registered.hypotheses[0].thresholds
    assert [h1[k] for k in ("drop_at_least", "falsified_below", "pass_within", "pass_fall")] == [30, 15, 10, 15]
    assert all(read_matrix(find_matrix(name)) for name in built_in_names())
