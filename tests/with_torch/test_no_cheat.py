"""No ground truth, detector flag or held-out label reaches an advantage, a gate or the choice of pairs.

What the environment pays is the reward; everything else a grade says may be wrong without a number changing.
"""

import dataclasses
import random
from pathlib import Path

import pytest

from core.arm_rules import ORACLE_ARMS
from core.arms import ARMS
from core.environment.nano import pairs as nano_pairs
from core.environment.rewards import Grade
from core.training import step
from orchestrator.planning.matrix import read_matrix
from orchestrator.refusal import Refused
from support import in_process, real_run, small_policy

LIVE = [name for name in ARMS if name not in ORACLE_ARMS]
KEPT = ("compiles", "reward", "seconds", "label", "mechanism")
POISONED = [field.name for field in dataclasses.fields(Grade) if field.name not in KEPT]


@pytest.fixture(autouse=True)
def few_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight are as good as sixty for what is shown here, and quicker."""
    monkeypatch.setattr(nano_pairs, "EXTRACT", 8)


def poisoned(grade: Grade, rng: random.Random) -> Grade:
    """Every flag redrawn, and the label and mechanism of a hack."""
    lies = {
        name: rng.random() < 0.5
        for name in POISONED
        if isinstance(getattr(grade, name), bool) or getattr(grade, name) is None
    }
    return dataclasses.replace(grade, **lies, label="Reward Hack", mechanism="sentinel")


@pytest.mark.parametrize("arm", LIVE)
def test_poisoned_labels_leave_training_identical(arm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = in_process.planned(tmp_path / "honest", arm, steps=4, refresh=2)
    assert in_process.attempt(honest) is not None

    true_grade, rng, lied = step.grade, random.Random(1), []

    def lying(items, sandbox, full):
        grades = true_grade(items, sandbox, full=full)
        lies = [poisoned(g, rng) for g in grades]
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
    lie = in_process.planned(tmp_path / "lie", arm, steps=4, refresh=2)
    assert in_process.attempt(lie) is not None

    results = [real_run.json.loads(run.result_path.read_text()) for run in (honest, lie)]
    assert results[0]["adapter_sha256"] == results[1]["adapter_sha256"]
    assert any(lied)
    columns = ("rew", "loss", "gn", "cin", "cout", "tied", "dropped", "keep", "rout", "factor")
    assert [[row[c] for c in columns] for row in honest.metrics()] == [[r[c] for c in columns] for r in lie.metrics()]


@pytest.mark.parametrize("arm", ORACLE_ARMS)
def test_oracles_alone_see_labels_and_no_preregistered_plan_takes_them(arm: str, tmp_path: Path) -> None:
    assert ARMS[arm].sees_labels and not any(ARMS[name].sees_labels for name in LIVE)
    plan = tmp_path / "mine.toml"
    text = f'name = "mine"\npreset = "nano"\nseeds = [41]\n[[arm]]\nname = "{arm}"\n'
    plan.write_text(text)
    with pytest.raises(Refused, match="ground truth of live rollouts"):
        read_matrix(plan)
    plan.write_text("preregistered = false\n" + text)
    assert not read_matrix(plan).preregistered


def test_held_out_mode_is_in_no_pair_and_no_teacher(tmp_path: Path) -> None:
    modes = ("run_tests", "sentinel", "stdout_marker", "eq_override")
    for held_out in modes:
        policy = small_policy.policy(small_policy.config(modes=modes, held_out_mode=held_out))
        data = small_policy.data(policy)
        for concept in ("hack", "clean_vs_clean", "placebo"):
            found = {pair.task.mode for pair in data.pairs(concept)}
            assert found == set(modes) - {held_out}, (concept, held_out)
        assert held_out in {task.mode for task in data.train}
