"""No ground truth, detector flag or held-out label reaches an advantage, a gate or the choice of pairs.

What the environment pays is the reward; everything else a grade says may be wrong without a number changing. The other
arms: tests/system/test_every_arm.py.
"""

from pathlib import Path

import pytest

from core.arm_rules import ORACLE_ARMS
from core.arms import ARMS
from orchestrator.planning.matrix import read_matrix
from orchestrator.refusal import Refused
from support import small_policy
from support.arm_runs import STANDING, few_pairs, poisoned_labels_change_nothing

LIVE = [name for name in ARMS if name not in ORACLE_ARMS]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    few_pairs(monkeypatch)


@pytest.mark.parametrize("arm", [name for name, _ in STANDING])
def test_poisoned_labels_leave_training_identical(arm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    poisoned_labels_change_nothing(arm, tmp_path, monkeypatch)


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
