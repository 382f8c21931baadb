"""TDGA's directions, its gradient and its warm-up against numbers worked out by hand."""

from pathlib import Path

import pytest
import torch

from core.arms import tdga
from core.arms.tdga import TrustedDirections
from core.environment.problems import PHRASE
from support import in_process, small_policy

MODULE = "model.layers.0.mlp.up_proj"
B = "base_model.model.model.layers.0.mlp.up_proj.lora_B.default.weight"


def test_weights_are_the_kept_singular_values_over_their_sum() -> None:
    # dW = B A = diag(0, 6, 3, 1) but for A's third axis, which is turned: left vectors e1, e2, e3, sigma = 6, 3, 1.
    B = torch.tensor([[0.0, 0, 0], [6, 0, 0], [0, 3, 0], [0, 0, 1]])
    A = torch.tensor([[1.0, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 0.6, 0.8]])
    two = tdga.trusted_directions(B, A, 2)
    assert two.a.tolist() == pytest.approx([6 / 9, 3 / 9])
    assert two.U.abs().T.tolist() == [pytest.approx([0, 1, 0, 0], abs=1e-6), pytest.approx([0, 0, 1, 0], abs=1e-6)]
    assert tdga.trusted_directions(B, A, 1).a.tolist() == [1.0]
    assert tdga.trusted_directions(B, A, 9).a.tolist() == pytest.approx([0.6, 0.3, 0.1])  # K is cut at the rank


def test_singular_values_are_those_of_the_product_not_of_the_factors() -> None:
    B = torch.tensor([[1.0, 0], [0, 1], [0, 0]])
    A = torch.tensor([[1.0, 0, 0], [0, 4, 0]])  # dW = diag(1, 4): the second output comes first
    found = tdga.trusted_directions(B, A, 2)
    assert found.a.tolist() == pytest.approx([0.8, 0.2])
    assert found.U[:, 0].abs().tolist() == pytest.approx([0, 1, 0], abs=1e-6)


def test_an_update_of_lower_rank_gives_fewer_directions_and_none_where_it_is_zero() -> None:
    A = torch.tensor([[1.0, 2, 3], [0, 1, 0]])
    assert len(tdga.trusted_directions(torch.tensor([[1.0, 0], [1, 0], [0, 0]]), A, 2).a) == 1
    assert len(tdga.trusted_directions(torch.zeros(3, 2), A, 2).a) == 0


def test_gradient_by_hand() -> None:
    # u1 = (.6, .8, 0), u2 = (0, 0, 1), a = (.75, .25); columns of g: (5, 0, 4) and (4, -3, -8).
    trusted = TrustedDirections(torch.tensor([[0.6, 0], [0.8, 0], [0, 1]]), torch.tensor([0.75, 0.25]))
    g = torch.tensor([[5.0, 4], [0, -3], [4, -8]])
    # <u1, column> = 3 and 0; <u2, column> = 4 and -8
    kept = tdga.aligned(g, trusted)
    assert kept[:, 0].tolist() == pytest.approx([0.75 * 3 * 0.6, 0.75 * 3 * 0.8, 0.25 * 4])
    assert kept[:, 1].tolist() == pytest.approx([0, 0, 0.25 * -8], abs=1e-6)


def test_only_the_output_side_is_touched_and_the_column_tells_how_much_is_left() -> None:
    policy = small_policy.policy(small_policy.config("smoke", adapter="lora", lora_r=2))
    step = small_policy.step(policy)
    parameters = policy.adapter.parameters
    for parameter in parameters.values():
        parameter.grad = torch.zeros_like(parameter)
    for name in policy.adapter.modules:
        d_out = policy.adapter.modules[name].out_features
        step.state |= {f"U/{name}": torch.eye(d_out)[:, :1], f"a/{name}": torch.ones(1)}
    parameters[B].grad[0, 0], parameters[B].grad[1, 0] = 3.0, 4.0
    A = B.replace("lora_B", "lora_A")
    parameters[A].grad += 1.0
    tdga.align(step)
    assert parameters[B].grad[:2].tolist() == [[3.0, 0.0], [0.0, 0.0]]
    assert bool((parameters[A].grad == 1).all())
    assert step.row["factor"] == pytest.approx(0.6)
    for parameter in parameters.values():
        parameter.grad = torch.zeros_like(parameter)
    tdga.align(step)
    assert step.row["factor"] is None


@pytest.mark.parametrize("adapter", ["lora", "lora_frozen_a"])
def test_warm_up_leaves_every_number_as_it_was_and_trusts_what_it_moved(adapter: str) -> None:
    policy = small_policy.policy(small_policy.config("smoke", adapter=adapter, lora_r=8, tdga_warmup=3, tdga_k=2))
    before = {name: t.clone() for name, t in policy.adapter.state().items()}
    state = tdga.TDGA.prepare(small_policy.step(policy, sees_solutions=True))
    after = policy.adapter.state()
    assert all(torch.equal(after[name], t) for name, t in before.items())
    assert all(p.grad is None for p in policy.adapter.parameters.values())
    assert len(state) == 2 * len(policy.adapter.modules)
    for name, module in policy.adapter.modules.items():
        U, a = state[f"U/{name}"], state[f"a/{name}"]
        assert U.shape == (module.out_features, 2) and a[0] > a[1] > 0
        torch.testing.assert_close(U.T @ U, torch.eye(2), atol=1e-5, rtol=0)
        assert float(a.sum()) == pytest.approx(1)


def test_one_clean_step_trusts_where_adam_took_the_weight() -> None:
    """B starts at 0, so one AdamW step leaves dW = -s lr sign(gB) A to first order: its left vectors are U."""
    policy = small_policy.policy(small_policy.config("smoke", adapter="lora_frozen_a", lora_r=4, tdga_warmup=1))
    step = small_policy.step(policy, sees_solutions=True)
    found = tdga.nll_gradient(policy, tdga.clean_sides(step, 1), policy.adapter.parameters)
    A = policy.adapter.frozen[B.replace("lora_B", "lora_A")]
    g = found.gradient[B]
    S = torch.linalg.svd((g / (g.abs() + 1e-8)) @ A)
    state = tdga.prepare(step)
    overlap = (S.U[:, :4].T @ state[f"U/{MODULE}"]).abs()
    torch.testing.assert_close(overlap, torch.eye(4), atol=1e-3, rtol=0)
    torch.testing.assert_close(state[f"a/{MODULE}"], S.S[:4] / S.S[:4].sum(), atol=1e-4, rtol=1e-4)


def test_clean_sides_are_canonical_solutions_without_a_hint_drawn_by_seed_and_step() -> None:
    policy = small_policy.policy(small_policy.config("smoke", adapter="lora"))
    step = small_policy.step(policy, sees_solutions=True)
    solutions = {t.problem_id: t.problem.canonical_solution for t in small_policy.data(policy).train}
    sides = tdga.clean_sides(step, 1)
    assert len(sides) == 2  # 8 rollouts, 4 per prompt
    for prompt, text in sides:
        assert solutions[prompt.problem_id].strip() in text and text.startswith("```python\n")
        assert PHRASE in policy.text(policy.prompt(prompt))
    assert sides == tdga.clean_sides(step, 1) != tdga.clean_sides(step, 2)


def test_a_run_logs_how_much_it_lets_through(tmp_path: Path) -> None:
    run = in_process.planned(tmp_path, "tdga")
    assert in_process.attempt(run) is not None
    factors = [row["factor"] for row in run.metrics() if row["factor"] is not None]
    assert factors and all(0 < f < 1 for f in factors)
