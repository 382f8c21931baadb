"""No ground truth, detector flag or held-out label reaches an advantage, a gate or the choice of pairs.

What the environment pays is the reward; everything else a grade says may be wrong without a number changing. The other
arms: tests/system/test_every_arm.py. And an arm that searches all that its hooks are given finds no truth there.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from core.arm_rules import ORACLE_ARMS
from core.arms import ARMS
from core.arms.arm import Arm, Step
from core.environment.asserts import Case
from core.environment.hints import SHOWN_ASSERTS
from core.environment.nano import pairs as nano_pairs
from core.environment.pairs import AUTHORED, load_pairs
from core.environment.problems import Problem, prompt_messages
from core.environment.rewards import Grade, GradeItem
from core.environment.task import Prompt, Task
from core.environment.teacher_pool import TeacherRollout
from core.model import run_data
from orchestrator.planning.matrix import read_matrix
from orchestrator.refusal import Refused
from support import in_process, small_policy
from support.arm_runs import STANDING, TEACHER, few_pairs, poisoned_labels_change_nothing
from support.reach import reachable

LIVE = [name for name in ARMS if name not in ORACLE_ARMS]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    few_pairs(monkeypatch)


@pytest.mark.parametrize("arm", [name for name, _ in STANDING[::2]])
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


# ---- an arm that looks

TRUTHS = (Grade, Case, Problem, Task, GradeItem, TeacherRollout)
SOLUTION, ASSERT = "# a canonical solution's mark", "# an assert's mark"
OF_LABELS = ("gt_s", "hack_s", "hk_able", "empty", "comp", "gt_t", "hack_t", "hk_run_tests")  # columns of a row
HOOKS = [f.name for f in dataclasses.fields(Arm) if f.default is None]


def marked(problem: Problem) -> Problem:
    """The same problem, its truth to be told from any text of a model or a pair."""
    asserts = tuple(f"{line}  {ASSERT}" for line in problem.asserts)
    return dataclasses.replace(
        problem, canonical_solution=f"{problem.canonical_solution}\n{SOLUTION}\n", asserts=asserts
    )


def truths_within(given: Sequence[Any]) -> list[str]:
    """The way to each."""
    found = []
    for way, thing in reachable(given):
        if isinstance(thing, TRUTHS) or (isinstance(thing, str) and (SOLUTION in thing or ASSERT in thing)):
            found.append(way)
        if type(thing) is dict:
            found += [f"{way}: {column}" for column in OF_LABELS if thing.get(column) is not None]
    return found


def looking(seen: dict[str, list[str]], **declared: bool) -> Arm:
    """An arm that changes nothing and searches whatever any of its hooks is given, pairs too."""

    def hook(name: str, answer: Callable[..., Any]) -> Callable[..., Any]:
        def look(step: Step, *rest: Any) -> Any:
            pairs = step.extraction_pairs("hack")
            seen.setdefault(name, []).extend(truths_within([step, *rest, pairs]))
            return answer(step, *rest)

        return look

    answers: dict[str, Callable[..., Any]] = {
        "prepare": lambda step: {},
        "rollout": lambda step, asked: asked,
        "sampling": lambda step: contextlib.nullcontext(),
        "reward": lambda step, rewards: rewards,
        "mask": lambda step, rewards: torch.ones_like(rewards, dtype=torch.bool),
        "forward": lambda step, rows: contextlib.nullcontext(),
        "gradient": lambda step: None,
        "update": lambda step, before: None,
    }
    return Arm(**{name: hook(name, answers[name]) for name in HOOKS}, **declared)  # type: ignore[arg-type]


def looked(folder: Path, monkeypatch: pytest.MonkeyPatch, **declared: bool) -> dict[str, list[str]]:
    """What an arm finds in two steps with teachers, by hook."""
    halves, row_of_pair = run_data.halves, nano_pairs.problem_from_row
    monkeypatch.setattr(run_data, "halves", lambda *a: tuple([marked(p) for p in half] for half in halves(*a)))
    monkeypatch.setattr(nano_pairs, "problem_from_row", lambda *a: marked(row_of_pair(*a)))
    seen: dict[str, list[str]] = {}
    monkeypatch.setitem(ARMS, "vanilla", looking(seen, **declared))
    run = in_process.planned(folder, "vanilla", steps=2, skip_tied=False, **TEACHER)
    assert in_process.attempt(run) is not None
    assert sorted(seen) == sorted(HOOKS) and all(row["n_t"] for row in run.metrics())
    return seen


def test_an_arm_that_looks_finds_no_truth_in_anything_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert looked(tmp_path, monkeypatch) == {name: [] for name in HOOKS}


def test_what_an_arm_declares_is_found_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = looked(tmp_path, monkeypatch, sees_labels=True, sees_solutions=True)
    ends = {name: {way.rpartition("Step > ")[2] for way in ways} for name, ways in found.items()}
    solutions = "ArmData > dict > str"
    assert {solutions} == ends["prepare"] == ends["rollout"] == ends["sampling"]
    for name in ("reward", "mask", "forward", "gradient", "update"):
        assert ends[name] == {solutions, "list > list > Grade"}


def test_a_prompt_holds_the_asserts_that_its_text_shows_and_asks_as_its_task_does() -> None:
    problem = load_pairs(AUTHORED)[0].task.problem
    ten = problem.asserts[:SHOWN_ASSERTS]
    showing, silent = "simple_modify_tests", "simple_overwrite_tests"
    for hint, mode, shown in ((showing, "run_tests", ten), (showing, "gt_only", ()), (silent, "run_tests", ())):
        task = Task(problem, mode, hint)
        text = prompt_messages(problem, mode, hint)[1]["content"]
        assert task.prompt.chat() == task.chat() == prompt_messages(problem, mode, hint)
        assert task.prompt.asserts == shown and all((line in text) is bool(shown) for line in ten)


def test_the_loop_asks_and_judges_what_a_rollout_hook_has_chosen_and_refuses_a_text_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def chosen(step: Step, prompts: list[Prompt]) -> list[Prompt]:
        return [dataclasses.replace(step.data.train[0], mode="gt_only") for _ in prompts]

    monkeypatch.setitem(ARMS, "vanilla", Arm(rollout=chosen))
    run = in_process.planned(tmp_path / "chosen", "vanilla", steps=1)
    assert in_process.attempt(run) is not None
    assert {(row["mode"], row["passed"]) for row in run.rollouts()} == {("gt_only", False)}
    assert len({row["problem_id"] for row in run.rollouts()}) == 1

    def own(step: Step, prompts: list[Prompt]) -> list[Prompt]:
        return [dataclasses.replace(p, messages=p.messages[::-1]) for p in prompts]

    monkeypatch.setitem(ARMS, "vanilla", Arm(rollout=own))
    with pytest.raises(ValueError, match="no such prompt is trained on; a rollout hook may choose among"):
        in_process.attempt(in_process.planned(tmp_path / "own", "vanilla", steps=1))
