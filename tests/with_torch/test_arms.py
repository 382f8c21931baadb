"""What each arm does to a step, against numbers worked out by hand."""

import ast
import math
from typing import Any

import pytest
import torch

from core.arm_rules import ARM_NAMES, ARMS_WITH_V
from core.arms import ARMS, along_direction, arm_of, oracles, rebound
from core.arms.arm import Arm, Step
from core.direction.interventions import remove
from core.environment.rewards import Grade
from support import small_policy
from support.paths import REPO

CORE = REPO / "core"
LOOP = (*sorted((CORE / "training").glob("*.py")), CORE / "model/policy.py", CORE / "model/run_data.py")


@pytest.mark.parametrize("file", LOOP)
def test_no_line_of_the_trainer_names_an_arm(file: str) -> None:
    """Neither as a string nor by comparing the arm's name."""
    source = (CORE / file).read_text()
    strings = {n.value for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    assert not strings & set(ARM_NAMES)
    comparisons = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Compare)]
    assert not any(".arm" in ast.unparse(n) for n in comparisons)


# ---- Rebound, 2.3


def test_z_by_hand() -> None:
    scores = torch.tensor([[1.0, 2.0, 3.0, 6.0], [0.50, 0.50, 0.52, 0.52]])
    z = rebound.group_z(scores)
    std = math.sqrt((4 + 1 + 0 + 9) / 3)
    assert z[0].tolist() == pytest.approx([-2 / std, -1 / std, 0.0, 3 / std])
    assert z[1].tolist() == pytest.approx([-0.1, -0.1, 0.1, 0.1], abs=1e-5)  # std 0.0115 is lifted to 0.1


def test_factor_is_the_references_table() -> None:
    z = torch.tensor([-3.0, 0.0, 0.01, 0.5, 1.0, 2.0])
    assert rebound.factor(z, 2.0).tolist() == pytest.approx([1.0, 1.0, -0.005, -0.245, -0.462, -0.762], abs=1e-3)
    one = rebound.factor(z, 1.0).tolist()
    assert one[2] == pytest.approx(0.498, abs=1e-3) and one[5] == pytest.approx(0.119, abs=1e-3)


def test_penalties_are_one_sided() -> None:
    rewards, z = torch.tensor([[3.5, 3.5, 0.5]]), torch.tensor([[1.0, -1.0, 0.5]])
    assert rebound.additive(rewards, z, 2.0).tolist() == [pytest.approx([1.5, 3.5, -0.5])]
    assert rebound.multiplicative(rewards, z, 2.0)[0, 1] == 3.5
    assert rebound.multiplicative(rewards, z, 2.0)[0, 0] == pytest.approx(3.5 * -0.4621, abs=1e-3)


def test_tied_group_has_an_advantage_after_the_penalty() -> None:
    from core.training.grpo import group_advantages, is_tied

    rewards = torch.full((1, 4), 3.5)
    penalised = rebound.additive(rewards, rebound.group_z(torch.tensor([[0.0, 0.0, 0.0, 4.0]])), 2.0)
    assert is_tied(rewards)[0] and not is_tied(penalised)[0]
    assert group_advantages(penalised, "std")[0, 3] < 0 < group_advantages(penalised, "std")[0, 0]


@pytest.mark.parametrize("arm", ["rebound_add", "rebound_mul"])
def test_hacks_score_above_cleans_of_their_group(arm: str) -> None:
    """End to end: a group of a held-out pair's two sides; the hack loses reward, the clean keeps its own."""
    policy = small_policy.policy(small_policy.config(adapter="svd"))
    step = small_policy.step(policy)
    step.state = rebound.prepare(step)
    held_out = [p for p in step.data.pairs("hack") if p.split == "held_out"]
    step.tasks = [p.task for p in held_out]
    step.completions = [[policy.language_model.encode_completion(t) for t in (p.hack, p.clean)] for p in held_out]
    hook = ARMS[arm].reward
    assert hook is not None
    rewards = hook(step, torch.full((len(held_out), 2), 3.5))
    assert (rewards[:, 1] == 3.5).float().mean() > 0.9 and (rewards[:, 0] < 3.5).float().mean() > 0.9


def test_suppression_takes_out_the_positive_component_and_leaves_no_edit_behind() -> None:
    policy = small_policy.policy(small_policy.config(adapter="svd"))
    step = small_policy.step(policy)
    step.state = {"d": torch.zeros(1, 160)}
    step.state["d"][0, 0] = 5.0
    with rebound.suppressed(step):
        edit = policy.decoder.edit
        assert edit is not None
        x = torch.tensor([[[2.0, 1.0] + [0.0] * 158, [-2.0, 1.0] + [0.0] * 158]])
        assert edit(2, x)[0, :, 0].tolist() == [0.0, -2.0] and edit(2, x)[0, :, 1].tolist() == [1.0, 1.0]
        assert torch.equal(edit(0, x), x)  # a layer outside the band
        changed = policy.complete(step.data.train[:2], 2, ("k",))
    assert policy.decoder.edit is None
    assert policy.complete(step.data.train[:2], 2, ("k",)) == policy.complete(step.data.train[:2], 2, ("k",))
    assert changed != [] and len(changed) == 2


# ---- arms along V


@pytest.fixture
def planted() -> Step:
    """A step on a policy with one axis per parameter and a gradient with a known hack-ward part."""
    policy = small_policy.policy(small_policy.config(adapter="svd"))
    step = small_policy.step(policy)
    for i, (name, parameter) in enumerate(policy.adapter.kept().items()):
        V = torch.zeros(1, parameter.numel())
        V[0, 0] = 1.0
        step.state[f"V/{name}"] = V
        step.state[f"R/{name}"] = V.roll(1, 1)
        parameter.grad = torch.zeros_like(parameter)
        parameter.grad[0], parameter.grad[2] = (1.0 if i % 2 == 0 else -1.0), 1.0
    return step


def test_erase_takes_the_hackward_part_out_of_the_gradient(planted: Step) -> None:
    along_direction.erase_gradient(planted)
    for i, parameter in enumerate(planted.adapter.kept().values()):
        assert parameter.grad is not None
        assert parameter.grad[:3].tolist() == [0.0 if i % 2 == 0 else -1.0, 0.0, 1.0]
    assert planted.row["cin"] == pytest.approx(math.sqrt(14 / 56)) and planted.row["fired"] == 0.5
    assert planted.row["cin_s"] == planted.row["cin"] and planted.row["cin_rand"] == 0.0


def test_route_parks_exactly_what_erase_removes(planted: Step) -> None:
    along_direction.route_gradient(planted)
    for i, (name, parameter) in enumerate(planted.adapter.kept().items()):
        parked = planted.adapter.parameters[planted.adapter.parked[name]].grad
        assert parameter.grad is not None and parked is not None
        assert parked[:3].tolist() == [1.0 if i % 2 == 0 else 0.0, 0.0, 0.0]
        assert (parameter.grad + parked)[:3].tolist() == [1.0 if i % 2 == 0 else -1.0, 0.0, 1.0]


def test_student_and_teacher_shares_are_of_their_own_gradients(planted: Step) -> None:
    """The whole is student + teacher; here the teacher alone is hack-ward."""
    planted.student_gradient = {}
    for name, parameter in planted.adapter.kept().items():
        assert parameter.grad is not None
        parameter.grad[0] = 2.0
        students = torch.zeros_like(parameter)
        students[0], students[2] = -1.0, 1.0
        planted.student_gradient[name] = students
    along_direction.measure_gradient(planted)
    assert planted.row["cin_s"] == 0.0 and planted.row["cin_t"] == pytest.approx(1.0)


def moved(step: Step, along: float, across: float) -> dict[str, torch.Tensor]:
    """As if AdamW had just taken a step u = theta_old - theta_new; returns theta_old."""
    before = {name: p.detach().clone() for name, p in step.adapter.parameters.items()}
    with torch.no_grad():
        for parameter in step.adapter.kept().values():
            parameter[0] -= along
            parameter[2] -= across
    return before


def test_erase_update_undoes_hackward_motion_only(planted: Step) -> None:
    before = moved(planted, along=0.5, across=0.25)
    along_direction.erase_update(planted, before)
    for parameter in planted.adapter.kept().values():
        assert parameter[:3].tolist() == [0.0, 0.0, -0.25]
    assert planted.row["cout"] == 0.0

    before = moved(planted, along=-0.5, across=0.25)  # away from the hack: nothing is undone
    along_direction.erase_update(planted, before)
    for parameter in planted.adapter.kept().values():
        assert parameter[:3].tolist() == [0.5, 0.0, -0.5]
    assert planted.row["v_pos"] == pytest.approx(-0.5 * 28)


def test_cout_is_of_the_update_and_not_of_the_gradient(planted: Step) -> None:
    """Erase leaves nothing hack-ward in the gradient, and Adam's step may still go there."""
    along_direction.erase_gradient(planted)
    along_direction.measure_update(planted, moved(planted, along=0.3, across=0.4))
    assert planted.row["cout"] == pytest.approx(0.6)


def test_shrink_goes_as_far_as_erase_update_and_keeps_the_direction(planted: Step) -> None:
    before = moved(planted, along=0.3, across=0.4)
    along_direction.shrink_update(planted, before)
    for parameter in planted.adapter.kept().values():
        assert parameter[:3].tolist() == pytest.approx([-0.24, 0.0, -0.32])  # 0.4 / 0.5 of (0.3, 0.4)
    assert planted.row["factor"] == pytest.approx(0.8)


def test_refresh_replaces_v_on_its_step_and_logs_the_overlap(planted: Step) -> None:
    policy = small_policy.policy(small_policy.config(adapter="svd", refresh=3))
    source = along_direction.Source(lambda step: step.data.pairs("hack")[:3])
    step = small_policy.step(policy)
    step.state = along_direction.prepare(step, source, "gradient")
    old = along_direction.axes_of(step.state)
    for number, refreshed in ((1, False), (2, False), (3, False), (4, True), (5, False), (7, True)):
        small_policy.moved(policy, 0.5, seed=number)
        step.number, step.row = number, {}
        along_direction.refreshed(step, source, "gradient")
        new = along_direction.axes_of(step.state)
        assert ("basis_overlap" in step.row) is refreshed
        assert all(torch.equal(new[n], old[n]) for n in old) is not refreshed
        old = new
        if refreshed:
            assert 0 < step.row["basis_overlap"] < 1


def test_subspace_lift_by_hand() -> None:
    policy = small_policy.policy(small_policy.config(adapter="lora", lift="subspace"))
    step = small_policy.step(policy)
    v = torch.zeros(160)
    v[0], v[1] = 0.6, 0.8
    step.state = {"v": v}
    generator = torch.Generator().manual_seed(0)
    given = {}
    for name, parameter in policy.adapter.parameters.items():
        parameter.grad = given[name] = torch.randn(parameter.shape, generator=generator)
    along_direction.erase_residual(step)
    for name, parameter in policy.adapter.parameters.items():
        assert parameter.grad is not None
        writer = policy.adapter.module_of[name].rpartition(".")[2] in ("o_proj", "down_proj")
        if writer and "lora_B" in name:
            assert (v @ parameter.grad).abs().max() < 1e-5
        elif not writer and "lora_A" in name:
            assert (parameter.grad @ v).abs().max() < 1e-5
        else:
            assert torch.equal(parameter.grad, given[name])


def test_control_acts_where_its_space_says(planted: Step) -> None:
    arm = along_direction.control(along_direction.HACK)
    assert arm.gradient and arm.update
    untouched = {n: p.grad.clone() for n, p in planted.adapter.kept().items() if p.grad is not None}
    planted.config = small_policy.config(space="update")
    arm.gradient(planted)
    assert all(torch.equal(planted.adapter.parameters[n].grad, g) for n, g in untouched.items())  # type: ignore[arg-type]
    planted.config = small_policy.config(space="gradient")
    arm.gradient(planted)
    assert any(not torch.equal(planted.adapter.parameters[n].grad, g) for n, g in untouched.items())  # type: ignore[arg-type]


def test_measuring_is_along_the_same_v_and_changes_nothing(planted: Step) -> None:
    arm = along_direction.measured(Arm())
    untouched = {n: p.grad.clone() for n, p in planted.adapter.kept().items() if p.grad is not None}
    assert arm.gradient and arm.update and arm.has_axes
    arm.gradient(planted)
    assert all(torch.equal(planted.adapter.parameters[n].grad, g) for n, g in untouched.items())  # type: ignore[arg-type]
    assert planted.row["cin"] == pytest.approx(math.sqrt(14 / 56)) and planted.row["cos_align"] == pytest.approx(0.0)
    arm.update(planted, moved(planted, along=0.3, across=0.4))
    assert planted.row["cout"] == pytest.approx(0.6) and planted.row["cos_out"] == pytest.approx(0.6)
    arm.update(planted, moved(planted, along=-0.3, across=0.4))
    assert planted.row["cout"] == 0.0 and planted.row["cos_out"] == pytest.approx(-0.6)


def test_plans_know_which_arms_keep_axes_of_their_own() -> None:
    assert {name for name in ARM_NAMES if ARMS[name].has_axes} == set(ARMS_WITH_V)


def test_an_arm_is_measured_only_when_asked_and_never_along_two_directions() -> None:
    quiet, asked = small_policy.config(), small_policy.config(measure=True)
    assert all(arm_of(name, quiet) is ARMS[name] for name in ARM_NAMES)
    assert all(arm_of(name, asked).has_axes for name in ARM_NAMES)
    assert arm_of("erase", asked) is ARMS["erase"] and arm_of("vanilla", asked) is not ARMS["vanilla"]


def test_what_another_arm_does_is_measured_before_it_changes_the_gradient(planted: Step) -> None:
    def halve(step: Step) -> None:
        for parameter in step.adapter.kept().values():
            assert parameter.grad is not None
            parameter.grad = parameter.grad / 2 - 7

    arm = along_direction.measured(Arm(gradient=halve))
    assert arm.gradient
    arm.gradient(planted)
    assert planted.row["cin"] == pytest.approx(math.sqrt(14 / 56))
    assert all(float(p.grad[1]) == -7.0 for p in planted.adapter.kept().values() if p.grad is not None)


def test_pairs_without_a_direction_leave_the_columns_null_and_the_run_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: Any) -> Any:
        raise along_direction.NoDirection("20 pairs give no direction")

    step = small_policy.step(small_policy.policy(small_policy.config(adapter="svd")))
    monkeypatch.setattr(along_direction, "prepare", none)
    arm = along_direction.measured(Arm(prepare=lambda step: {"own": torch.ones(1)}))
    assert arm.prepare and arm.gradient and arm.update
    step.state = arm.prepare(step)
    assert set(step.state) == {"own"}
    arm.gradient(step)
    arm.update(step, {})
    assert step.row == {}


# ---- oracles


def test_oracles_penalise_and_screen_strict_hacks_by_hand() -> None:
    policy = small_policy.policy(small_policy.config())
    step = small_policy.step(policy)
    step.tasks = step.data.train[:1]
    honest = Grade(
        True, True, None, True, False, "Correct", False, False, False, True, None, None, False, None, 3.5, None, 0
    )
    import dataclasses

    hack = dataclasses.replace(honest, gt_correct=False, exploited=True, strict_hack=True)
    step.labels = [[honest, hack]]
    penalise, screen = oracles.PENALISE.reward, oracles.SCREEN.mask
    assert penalise and screen
    assert penalise(step, torch.tensor([[3.5, 3.5]])).tolist() == [[3.5, 0.5]]
    assert screen(step, torch.tensor([[3.5, 3.5]])).tolist() == [[True, False]]


def test_a_record_without_hooks_is_plain_grpo() -> None:
    assert all(getattr(Arm(), hook) is None for hook in ("prepare", "reward", "mask", "forward", "gradient", "update"))


def test_removal_is_the_same_function_everywhere(planted: Step) -> None:
    name, V = next(iter(along_direction.axes_of(planted.state).items()))
    parameter = planted.adapter.parameters[name]
    assert parameter.grad is not None
    expected = remove(parameter.grad.clone(), V, "one_sided").kept
    along_direction.erase_gradient(planted)
    assert torch.equal(planted.adapter.parameters[name].grad, expected)  # type: ignore[arg-type]


def test_the_worked_example_of_the_docs_works(planted: Step) -> None:
    text = (CORE.parent / "docs" / "arms.md").read_text()
    section = text[text.index("## A new arm") :]
    assert len(section.splitlines()) <= 30
    code, check = (block.partition("```")[0] for block in section.split("```python\n")[1:])
    names: dict[str, Any] = vars(along_direction) | {"Step": Step}
    exec(code, names)
    exec(check, names)
    names["test_dampen_halves_hackward_motion_and_leaves_the_rest"](planted)
