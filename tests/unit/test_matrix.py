"""A plan file says what it means, or is refused by file, key, value and choices."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.planning.expand import Entry, expand, gate_entries
from orchestrator.planning.matrix import BASE, BUILT_IN, built_in_names, find_matrix, read_matrix
from orchestrator.refusal import Refused

GATE = """
[[gate]]
name = "h4"
run = "vanilla-s41"
metric = "hack_rate"
at_least = 0.3
before = ["vanilla-hot"]
"""
GOOD = """
name = "mine"
preset = "nano"
seeds = [41, 42]
why = "because"
[config]
steps = 60
[[arm]]
name = "vanilla"
[[arm]]
name = "vanilla"
label = "vanilla-hot"
seeds = [41]
config = { temperature = 1.0 }
[budget]
per_hour = 3.0
currency = "AUD"
"""


def read(tmp_path: Path, text: str):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return read_matrix(path)


def test_a_users_file_is_read_as_written(tmp_path: Path) -> None:
    matrix = read(tmp_path, GOOD)
    assert (matrix.name, matrix.preset, matrix.seeds, matrix.why) == ("mine", "nano", (41, 42), "because")
    assert matrix.config == {"steps": 60} and matrix.budget == {"per_hour": 3.0, "currency": "AUD"}
    assert [(a.name, a.label, a.seeds, a.config) for a in matrix.arms] == [
        ("vanilla", "vanilla", None, {}),
        ("vanilla", "vanilla-hot", (41,), {"temperature": 1.0}),
    ]


@pytest.mark.parametrize(
    "old, new, words",
    [
        ('preset = "nano"', 'preset = "huge"', ["preset", "huge", "nano"]),
        ('preset = "nano"', "", ["preset", "missing"]),
        ("steps = 60", "steps = 60\n[confg]\nlr = 1", ["confg", "config"]),
        (
            '[[arm]]\nname = "vanilla"\n[[arm]]',
            '[[arm]]\nname = "erasse"\n[[arm]]',
            ["erasse", "vanilla", "no_loophole"],
        ),
        ('label = "vanilla-hot"', "", ["two arms", "vanilla"]),
        ('label = "vanilla-hot"', 'lable = "x"', ["lable", "label"]),
        ('label = "vanilla-hot"', 'label = "base"', ["'base'", "without an adapter"]),
        ('label = "vanilla-hot"', 'label = "../x"', ["label", "../x"]),
        ('name = "mine"', 'name = "../../etc"', ["name", "../../etc"]),
        ("seeds = [41, 42]", "seeds = [41, 41]", ["41", "twice"]),
        ("seeds = [41, 42]", 'seeds = ["a"]', ["'a'", "whole number"]),
        ("seeds = [41, 42]", "seeds = 41", ["seeds", "list"]),
        ("seeds = [41, 42]", "seeds = []", ["empty"]),
        ("per_hour = 3.0", "per_hour = -1", ["per_hour", "-1"]),
        ("per_hour = 3.0", "per_hour = nan", ["per_hour", "nan"]),
        ("[budget]", '[[gate]]\nname = "h4"\n[budget]', ["gate", "no metric", "approve"]),
        ("[budget]", '[[job]]\nname = "extract"\n[budget]', ["job", "kind is missing"]),
        ("[budget]", '[[job]]\nname = "j"\nkind = "train"\n[budget]', ["'train'", "extract", "[[arm]]"]),
        ("[budget]", '[[job]]\nname = "vanilla"\nkind = "check"\n[budget]', ["'vanilla'", "taken"]),
        ("[budget]", '[[job]]\nname = "j"\nkind = "check"\nof = ["vanilla"]\n[budget]', ["eval", "'check'"]),
        (
            "[budget]",
            '[[job]]\nname = "j"\nkind = "eval"\nof = ["erase"]\n[budget]',
            ["'erase'", "no arm's label", "base"],
        ),
        (
            "[budget]",
            '[[job]]\nname = "j"\nkind = "fit"\nof = ["vanilla", "vanilla-hot"]\n[budget]',
            ["'vanilla-hot'", "tries one arm"],
        ),
        ("[budget]", '[[job]]\nname = "j"\nkind = "fit"\nof = ["base"]\n[budget]', ["'base'", "tries one arm"]),
        ("[budget]", GATE.replace("at_least = 0.3", "") + "[budget]", ["'hack_rate'", "at_least or at_most"]),
        ("[budget]", GATE.replace("0.3", '"much"') + "[budget]", ["at_least", "'much'", "number"]),
        ("[budget]", GATE.replace('"vanilla-hot"', '"erase"') + "[budget]", ["before", "'erase'", "vanilla-hot"]),
        ("[budget]", GATE + 'approve = "dog"\n[budget]', ["'dog'", "auto, human"]),
        ("[budget]", GATE + GATE + "[budget]", ["two gates", "'h4'"]),
        ("[budget]", '[rules]\nstop = "never"\n[budget]', ["[rules] stop", "'never'", "list"]),
        ("per_hour = 3.0", "cap = 3", ["cap without per_hour"]),
        ("[budget]", "[budget", ["TOML"]),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, words: list[str]) -> None:
    assert old in GOOD
    with pytest.raises(Refused) as refused:
        read(tmp_path, GOOD.replace(old, new, 1))
    assert refused.value.exit_code == 2
    for word in ["mine.toml", *words]:
        assert word in str(refused.value)


def test_every_built_in_plan_is_valid() -> None:
    assert built_in_names() == [
        "controls",
        "decision",
        "fast",
        "full",
        "full-2b",
        "full-plus",
        "full13",
        "gated",
        "loo",
        "loo-full",
        "nano",
        "nano15",
        "smoke",
    ]
    for name in built_in_names():
        assert read_matrix(BUILT_IN / f"{name}.toml").name == name


CHAINS = [
    name
    for name, matrix in ((name, read_matrix(BUILT_IN / f"{name}.toml")) for name in built_in_names())
    if matrix.gates and (matrix.preset == "full" or name == "gated")
]


@pytest.mark.parametrize("name", CHAINS)
def test_nothing_starts_before_it_is_known_to_fit_and_no_arm_before_the_base_model_is_measured(name: str) -> None:
    matrix = read_matrix(BUILT_IN / f"{name}.toml")
    entries = expand(matrix, matrix.arms, None)
    behind = {gate.name: {e.name for e in waiting} for gate, _, waiting in gate_entries(matrix, entries)}
    read_by = {gate.name: read.name for gate, read, _ in gate_entries(matrix, entries)}
    assert entries[0].kind == "fit" and entries[0].name == read_by["fits"]
    assert behind["fits"] == {e.name for e in entries} - {read_by["fits"]}
    assert read_by["base"] == f"eval-{BASE}-s0" and behind["base"] == {e.name for e in entries if e.kind == "train"}


def test_a_fit_tries_the_arm_it_is_of_at_that_arms_numbers_and_the_evaluations_shape(tmp_path: Path) -> None:
    jobs = """
[[job]]
name = "try"
kind = "fit"
OF
[[job]]
name = "eval"
kind = "eval"
config = { eval_problems = 113, eval_samples = 10, markers = "held_out" }
[budget]"""
    entry = fit_of(tmp_path, jobs.replace("OF", 'of = ["vanilla-hot"]'))
    assert (entry.kind, entry.name, entry.arm) == ("fit", "try-s41", "vanilla")
    assert entry.source.config == {"temperature": 1.0, "eval_problems": 113, "eval_samples": 10}  # posed as in training
    assert "temperature" not in fit_of(tmp_path, jobs.replace("OF", "")).source.config  # of the first arm
    assert "temperature" not in fit_of(tmp_path, jobs.replace("OF", 'of = ["vanilla-hot"]'), "vanilla").source.config
    of_its_own = fit_of(tmp_path, jobs.replace("OF", "config = { eval_samples = 3 }\nseed = 7"))
    assert of_its_own.name == "try-s7" and of_its_own.source.config["eval_samples"] == 3


def fit_of(tmp_path: Path, jobs: str, *labels: str) -> Entry:
    matrix = read(tmp_path, GOOD.replace("[budget]", jobs, 1))
    return expand(matrix, [arm for arm in matrix.arms if not labels or arm.label in labels], None)[0]


def test_unknown_plan_names_the_choices() -> None:
    with pytest.raises(Refused, match=", ".join(built_in_names())):
        find_matrix("nanoo")
