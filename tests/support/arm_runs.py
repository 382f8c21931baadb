"""What every arm must show of a whole run, and the few arms that stand for all of them at each commit.

STANDING covers every hook and every adapter (a test holds that); tests/system/test_every_arm.py has all the others.
"""

from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from core.arm_rules import ARM_NAMES
from core.environment.nano import pairs as nano_pairs
from core.environment.rewards import Grade
from core.spec import VERL
from core.training import step
from support import in_process, real_run
from support.operations import RAISING, Operations

BENCHMARK = {**VERL, "loss_micro_batch": 4, "loss_ranks": 1}  # smoke's 8 rollouts make two micro-batches
TEACHER = {"teacher": "nano", "mix": 0.25, "max_new": 96}
Case = tuple[str, dict[str, Any]]
STANDING: list[Case] = [
    ("vanilla", {"measure": True}),
    ("no_loophole", {"adapter": "lora_frozen_a"}),
    ("projected", {}),
    ("erase", TEACHER),
    ("erase_update", {}),
    ("route", {}),
    ("route_act", {}),
    ("tdga", {}),
    ("rebound_gen", {}),
    ("rebound_mul", BENCHMARK),
]
OTHERS: list[Case] = [(name, {}) for name in ARM_NAMES if (name, {}) not in STANDING] + [
    ("random_V", {"match": "energy"}),
    ("route", TEACHER),
    ("erase", {**TEACHER, **BENCHMARK}),
    ("sgtm", BENCHMARK),
]

Stop = tuple[str, tuple[int, str], int]  # arm, (last finished step, phase), steps that are kept
STOPS: list[Stop] = [
    ("vanilla", (3, "generate"), 3),
    ("vanilla", (6, "evaluate"), 6),
    ("route_act", (3, "generate"), 3),
]
MORE_STOPS: list[Stop] = [
    ("vanilla", (3, "evaluate"), 3),
    ("vanilla", (0, "generate"), 0),
    ("vanilla", (0, "evaluate"), 0),
    ("erase", (3, "generate"), 3),
    ("tdga", (3, "generate"), 3),
]

KEPT = ("compiles", "reward", "seconds", "label", "mechanism")
POISONED = [field.name for field in dataclasses.fields(Grade) if field.name not in KEPT]


def name_of(case: Case) -> str:
    arm, fields = case
    own = [name for name in fields if name not in BENCHMARK]
    return "-".join([arm, *own, *["benchmark"] * (fields.keys() >= VERL.keys())])


def few_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight are as good as sixty for what is shown here, and quicker."""
    monkeypatch.setattr(nano_pairs, "EXTRACT", 8)


def resumed_equals_unbroken(case: Case, folder: Path) -> None:
    """Stopped between two refreshes of the direction, and gone on with: the same bytes and rows."""
    arm, fields = case
    twin, broken = (in_process.planned(folder / which, arm, refresh=2, **fields) for which in ("twin", "broken"))
    assert in_process.attempt(twin) is not None
    assert in_process.attempt(broken, stop_after=3) is None
    assert in_process.attempt(broken) is not None
    assert broken.attempts() == [1, 2] and len(broken.metrics()) == 6
    real_run.assert_equal_runs(broken, twin)


def stopped_within_a_step_saves_the_last_whole_one(
    arm: str, place: tuple[int, str], kept: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step of a large model takes longer than a preempted box is given. Nothing of the broken one counts."""
    monkeypatch.setattr("core.attempt.STOP_CHECK_S", 0.0)
    fields = {"refresh": 2, "eval_every": 3, "checkpoint_every": 5}
    twin, broken = (in_process.planned(folder / which, arm, **fields) for which in ("twin", "broken"))
    assert in_process.attempt(twin) is not None
    assert in_process.attempt(broken, stop_in=place) is None
    saved = sorted(int(p.name[5:]) for p in broken.checkpoints.glob("step_*"))
    assert saved[-1:] == ([kept] if kept else []) and len(broken.metrics()) == kept
    assert in_process.attempt(broken) is not None
    real_run.assert_equal_runs(broken, twin)


TIED_FROM = 4
OF_THE_GRADIENT = ("cin", "cin_rand", "cos_align")
IN_EVERY_STEP = ("kl", "lp_s", "cout", "cos_out")


def measured_in_every_step_and_otherwise_the_same_run(
    case: Case, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From step TIED_FROM on no group has spread: a gradient of zero has no direction, all else goes on being known.
    On the way, no operation is one that raises on a GPU."""
    arm, fields = case
    paid = step.reward

    def tied(arm: Any, now: Any, *rest: Any) -> Any:
        found = paid(arm, now, *rest)
        spread = torch.arange(found.rewards.shape[1]).float().expand_as(found.rewards)
        return dataclasses.replace(found, rewards=spread if now.number < TIED_FROM else torch.zeros_like(spread))

    monkeypatch.setattr("core.training.train.reward", tied)
    wanted = {"refresh": 2, **fields}
    runs = {on: in_process.planned(folder / str(on), arm, **(wanted | {"measure": on})) for on in (True, False)}
    results = {False: in_process.attempt(runs[False])}
    with Operations() as operations:
        results[True] = in_process.attempt(runs[True])
    assert "embedding" in operations.seen and not operations.seen & RAISING
    assert len({result["adapter_sha256"] for result in results.values() if result}) == 1
    rows = runs[True].metrics()
    for row in rows:
        moves = row["lr"] > 0  # verl's first step has rate 0
        assert all(row[name] is not None for name in IN_EVERY_STEP if moves or name not in ("cout", "cos_out")), row
        assert all((row[name] is not None) == (row["tokens"] > 0) for name in OF_THE_GRADIENT), row
    assert [row["tokens"] > 0 for row in rows[TIED_FROM - 1 :]] == [False] * (len(rows) - TIED_FROM + 1)


def poisoned_labels_change_nothing(arm: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With every flag and label of live rollouts redrawn, weights and columns are those of the honest run."""
    honest = in_process.planned(folder / "honest", arm, steps=4, refresh=2)
    assert in_process.attempt(honest) is not None

    true_grade, rng, lied = step.grade, random.Random(1), []

    def lying(items: Any, sandbox: Any, full: bool) -> list[Grade]:
        grades = true_grade(items, sandbox, full=full)
        lies = [_poisoned(grade, rng) for grade in grades]
        lied.extend(a != b for a, b in zip(grades, lies, strict=True))
        # `payment` is asked with these flags; the environment's own answer is kept beside them.
        paid.update({id(lie): true for lie, true in zip(lies, grades, strict=True)})
        kept.extend(lies)
        return lies

    paid: dict[int, Grade] = {}
    kept: list[Grade] = []
    true_payment = step._payment
    monkeypatch.setattr(step, "grade", lying)
    monkeypatch.setattr(step, "_payment", lambda config, grade: true_payment(config, paid.get(id(grade), grade)))
    lie = in_process.planned(folder / "lie", arm, steps=4, refresh=2)
    assert in_process.attempt(lie) is not None

    results = [json.loads(run.result_path.read_text()) for run in (honest, lie)]
    assert results[0]["adapter_sha256"] == results[1]["adapter_sha256"]
    assert any(lied)
    columns = ("rew", "loss", "gn", "cin", "cout", "tied", "dropped", "keep", "rout", "factor")
    assert [[row[c] for c in columns] for row in honest.metrics()] == [[r[c] for c in columns] for r in lie.metrics()]


def _poisoned(grade: Grade, rng: random.Random) -> Grade:
    """Every flag redrawn, and the label and mechanism of a hack."""
    lies = {
        name: rng.random() < 0.5
        for name in POISONED
        if isinstance(getattr(grade, name), bool) or getattr(grade, name) is None
    }
    return dataclasses.replace(grade, **lies, label="Reward Hack", mechanism="sentinel")
