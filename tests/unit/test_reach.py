"""What a plan cannot decide is said before it runs: by rule, from seeds, controls, pairs and problems."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from orchestrator.planning.matrix import BUILT_IN, Arm, Gate, Job, Matrix, read_matrix
from orchestrator.planning.plan import draft_plan
from orchestrator.planning.reach import OUT, UNTOLD, Limit, limits, lines
from orchestrator.planning.resolve import Choices
from orchestrator.store.preregistration import read_registered
from support.fake_home import FakeHome

EVAL = Job("eval", "eval", {"eval_problems": 100, "eval_samples": 10})
GOOD = (
    Arm("vanilla", "vanilla", {"measure": True}),
    Arm("erase", "erase"),
    Arm("random_V", "random", {"match": "energy"}),
)


@pytest.fixture(autouse=True)
def source(fake: FakeHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRPOQ_SOURCE", str(fake.source))


def found(*arms: Arm, jobs: tuple[Job, ...] = (EVAL,), controls: tuple[str, ...] = ("random",), **fields: Any):
    labels = [arm.label for arm in arms]
    h1 = {"name": "H1", "rule": "reduces", "statement": "s", "treatment": "erase", "baseline": "vanilla"}
    claim = {"hypothesis": "H1", "controls": list(controls)}
    registered = read_registered({"hypothesis": [h1], "claim": claim}, labels, ValueError)
    seeds = tuple(range(1, 9))  # by which even a sign test over seeds can decide
    matrix = Matrix("mine", "smoke", seeds, arms, jobs=jobs, registered=registered)
    return of(dataclasses.replace(matrix, **fields))


def of(matrix: Matrix) -> list[Limit]:
    return [Limit(**row) for row in draft_plan(matrix, Choices()).content["reach"]]


def test_a_plan_that_lacks_nothing_is_told_nothing() -> None:
    assert found(*GOOD) == []


def other(place: int, **fields: Any) -> tuple[Arm, ...]:
    return tuple(dataclasses.replace(arm, **fields) if n == place else arm for n, arm in enumerate(GOOD))


@pytest.mark.parametrize(
    "arms, fields, kind, of, words",
    [
        (other(0, seeds=(1, 2)), {}, OUT, "H1", ["2 seeds (1, 2)", "needs 3", "vanilla-s3"]),
        (other(0, seeds=(1, 2, 3)), {}, UNTOLD, "H1", ["vanilla runs on 3 seeds", "vanilla-s4"]),
        (other(2, seeds=(4,)), {}, OUT, "claim", ["random has 1 seed (4)", "beaten on 2 or more", "random-s1"]),
        (GOOD, {"controls": ()}, OUT, "claim", ["no negative control"]),
        (GOOD, {"jobs": ()}, OUT, "claim", ["no evaluation of erase"]),
        (GOOD, {"preregistered": False}, OUT, "claim", ["preregistered = false"]),
        (other(2, config={}), {}, UNTOLD, "claim", ["random is matched by rank", "match = 'energy'"]),
        (GOOD, {"seeds": (1, 2, 3)}, UNTOLD, "H1", ["p = 0.25 at best", "8 could"]),
        (other(0, config={}), {}, UNTOLD, "H1", ["no signed cos_align", "vanilla", "measure = true"]),
        (
            (*GOOD, Arm("erase", "erase-k1", {"k": 1}, seeds=(1,))),
            {},
            UNTOLD,
            "erase-k1",
            ["one seed each", "decide nothing"],
        ),
        (
            GOOD,
            {"jobs": (Job("eval", "eval", {"eval_problems": 2, "eval_samples": 2}),)},
            OUT,
            "H1",
            ["2 problems x 2 samples", "30 points", "% of simulated"],
        ),
        (
            GOOD,
            {"config": {"pairs": "authored"}},
            UNTOLD,
            "H1",
            ["of which 45 are of modes that are not trained on", "pair_modes = run_tests"],
        ),
    ],
)
def test_each_rule_finds_its_own_and_nothing_else(
    arms: tuple[Arm, ...], fields: dict[str, Any], kind: str, of: str, words: list[str]
) -> None:
    limits = [limit for limit in found(*arms, **fields) if (limit.kind, limit.of) == (kind, of)]
    said = " | ".join(f"{limit.why}; {limit.way_out}" for limit in limits)
    assert limits and all(word in said for word in words), (words, found(*arms, **fields))


def test_an_arm_with_pairs_of_the_trained_mode_answers_where_the_direction_comes_from() -> None:
    own = Arm("erase", "erase-own", {"pair_modes": ["run_tests"]})
    assert found(*GOOD, own, config={"pairs": "authored"}) == []


def test_full_says_what_full_plus_adds() -> None:
    full, plus = (of(read_matrix(BUILT_IN / f"{name}.toml")) for name in ("full", "full-plus"))
    assert {(limit.kind, limit.of) for limit in full if limit.kind == OUT} == {(OUT, "H2"), (OUT, "claim")}
    assert [limit for limit in plus if limit.kind == OUT] == []
    mended = {limit.why for limit in full} - {limit.why for limit in plus}
    assert any("matched by rank" in why for why in mended) and any("not trained on" in why for why in mended)
    assert all(len(line) <= 80 for line in lines(full, 80))


def test_full_plus_registers_what_full_does_word_for_word() -> None:
    full, plus = (read_matrix(BUILT_IN / f"{name}.toml") for name in ("full", "full-plus"))
    assert all(h in plus.registered.hypotheses for h in full.registered.hypotheses)
    assert {arm.label for arm in full.arms} <= {arm.label for arm in plus.arms}
    assert full.config == plus.config


def test_the_notes_first_matrix_is_full_on_their_first_model() -> None:
    full, first = (read_matrix(BUILT_IN / f"{name}.toml") for name in ("full", "full-2b"))
    assert first.config == full.config | {"model": "Qwen/Qwen3.5-2B"} and first.arms == full.arms
    assert first.registered == full.registered
    (h4,) = [gate for gate in first.gates if gate.name == "h4"]
    assert h4.fallback == {"model": "Qwen/Qwen3-4B", "completions": 4, "batch": 64}


def fallbacks() -> list[tuple[str, Gate]]:
    matrices = [read_matrix(path) for path in sorted(BUILT_IN.glob("*.toml"))]
    return [(m.name, gate) for m in matrices for gate in m.gates if gate.fallback]


@pytest.mark.parametrize("name, gate", fallbacks(), ids=lambda value: value if isinstance(value, str) else "")
def test_a_fallback_names_nothing_that_the_plan_has_already(name: str, gate: Gate) -> None:
    config = draft_plan(read_matrix(BUILT_IN / f"{name}.toml"), Choices()).specs[0].config
    assert {field: getattr(config, field) for field in gate.fallback}.items().isdisjoint(gate.fallback.items())


def test_problems_that_are_not_there_find_nothing() -> None:
    """113 are asked for, and a file holds out five."""
    draft = draft_plan(read_matrix(BUILT_IN / "full.toml"), Choices())
    assert not [limit for limit in limits(draft.content, draft.specs) if "of simulated" in limit.why]
    few = draft.content | {"rows": {"held_out": 5}}
    (limit,) = [limit for limit in limits(few, draft.specs) if "of simulated" in limit.why]
    assert (limit.kind, limit.of) == (OUT, "H1") and "5 problems x 10 samples" in limit.why
