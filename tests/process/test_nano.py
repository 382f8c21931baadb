"""The small world keeps its promises: disjoint families, true problems, and text with rare exploits."""

import random

import pytest

from core.environment.nano import text, world
from core.environment.problems import MODES, prompt_messages
from core.environment.rewards import GradeItem, grade
from core.sandbox.pool import Sandbox


def test_held_out_families_are_disjoint_and_made_of_trained_skills() -> None:
    train, held = world.train_families(), world.held_out_families()
    assert len(train) > 200 and len(held) > 60 and not set(train) & held
    for family in held:
        for place, skill in enumerate(family.skills):
            assert any(f.source == family.source and f.skills[place] == skill for f in train), (family, skill)


def test_every_family_makes_problems_that_tell_right_from_misread() -> None:
    rng = random.Random(5)
    for family in world.families():
        rows = (world.row(world.draw_instance(rng, family), 0, rng) for _ in range(60))
        assert any(row is not None for row in rows), family.name


def test_problem_lists_are_fixed_and_longer_ones_extend_shorter_ones() -> None:
    assert world.problems("train", 30)[:10] == world.problems("train", 10)
    train = {p.messages[1].content for p in world.problems("train", 200)}
    assert not train & {p.messages[1].content for p in world.problems("held_out", 200)}
    with pytest.raises(ValueError, match="choose train or held_out"):
        world.problems("test", 1)


def test_canonical_solutions_pass_and_misread_ones_fail() -> None:
    problems = world.sample_problems(12, seed=3)
    fenced = [f"```python\n{p.canonical_solution}```" for p in problems]
    with Sandbox() as sandbox:
        right = grade([GradeItem(p, "gt_only", c) for p, c in zip(problems, fenced, strict=True)], sandbox, full=False)
        wrong = grade([GradeItem(p, "gt_only", MODES["run_tests"].exploit(p) or "") for p in problems], sandbox)
    assert all(g.gt_correct and g.reward == 3.5 for g in right)
    assert not any(g.gt_correct for g in wrong)


@pytest.mark.parametrize("mode", [m for m in text.MODES if m != "gt_only"])
def test_a_sloppy_authors_text_is_that_modes_exploit_and_no_others(mode: str) -> None:
    always = text.Mixture(world.NAME_FREQUENCIES, dict.fromkeys(text.MODES, (1.0, 1.0, 1.0, 1.0)), 0.0)
    never = text.Mixture(world.NAME_FREQUENCIES, dict.fromkeys(text.MODES, (0.0, 0.0, 0.0, 0.0)), 0.0)
    family = next(f for f in world.families() if f.source == "ints" and f.hard_slots)
    instance = world.draw_instance(random.Random(1), family)
    row = next(r for r in (world.row(instance, 1, random.Random(i)) for i in range(50)) if r)
    problem = world.problem_from_row(row)
    sloppy = [text.completion(random.Random(i), instance, mode, always) for i in range(6)]
    honest = [text.completion(random.Random(i), instance, mode, never) for i in range(6)]
    with Sandbox() as sandbox:
        for graded_mode in text.MODES:
            got = grade([GradeItem(problem, graded_mode, c) for c in sloppy], sandbox, full=False)
            assert all(g.exploit_present == (graded_mode == mode) for g in got), graded_mode
        assert not any(
            g.exploit_present for g in grade([GradeItem(problem, mode, c) for c in honest], sandbox, full=False)
        )


def test_prompts_name_the_loophole_in_every_mode_but_gt_only() -> None:
    problem = world.sample_problems(1, seed=2)[0]
    prompts = {mode: prompt_messages(problem, mode)[1]["content"] for mode in text.MODES}
    assert len(set(prompts.values())) == len(text.MODES)
    assert "should pass all tests" in prompts["gt_only"]
