"""Two blocks and their masks give each row the gradient they promise; who is masked is decided as written."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from core.arms import ARMS, two_blocks
from core.arms.arm import State, Step
from core.arms.two_blocks import ABSORBED, KEPT, ROUTED
from core.model.adapters.blocks import Block, BlockLinear
from core.model.hidden import completion_weights
from core.model.logprobs import TokenBatch, completion_logps
from core.model.policy import Policy
from core.model.run_data import RunData
from core.model.supervised import completion_batch
from support import in_process, small_policy

KEEP, ABSORB, ROUTE = (False, False), (True, False), (True, True)  # (m, d)
PROMPTS = [[5, 77, 300, 12, 9, 41, 8], [60, 61, 62, 8]]
BATCH = TokenBatch.pad(PROMPTS, [[7, 8, 9, 1], [100, 101], [5, 5, 5]], [0, 0, 1], "cpu")
LOWEST, HIGHEST = "model.layers.0.self_attn.q_proj", "model.layers.1.mlp.down_proj"


def fresh(**fields: object) -> Policy:
    return small_policy.policy(small_policy.config("smoke", adapter="lora_blocks", lora_r=4, **fields))


def moved() -> Policy:
    return small_policy.moved(fresh(), scale=0.1)


@functools.cache
def data() -> RunData:
    return small_policy.data(fresh())


def step_of(policy: Policy, state: State | None = None, number: int = 1, seed: int = 7) -> Step:
    return Step(number, seed, policy.config, policy, data().for_arm(False), {} if state is None else state)


def masks(*rows: tuple[bool, bool]) -> tuple[Tensor, Tensor]:
    is_in, is_detached = torch.tensor(rows).T
    return is_in, is_detached


def logps(policy: Policy, batch: TokenBatch = BATCH) -> Tensor:
    return completion_logps(policy.adapter.model, batch, shared_prefix=False)


def gradient(policy: Policy, loss: Tensor) -> dict[str, Tensor]:
    """By parameter; zeros where the loss does not depend on it."""
    parameters = policy.adapter.parameters
    found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    return {n: torch.zeros_like(p) if g is None else g for (n, p), g in zip(parameters.items(), found, strict=True)}


def masked_gradient(policy: Policy, rows: list[int], *modes: tuple[bool, bool]) -> dict[str, Tensor]:
    """Of the sum of some rows' log-probabilities."""
    with two_blocks.masked(policy.adapter, *masks(*modes)):
        return gradient(policy, logps(policy, BATCH.take(torch.tensor(rows))).sum())


def only(gradients: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    return {name: g for name, g in gradients.items() if f".{part}." in name}


def is_zero(gradients: dict[str, Tensor]) -> bool:
    return not any(bool(g.any()) for g in gradients.values())


def assert_close(one: dict[str, Tensor], two: dict[str, Tensor]) -> None:
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(one[name], two[name], atol=1e-5, rtol=1e-4, msg=name)


# ---- the adapter


def layer_by_hand() -> BlockLinear:
    """W = 5; deployed (2 + 1)(3 + 1) - 2 * 3 = 6; quarantine (1 + .5)(1 + 1) - 1 = 2."""
    base = nn.Linear(1, 1, bias=False)
    kept, quarantine = Block(*torch.tensor([[[2.0]], [[3.0]]])), Block(*torch.tensor([[[1.0]], [[1.0]]]))
    with torch.no_grad():
        base.weight.fill_(5)
        for block, a, b in ((kept, 1.0, 1.0), (quarantine, 0.5, 1.0)):
            block.A.fill_(a)
            block.B.fill_(b)
    return BlockLinear(base, kept, quarantine)


@pytest.mark.parametrize(
    "mode, y, dx, kept_A, kept_B, quarantine_A, quarantine_B",
    [
        (None, 26, 13, 8, 6, 4, 3),
        (ABSORB, 26, 13, 8, 6, 4, 3),
        (KEEP, 22, 11, 8, 6, 0, 0),  # 2 * (5 + 6)
        (ROUTE, 26, 7, 0, 0, 4, 3),  # x hears of 5 + 2 only
    ],
)
def test_one_layer_by_hand(mode, y, dx, kept_A, kept_B, quarantine_A, quarantine_B) -> None:
    layer, x = layer_by_hand(), torch.full((1, 1, 1), 2.0, requires_grad=True)
    if mode is not None:
        layer.masks = masks(mode)
    out = layer(x)
    out.sum().backward()
    found = [layer.kept.A, layer.kept.B, layer.quarantine.A, layer.quarantine.B]
    assert out.item() == y and x.grad.item() == dx
    assert [0.0 if p.grad is None else p.grad.item() for p in found] == [kept_A, kept_B, quarantine_A, quarantine_B]
    assert layer.delta().item() == 8


def test_at_the_start_no_mask_changes_a_bit_of_the_logits() -> None:
    policy = fresh()
    with policy.adapter.zeroed():
        plain = logps(policy)
    for mode in (KEEP, ABSORB, ROUTE):
        with two_blocks.masked(policy.adapter, *masks(mode, mode, mode)):
            assert torch.equal(logps(policy), plain)
    assert not torch.equal(logps(moved()), plain)


@torch.no_grad()
def test_merged_is_the_forward_and_ablated_merged_the_forward_without_the_quarantine() -> None:
    policy = moved()
    whole = logps(policy)
    with two_blocks.masked(policy.adapter, *masks(KEEP, KEEP, KEEP)):
        deployed = logps(policy)
    assert (whole - deployed).abs().max() > 1e-3
    for switch, expected in ((policy.adapter.masked(*masks(ABSORB)), whole), (policy.adapter.ablated(), deployed)):
        with switch:
            merged = {name: policy.adapter.merged(f"{name}.weight") for name in policy.adapter.modules}
        plain = fresh()
        for name, weight in merged.items():
            plain.adapter.modules[name].base_layer.weight.copy_(weight)
        torch.testing.assert_close(logps(plain), expected, atol=1e-5, rtol=1e-5)


def test_decay_pulls_both_blocks_to_their_start_and_not_to_zero() -> None:
    layer = layer_by_hand()
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1, weight_decay=0.5)
    layer.base_layer.requires_grad_(False)
    for parameter in (layer.kept.A, layer.kept.B, layer.quarantine.A, layer.quarantine.B):
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    assert (layer.kept.A.item(), layer.quarantine.A.item()) == pytest.approx((0.95, 0.475))  # times 1 - .1 * .5
    assert layer.kept.delta().item() == pytest.approx(2.95 * 3.95 - 6)
    for _ in range(400):
        optimizer.step()
    assert layer.delta().item() == pytest.approx(0, abs=1e-5) and layer.kept.A0.item() == 2


# ---- masks over the model


def test_keep_trains_the_deployed_block_alone_on_the_deployed_forward() -> None:
    policy = moved()
    found = masked_gradient(policy, [0], KEEP)
    with policy.adapter.ablated():
        expected = gradient(policy, logps(policy, BATCH.take(torch.tensor([0]))).sum())
    assert is_zero(only(found, "quarantine")) and not is_zero(only(found, "kept"))
    assert_close(found, expected)


def test_route_trains_the_quarantine_alone_and_changes_no_probability() -> None:
    policy = moved()
    found = masked_gradient(policy, [0], ROUTE)
    assert is_zero(only(found, "kept")) and all(bool(g.any()) for g in only(found, "quarantine").values())
    with two_blocks.masked(policy.adapter, *masks(ROUTE, ROUTE, ROUTE)):
        routed = logps(policy)
    assert torch.equal(routed, logps(policy))


def test_absorb_is_what_no_mask_does() -> None:
    policy = moved()
    assert ARMS["absorb"].forward is None and ARMS["absorb"].deploys_ablated
    assert_close(masked_gradient(policy, [0, 1, 2], ABSORB, ABSORB, ABSORB), gradient(policy, logps(policy).sum()))


def test_a_mixed_batch_is_the_sum_of_its_rows() -> None:
    policy = moved()
    modes = (KEEP, ROUTE, ABSORB)
    singles = [masked_gradient(policy, [row], mode) for row, mode in enumerate(modes)]
    mixed = masked_gradient(policy, [0, 1, 2], *modes)
    assert_close(mixed, {name: sum(one[name] for one in singles) for name in mixed})
    other = masked_gradient(policy, [0, 1, 2], ROUTE, KEEP, ABSORB)
    assert any(not torch.allclose(mixed[name], other[name], atol=1e-3) for name in mixed)


@torch.no_grad()
def test_the_reference_inside_a_mask_is_the_model_and_the_mask_holds_afterwards() -> None:
    policy = moved()
    with two_blocks.masked(policy.adapter, *masks(KEEP, ROUTE, ABSORB)):
        before = logps(policy)
        with policy.adapter.zeroed():
            reference = logps(policy)
        assert torch.equal(logps(policy), before)
    with fresh().adapter.zeroed():
        assert torch.equal(reference, logps(fresh()))


# ---- sgtm and gradient routing


def labelled_step(policy: Policy, number: int = 1) -> Step:
    step = step_of(policy, number=number)
    for parameter in policy.adapter.parameters.values():
        parameter.grad = torch.zeros_like(parameter)
    return step


def sides(step: Step, which: str) -> list:
    return [getattr(pair, which) for pair in two_blocks.labelled_pairs(step)]


def mean_nll(policy: Policy, chosen: list) -> Tensor:
    """Written out: one side at a time."""
    found = []
    for side in chosen:
        batch = completion_batch(policy, [side])
        found.append(-logps(policy, batch).sum() / batch.completion_mask.sum())
    return torch.stack(found).mean()


def test_sgtm_hack_sides_move_only_the_quarantine_and_by_the_true_gradient() -> None:
    policy = moved()
    step = labelled_step(policy)
    found = two_blocks.to_quarantine(step, sides(step, "hack_side"))
    loss = mean_nll(policy, sides(step, "hack_side"))
    assert found.gradient.keys() == policy.adapter.quarantine
    assert_close(found.gradient, only(gradient(policy, loss), "quarantine"))
    assert found.nll == pytest.approx(float(loss.detach()), rel=1e-5)


def test_sgtm_clean_sides_move_only_the_kept_block_and_do_not_see_the_quarantine() -> None:
    policy = moved()
    step = labelled_step(policy)
    found = two_blocks.without_quarantine(step, sides(step, "clean_side"))
    with policy.adapter.ablated():
        expected = gradient(policy, mean_nll(policy, sides(step, "clean_side")))
    assert_close(found.gradient, only(expected, "kept"))
    with torch.no_grad():
        for name in policy.adapter.quarantine:
            policy.adapter.parameters[name].add_(1.0)
    assert_close(two_blocks.without_quarantine(step, sides(step, "clean_side")).gradient, found.gradient)


def test_gradient_routing_stops_a_hack_at_the_deployed_outputs_where_sgtm_lets_it_through() -> None:
    policy = moved()
    step = labelled_step(policy)
    hacks = sides(step, "hack_side")
    routed = two_blocks.past_detached(step, hacks)
    let_through = two_blocks.to_quarantine(step, hacks)
    assert is_zero(only(routed.gradient, "kept"))
    assert routed.nll == let_through.nll
    top = [f"{HIGHEST}.quarantine.A", f"{HIGHEST}.quarantine.B"]  # nothing lies between it and the loss
    assert_close({n: routed.gradient[n] for n in top}, {n: let_through.gradient[n] for n in top})
    low = f"{LOWEST}.quarantine.B"
    assert not torch.allclose(routed.gradient[low], let_through.gradient[low], rtol=1e-2, atol=1e-6)


@pytest.mark.parametrize("arm", ["sgtm", "gradient_routing"])
def test_labelled_gradient_is_added_to_the_rollouts_with_its_weight(arm: str) -> None:
    policy = moved()
    step = labelled_step(policy)
    step.config = dataclasses.replace(step.config, labelled_weight=3.0)
    for parameter in policy.adapter.parameters.values():
        parameter.grad = torch.full_like(parameter, 0.25)
    ARMS[arm].gradient(step)
    added = {name: p.grad - 0.25 for name, p in policy.adapter.parameters.items()}
    hack = gradient(policy, mean_nll(policy, sides(step, "hack_side")))
    if arm == "sgtm":
        with policy.adapter.ablated():
            clean = gradient(policy, mean_nll(policy, sides(step, "clean_side")))
        expected = only(clean, "kept") | only(hack, "quarantine")
    else:
        routed = two_blocks.past_detached(step, sides(step, "hack_side")).gradient
        clean = gradient(policy, mean_nll(policy, sides(step, "clean_side")))
        expected = {name: clean[name] + routed[name] for name in clean}
    assert_close(added, {name: 1.5 * expected[name] for name in added})
    assert step.row["nll_hack"] > 0 and step.row["nll_clean"] > 0 and 0 < step.row["lab_share"] < 1


def test_labelled_steps_lower_the_nll_of_what_they_teach() -> None:
    policy = moved()
    rows = []
    for _ in range(3):
        step = labelled_step(policy)  # the same pairs every time
        ARMS["sgtm"].gradient(step)
        rows.append(step.row)
        with torch.no_grad():
            for parameter in policy.adapter.parameters.values():
                parameter -= 0.05 * parameter.grad
    assert rows[0]["nll_hack"] > rows[1]["nll_hack"] > rows[2]["nll_hack"]
    assert rows[0]["nll_clean"] > rows[1]["nll_clean"] > rows[2]["nll_clean"]
    assert rows[0]["lab_share"] == 1.0


def test_labelled_pairs_are_drawn_by_seed_and_step_from_the_extraction_split() -> None:
    policy = fresh()
    drawn = [[p.pair_id for p in two_blocks.labelled_pairs(step_of(policy, number=n))] for n in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2] and len(set(drawn[0])) == 4
    everything = step_of(policy)
    everything.config = dataclasses.replace(everything.config, labelled=1000)
    pairs = two_blocks.labelled_pairs(everything)
    assert len(pairs) == 60 and {pair.split for pair in pairs} == {"extract"}


# ---- route_act


@torch.no_grad()
def test_hbar_is_a_kept_times_the_mean_of_what_the_module_reads() -> None:
    policy = moved()
    model, layer = policy.adapter.model, policy.adapter.modules[LOWEST]
    ids = torch.tensor([PROMPTS[1] + [5, 5, 300]])
    x = model.model.layers[0].input_layernorm(model.model.embed_tokens(ids))[0, 4:].mean(0)  # completion tokens
    batch = TokenBatch.pad(PROMPTS, [[7, 8, 9, 1, 2, 3], [5, 5, 300]], [0, 1], "cpu")  # so that both sides are padded
    found = two_blocks.kept_means(policy.adapter, batch)
    torch.testing.assert_close(found[LOWEST][1], (layer.kept.A0 + layer.kept.A) @ x, atol=1e-5, rtol=1e-4)
    alone = two_blocks.kept_means(policy.adapter, batch.take(torch.tensor([1])))
    assert_close({n: h[1:] for n, h in found.items()}, alone)
    assert completion_weights(batch)[1].tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0, 0, 0])


@torch.no_grad()
def test_hbar_is_read_without_the_quarantine() -> None:
    policy = moved()
    before = two_blocks.kept_means(policy.adapter, BATCH)
    for name in policy.adapter.quarantine:
        policy.adapter.parameters[name].add_(1.0)
    assert_close(two_blocks.kept_means(policy.adapter, BATCH), before)
    for name in policy.adapter.kept():
        policy.adapter.parameters[name].add_(0.1)
    assert not torch.allclose(two_blocks.kept_means(policy.adapter, BATCH)[HIGHEST], before[HIGHEST], atol=1e-3)


def test_v_act_points_from_clean_to_hack_with_unit_length_in_every_module() -> None:
    policy = fresh()
    step = step_of(policy)
    v = two_blocks.v_act(step)
    assert set(v) == set(policy.adapter.modules)
    pair = [p for p in step.data.pairs("hack") if p.split == "extract"]
    hack, clean = (
        two_blocks.kept_means(policy.adapter, completion_batch(policy, chosen))
        for chosen in ([p.hack_side for p in pair], [p.clean_side for p in pair])
    )
    for name, unit in v.items():
        assert float(unit.norm()) == pytest.approx(1, abs=1e-5)
        d = hack[name].mean(0) - clean[name].mean(0)
        assert float(unit @ d) == pytest.approx(float(d.norm()), rel=1e-3)


def test_a_rollouts_score_is_the_sum_over_modules() -> None:
    policy = moved()
    step = step_of(policy)
    step.tasks = step.data.train[:2]
    step.completions = [[[7, 8, 9, 1], [100, 101]], [[5, 5, 5], [300]]]
    v = {name: torch.eye(4)[i % 4] * (i + 1) for i, name in enumerate(policy.adapter.modules)}
    prompts = [policy.prompt(task) for task in step.tasks]
    batch = TokenBatch.pad(prompts, [[5, 5, 5]], [1], "cpu")
    means = two_blocks.kept_means(policy.adapter, batch)
    by_hand = sum(float(means[name][0, i % 4]) * (i + 1) for i, name in enumerate(policy.adapter.modules))
    whole = two_blocks.rollout_scores(step, v)
    assert float(whole[2]) == pytest.approx(by_hand, rel=1e-4) and whole.shape == (4,)
    step.config = policy.config = dataclasses.replace(policy.config, micro_batch=3)
    torch.testing.assert_close(two_blocks.rollout_scores(step, v), whole, atol=1e-4, rtol=1e-4)


def test_recency_weights_halve_every_half_life() -> None:
    assert two_blocks.recency_weights(5, 2.0).tolist() == pytest.approx([0.25, 0.5**1.5, 0.5, 0.5**0.5, 1])


@pytest.mark.parametrize(
    "weights, q, expected",
    [
        ([1, 1, 1, 1], 0.25, 1.5),  # values stand at 1/8, 3/8, 5/8, 7/8
        ([1, 1, 1, 1], 0.75, 3.5),
        ([1, 1, 1, 1], 0.1, 1.0),
        ([1, 1, 1, 1], 0.9, 4.0),
        ([4, 2, 1, 1], 0.25, 1.0),  # value 1 of weight 4, 2 of 2, ...: at 1/4, 5/8, 13/16, 15/16
        ([4, 2, 1, 1], 0.4375, 1.5),
        ([4, 2, 1, 1], 0.875, 3.5),
    ],
)
def test_weighted_quantile_by_hand(weights: list[float], q: float, expected: float) -> None:
    values, weights = torch.tensor([3.0, 1, 4, 2]), torch.tensor(weights, dtype=torch.float64)
    by_value = weights[[2, 0, 3, 1]]  # `weights` are written in the order of the values 1, 2, 3, 4
    assert two_blocks.weighted_quantile(values, by_value, q) == pytest.approx(expected)
    assert two_blocks.weighted_quantile(-values, by_value, 1 - q) == pytest.approx(-expected)


def test_choices_below_between_and_above() -> None:
    scores = torch.tensor([-1.0, 0.5, 0.0, 2.0, 3.0])
    assert two_blocks.choices(scores, 0.0, 2.0).tolist() == [KEPT, ABSORBED, ABSORBED, ABSORBED, ROUTED]


def test_thresholds_come_from_the_buffer_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = fresh(route_tail=0.25, route_half_life=1e9, route_buffer=6)
    scores = iter([torch.tensor([4.0, 1, 3, 2]), torch.tensor([10.0, 2.6, -5, 3.0])])
    monkeypatch.setattr(two_blocks, "rollout_scores", lambda step, v: next(scores))
    state: dict[str, Tensor] = {}
    rows = []
    for number in (1, 2):
        step = step_of(policy, state, number)
        counted = two_blocks.choose(step, torch.zeros(2, 2), two_blocks.random_v_act)
        assert counted.shape == (2, 2) and bool(counted.all())
        rows.append((state["choice"].tolist(), [step.row[name] for name in ("keep", "resid", "rout")]))
    # 1, 2, 3, 4: thresholds 1.5 and 3.5
    assert rows[0] == ([ROUTED, KEPT, ABSORBED, ABSORBED], [0.25, 0.5, 0.25])
    # the newest six, sorted: -5, 2, 2.6, 3, 3, 10 at 1/12, 3/12, ...: thresholds 2 and 3
    assert state["scores"].tolist() == pytest.approx([3, 2, 10, 2.6, -5, 3])
    assert rows[1] == ([ROUTED, ABSORBED, KEPT, ABSORBED], [0.25, 0.5, 0.25])


def test_v_act_is_taken_anew_every_refresh_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = fresh(refresh=2)
    used: list[list[float]] = []
    monkeypatch.setattr(
        two_blocks, "rollout_scores", lambda step, v: used.append(v[LOWEST].tolist()) or torch.tensor([1.0, 2.0])
    )
    drawn = iter([{LOWEST: torch.tensor([0.6, 0.8])}, {LOWEST: torch.tensor([0.0, 1.0])}])
    state, overlaps = {f"v/{LOWEST}": torch.tensor([1.0, 0.0])}, []
    for number in range(1, 6):
        step = step_of(policy, state, number)
        two_blocks.choose(step, torch.zeros(1, 2), lambda step: next(drawn))
        overlaps.append(step.row.get("basis_overlap"))
    assert used == [[1, 0], [1, 0], *2 * [pytest.approx([0.6, 0.8])], [0, 1]]
    assert overlaps == [None, None, pytest.approx(0.6), None, pytest.approx(0.8)]


def test_each_micro_batch_gets_its_own_rows_masks() -> None:
    policy = fresh()
    step = step_of(policy, {"choice": torch.tensor([KEPT, ABSORBED, ROUTED, KEPT])})
    layer = policy.adapter.modules[LOWEST]
    with ARMS["route_act"].forward(step, torch.tensor([2, 0, 1])):
        assert [mask.tolist() for mask in layer.masks] == [[True, False, True], [True, False, False]]
    assert layer.masks is None


def test_random_directions_are_unit_fixed_by_the_seed_and_their_own_in_every_module() -> None:
    policy = fresh()
    one, again = (two_blocks.random_v_act(step_of(policy)) for _ in "ab")
    other = two_blocks.random_v_act(step_of(policy, seed=8))
    assert all(torch.equal(one[name], again[name]) and not torch.equal(one[name], other[name]) for name in one)
    assert not torch.equal(one[LOWEST], one[HIGHEST])
    assert all(float(v.norm()) == pytest.approx(1, abs=1e-6) for v in one.values())


def test_random_v_act_sorts_by_the_seeds_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = fresh(route_tail=0.25, route_half_life=1e9)
    arm, drawn = ARMS["random_v_act"], two_blocks.random_v_act(step_of(policy))
    step = step_of(policy)
    step.state = arm.prepare(step)
    step.tasks, step.completions = step.data.train[:2], [[[7], [8]], [[9], [10]]]
    v_act = two_blocks.v_act(step)
    across = {name: v_act[name] - (v_act[name] @ v) * v for name, v in drawn.items()}  # nothing of it along v
    along = {name: torch.tensor([4.0, 1, 3, 2])[:, None] * v for name, v in drawn.items()}
    beside = {name: torch.tensor([10.0, 20, 30, 40])[:, None] * across[name] for name in drawn}
    monkeypatch.setattr(two_blocks, "kept_means", lambda adapter, batch: {n: along[n] + beside[n] for n in drawn})
    assert bool(arm.mask(step, torch.zeros(2, 2)).all())
    assert step.state["scores"].tolist() == pytest.approx([len(drawn) * x for x in (4, 1, 3, 2)], rel=1e-3)
    assert step.state["choice"].tolist() == [ROUTED, KEPT, ABSORBED, ABSORBED]  # 1.5 and 3.5 a module
    with arm.forward(step, torch.tensor([1, 0])):
        assert [mask.tolist() for mask in policy.adapter.modules[LOWEST].masks] == [[False, True], [False, True]]
    assert arm.deploys_ablated


def test_random_v_act_asks_no_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    step = step_of(fresh())
    monkeypatch.setattr(Step, "extraction_pairs", lambda step: [])
    assert {f"v/{name}" for name in step.adapter.modules} == set(ARMS["random_v_act"].prepare(step))
    with pytest.raises((RuntimeError, ValueError)):
        ARMS["route_act"].prepare(step)


# ---- runs


@pytest.mark.parametrize("arm", ["absorb", "route_act", "random_v_act", "sgtm", "gradient_routing"])
def test_a_run_logs_what_it_did_and_is_evaluated_both_ways(arm: str, tmp_path: Path) -> None:
    run = in_process.planned(tmp_path, arm, refresh=2)
    assert in_process.attempt(run) is not None
    rows = run.metrics()
    if arm in ("route_act", "random_v_act"):
        assert all(row["keep"] + row["resid"] + row["rout"] == pytest.approx(1) for row in rows)
        assert [row["step"] for row in rows if row["basis_overlap"] is not None] == [3, 5]
        redrawn = [row["basis_overlap"] for row in rows if row["step"] in (3, 5)]
        assert (redrawn == pytest.approx([1, 1])) is (arm == "random_v_act")  # a refresh leaves the control as it is
    elif arm != "absorb":
        assert all(row["nll_hack"] > 0 and row["nll_clean"] > 0 for row in rows)
    assert all("hack_rate_as_trained" in row for row in run.evals())
