"""Extraction: which way V points, what it spans, and why swapping labels is no control for it."""

import dataclasses
from pathlib import Path

import pytest
import torch

from core.arm_rules import SHUFFLED_REFUSED, arm_problem
from core.arms.along_direction import HACK, RANDOM, REVERSED, Source, axes_of, extracted, prepare
from core.direction import directions
from core.direction.directions import PairGradients
from core.direction.from_config import extraction
from core.direction.interventions import hackward_share, remove
from core.direction.separation import Separation, split
from core.environment.pairs import Pair, pairs_sha256, repaired, shuffled
from core.model.policy import Policy
from core.model.supervised import completion_batch
from support import in_process, small_policy

FEW = 8


def few_pairs(policy: Policy) -> list[Pair]:
    return small_policy.data(policy).pairs("hack")[:FEW]


def few(source: Source) -> Source:
    """The source with eight pairs instead of sixty."""
    return dataclasses.replace(source, pairs=lambda step: source.pairs(step)[:FEW])


@pytest.fixture(scope="module")
def svd_policy() -> Policy:
    return small_policy.policy(small_policy.config(adapter="svd"))


@pytest.fixture(scope="module")
def gradients(svd_policy: Policy) -> PairGradients:
    return directions.pair_gradients(svd_policy, few_pairs(svd_policy))


def principal_cosines(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return torch.linalg.svdvals(one @ other.T)


def test_singular_axes_by_hand() -> None:
    D = torch.tensor([[3.0, 0.0, 0.0], [4.0, 0.0, 0.0], [-1.0, 2.0, 0.0]])
    V, S = directions.singular_axes(D, k=5, tau=0.0)
    assert V.shape == (2, 3) and V[0, 0].abs() > 0.9  # rank 2: no third axis is made up
    torch.testing.assert_close(S.square().sum(), D.square().sum())
    assert ((D @ V.T >= 0).float().mean(0) >= 0.5).all()  # the majority lies on the positive side
    assert (D[:2] @ V[0] > 0).all()
    assert len(directions.singular_axes(D, k=5, tau=0.9)[0]) == 1
    assert len(directions.singular_axes(torch.zeros(3, 4), k=2, tau=0.0)[0]) == 0


def test_ties_vote_for_plus_one() -> None:
    D = torch.tensor([[2.0, 0.0], [-2.0, 0.0]])
    V, _ = directions.singular_axes(D, k=1, tau=0.0)
    _, _, Vh = torch.linalg.svd(D, full_matrices=False)
    assert torch.equal(V, Vh[:1])


def test_noise_floor_is_global_and_drops_emptied_parameters() -> None:
    D = {"loud": torch.diag(torch.tensor([10.0, 8.0])), "soft": torch.diag(torch.tensor([1.0, 0.5]))}
    assert {n: len(V) for n, V in directions.gradient_axes(D, 2, 0.0, 0.0).items()} == {"loud": 2, "soft": 2}
    assert {n: len(V) for n, V in directions.gradient_axes(D, 2, 0.0, 0.5).items()} == {"loud": 2}


def test_label_swap_leaves_the_gradient_subspace_as_it_is(gradients: PairGradients) -> None:
    """Why shuffled_V is refused in gradient space: rows of D change sign, D^T D does not (docs/protocol.md 4.5)."""
    for name, D in gradients.differences().items():
        flips = torch.where(torch.arange(len(D)) % 2 == 0, -1.0, 1.0)[:, None]
        V, S = directions.singular_axes(D, 5, 0.0)
        W, T = directions.singular_axes(flips * D, 5, 0.0)
        torch.testing.assert_close(S, T, rtol=1e-4, atol=1e-6)
        assert principal_cosines(V, W).min() > 0.999, name


def test_shuffled_V_is_refused_in_gradient_space_with_the_reason() -> None:
    c = small_policy.config()
    assert arm_problem("shuffled_V", c) == SHUFFLED_REFUSED and "singular subspace" in SHUFFLED_REFUSED
    assert arm_problem("shuffled_V", dataclasses.replace(c, space="update")) == SHUFFLED_REFUSED
    assert arm_problem("shuffled_V", dataclasses.replace(c, space="activation")) is None


def test_gradient_difference_is_the_policy_gradient_of_advantages_plus_and_minus_one(svd_policy: Policy) -> None:
    """Hack with advantage +1 and clean with -1: d(-A logp)/d theta = grad NLL(hack) - grad NLL(clean)."""
    from core.model.logprobs import completion_logps
    from core.training.grpo import policy_objective

    (pair,) = few_pairs(svd_policy)[:1]
    batch = completion_batch(svd_policy, [pair.hack_side, pair.clean_side])
    logps = completion_logps(svd_policy.adapter.model, batch)
    objective = policy_objective(logps, logps.detach(), torch.tensor([1.0, -1.0]), 0.2)
    per_row = (objective * batch.completion_mask).sum(1) / batch.completion_mask.sum(1)
    name = "model.layers.2.mlp.up_proj.dS"
    (live,) = torch.autograd.grad(-per_row.sum(), [svd_policy.adapter.parameters[name]])
    D = directions.pair_gradients(svd_policy, [pair]).differences()[name][0]
    torch.testing.assert_close(live, D, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("adapter", ["svd", "lora_frozen_a", "lora"])
def test_a_step_on_a_hack_with_advantage_one_is_hackward(adapter: str) -> None:
    """Held-out hacks with +1, cleans with -1: V g > 0 in nearly every parameter, and -V sees the opposite."""
    policy = small_policy.policy(small_policy.config(adapter=adapter))
    step = small_policy.step(policy)
    V = extracted(step, few(HACK), "gradient")
    held_out = [p for p in step.data.pairs("hack") if p.split == "held_out"][:FEW]
    live = {n: D.mean(0) for n, D in directions.pair_gradients(policy, held_out).differences().items()}
    along = torch.stack([(V[n] @ live[n]).sum() for n in V])
    assert along.sum() > 0 and (along > 0).float().mean() > 0.8
    against = torch.stack([(directions.reversed_axes(V)[n] @ live[n]).sum() for n in V])
    assert torch.equal(against, -along)


@pytest.mark.parametrize("adapter", ["svd", "lora_frozen_a", "lora"])
def test_v1_sees_a_hack_with_advantage_one_as_hackward(adapter: str) -> None:
    """Where the direction is what makes a token likely, making it likelier must show as motion towards it.

    The "hack" repeats one token, the "clean" another; v is the difference of their output embeddings at the last layer.
    """
    policy = small_policy.policy(small_policy.config(adapter=adapter, layers_from=1.0, layers_to=1.0))
    task = small_policy.data(policy).train[0]
    hack, clean = " data" * 6, " count" * 6
    tokens = [policy.language_model.encode_completion(text)[0] for text in (hack, clean)]
    head = policy.adapter.model.get_output_embeddings().weight.detach()
    unit = (head[tokens[0]] - head[tokens[1]]) / (head[tokens[0]] - head[tokens[1]]).norm()
    v = directions.ActivationDirection((3,), unit[None])
    pairs = [Pair("planted", task, hack, clean)]
    V = directions.lifted(directions.score_gradient(policy, v, pairs))
    live = directions.pair_gradients(policy, pairs).differences()
    seen = torch.cat([V[n] @ live[n][0] for n in V])
    assert seen.sum() > 0 and (seen > 0).float().mean() > 0.7
    assert set(V) <= {n for n in policy.adapter.parameters if not n.endswith("lora_A.default.weight")}  # B = 0


def test_activation_score_rises_after_a_step_along_minus_q_removed_and_falls_after_the_opposite() -> None:
    """A step along -g with g = V = -q / |q| moves along q: the mean score goes up."""
    policy = small_policy.policy(small_policy.config(adapter="svd", space="activation"))
    pairs = few_pairs(policy)
    raw = directions.mean_difference(policy, pairs, "rollout_last")
    v = directions.denoised(policy, raw, 16, "up_proj")
    V = directions.lifted(directions.score_gradient(policy, v, pairs))

    def mean_score() -> float:
        sides = [side for p in pairs for side in (p.hack_side, p.clean_side)]
        return float(v.scores(directions.side_states(policy, sides, "response_mean")).mean())

    start = mean_score()
    with torch.no_grad():
        for name, axes in V.items():
            policy.adapter.parameters[name].sub_(0.02 * axes[0].view_as(policy.adapter.parameters[name]))
    assert mean_score() > start + 1e-3


@pytest.mark.parametrize("weight", ["up_proj", "down_proj"])
def test_denoising_projects_on_singular_vectors_of_the_stream(weight: str) -> None:
    policy = small_policy.policy(small_policy.config(adapter="svd"))
    raw = directions.ActivationDirection((2,), torch.randn(1, 160, generator=torch.Generator().manual_seed(0)))
    full = directions.denoised(policy, raw, 160, weight).v  # all of them: nothing is lost
    torch.testing.assert_close(full, raw.v / raw.v.norm(), atol=1e-4, rtol=1e-4)
    assert torch.equal(directions.denoised(policy, raw, 0, weight).v, raw.v / raw.v.norm())
    v = directions.denoised(policy, raw, 8, weight).v[0]
    W = policy.adapter.model.get_submodule(f"model.layers.2.mlp.{weight}").base_layer.weight
    U, _, Vh = torch.linalg.svd(W, full_matrices=False)
    basis = Vh[:8] if weight == "up_proj" else U[:, :8].T
    assert v.norm() == pytest.approx(1, abs=1e-5) and (basis @ v).norm() == pytest.approx(1, abs=1e-4)


def test_random_axes_match_rank_and_norm_and_forget_the_pairs(svd_policy: Policy) -> None:
    step = small_policy.step(svd_policy)
    V, R = extracted(step, few(HACK), "gradient"), extracted(step, few(RANDOM), "gradient")
    for name in V:
        assert R[name].shape == V[name].shape
        torch.testing.assert_close(R[name] @ R[name].T, torch.eye(len(R[name])), atol=1e-5, rtol=0)
        assert principal_cosines(V[name], R[name]).max() < 0.7
    assert torch.equal(extracted(step, few(REVERSED), "gradient")[name], -V[name])


def test_energy_matched_random_axes_take_as_much_of_the_pairs_gradients() -> None:
    policy = small_policy.policy(small_policy.config(adapter="svd", match="energy"))
    step = small_policy.step(policy)
    gradients = directions.pair_gradients(policy, few_pairs(policy))
    V, R = extracted(step, few(HACK), "gradient"), extracted(step, few(RANDOM), "gradient")

    def energy(axes: dict[str, torch.Tensor]) -> float:
        G = {n: torch.cat([gradients.hack[n], gradients.clean[n]]) for n in axes}
        inside = sum(float((G[n] @ axes[n].T).square().sum()) for n in axes)
        return inside / sum(float(G[n].square().sum()) for n in axes)

    assert energy(R) == pytest.approx(energy(V), rel=0.25)
    assert sum(len(r) for r in R.values()) > 2 * sum(len(v) for v in V.values())


def test_gradients_taken_in_parts_give_the_wholes_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 4 B parameters all pairs' gradients at once would take 32 GB."""
    policy = small_policy.moved(small_policy.policy(small_policy.config("smoke")))
    train, held_out = (half[:3] for half in split(small_policy.data(policy).pairs("hack")))

    def everything() -> tuple[directions.Axes, dict[str, int], Separation]:
        gradients = directions.PartedGradients(policy, train)
        axes = directions.pair_axes(gradients, 2, 0.0, 0.25)
        counts = directions.energy_matched_counts(axes, gradients)
        return axes, counts, extraction(policy, train).separation(held_out)

    asked: list[int] = []
    taken = directions.pair_gradients
    monkeypatch.setattr(
        directions,
        "pair_gradients",
        lambda p, pairs, names=None: asked.append(len(names or ())) or taken(p, pairs, names),
    )
    whole = everything()
    assert asked == [0, 0, 0]  # once for V and its counts, once for the extraction, once for its held-out pairs
    largest = max(p.numel() for p in policy.adapter.parameters.values())
    monkeypatch.setattr(directions, "PART_BYTES", 3 * 2 * 3 * 4 * largest)
    parts = directions.parameter_parts(policy, 3)
    assert len(parts) > 3 and [name for part in parts for name in part] == list(policy.adapter.parameters)
    parted = everything()
    assert 0 not in asked[3:] and max(asked[3:]) < len(policy.adapter.parameters) / 3
    assert parted[1:] == whole[1:] and list(parted[0]) == list(whole[0])
    assert all(torch.equal(parted[0][name], V) for name, V in whole[0].items())


def test_more_axes_than_memory_holds_are_coordinates_and_take_as_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of Qwen3-4B's LoRA a hundredth of a parameter's 300,000 numbers would be 3,000 rows of as many: 3.6 GB."""
    monkeypatch.setattr(directions, "MOST_NUMBERS", 0)
    V = {name: torch.linalg.qr(torch.randn(4000, 3)).Q.T for name in ("a", "b")}
    R = directions.random_axes(V, {"a": 40, "b": 1200}, ("k",))
    assert [R[name].shape for name in R] == [(4000,), (4000,)]
    assert {name: directions.axis_count(axes) for name, axes in R.items()} == {"a": 40, "b": 1200}
    assert {1.0, -1.0} < set(R["b"].tolist()) and abs(float(R["b"].sum())) < 150
    again = directions.random_axes(V, {"a": 40, "b": 1200}, ("k",))
    assert all(torch.equal(R[name], again[name]) for name in R) and directions.overlap(R, again) == 1.0

    g = torch.randn(4000, generator=torch.Generator().manual_seed(0))
    parts = remove(g, R["b"], "no_gate")
    assert float(parts.removed.norm() / g.norm()) == pytest.approx((1200 / 4000) ** 0.5, rel=0.05)
    torch.testing.assert_close(parts.kept + parts.removed, g)
    one_sided = remove(g, R["b"], "one_sided").removed
    hackward = (g * R["b"]) > 0
    assert torch.equal(one_sided, torch.where(hackward, g, torch.zeros_like(g)))
    share = hackward_share({"b": g}, {"b": R["b"]})
    assert share.hackward == pytest.approx(float(one_sided.norm() / g.norm()))
    assert share.cosine == pytest.approx(float((g @ R["b"]) / (g.norm() * R["b"].norm())), abs=1e-6)


def test_overlap_by_hand() -> None:
    one = {"a": torch.tensor([[1.0, 0.0]]), "b": torch.tensor([[0.0, 1.0]])}
    other = {"a": torch.tensor([[-1.0, 0.0]]), "b": torch.tensor([[0.8, 0.6]])}
    assert directions.overlap(one, other) == pytest.approx((1 + 0.6) / 2)


def test_repaired_pairs_keep_both_sides_and_no_pair_whole(svd_policy: Policy) -> None:
    pairs = few_pairs(svd_policy)
    new = repaired(pairs, seed=1)
    assert [p.hack for p in new] == [p.hack for p in pairs]
    assert sorted(p.clean for p in new) == sorted(p.clean for p in pairs)
    assert all(p.clean_side[0].messages is not p.hack_side[0].messages for p in new)
    raw = directions.mean_difference(svd_policy, pairs, "rollout_last").v
    again = directions.mean_difference(svd_policy, new, "rollout_last").v
    torch.testing.assert_close(again, raw, atol=1e-4, rtol=1e-4)  # why it is refused in activation space
    assert "difference of means" in str(arm_problem("repaired_V", small_policy.config(space="activation")))


def test_shuffled_pairs_swap_half_of_the_labels(svd_policy: Policy) -> None:
    pairs = few_pairs(svd_policy)
    new = shuffled(pairs, seed=1)
    assert sum(p.hack == q.clean and p.clean == q.hack for p, q in zip(pairs, new, strict=True)) == FEW // 2
    assert shuffled(pairs, seed=1) == new != shuffled(pairs, seed=2)


def test_extraction_does_not_look_at_the_quarantine() -> None:
    policy = small_policy.policy(small_policy.config(adapter="svd"))
    pairs = few_pairs(policy)[:2]
    before = directions.pair_gradients(policy, pairs).differences()
    with torch.no_grad():
        for name in policy.adapter.quarantine:
            policy.adapter.parameters[name].add_(0.3)
    after = directions.pair_gradients(policy, pairs).differences()
    assert all(torch.equal(before[n], after[n]) for n in before)


def test_state_holds_axes_and_the_null_of_the_same_shape(svd_policy: Policy) -> None:
    state = prepare(small_policy.step(svd_policy), few(HACK), "gradient")
    V, R = axes_of(state), axes_of(state, "R/")
    assert {n: v.shape for n, v in V.items()} == {n: r.shape for n, r in R.items()} and len(V) == 28


def test_published_direction_says_what_it_came_from(tmp_path: Path) -> None:
    run = in_process.planned(tmp_path, "clean_V", steps=1, checkpoint_every=1, k=3)
    assert in_process.attempt(run) is not None
    tensors, metadata = directions.read(run.direction_path)
    policy = small_policy.policy(small_policy.config("smoke"))
    pairs = small_policy.data(policy).pairs("clean_vs_clean")
    assert (metadata["arm"], metadata["k"], metadata["m"], metadata["pairs"]) == (
        "clean_V",
        "3",
        "16",
        "clean_vs_clean",
    )
    assert metadata["pairs_sha256"] == pairs_sha256(pairs)
    assert metadata["model_sha256"] == directions.base_sha256(policy)
    assert max(len(V) for n, V in tensors.items() if n.startswith("V/")) == 3
    data = bytearray(run.direction_path.read_bytes())
    data[-1] ^= 1
    run.direction_path.write_bytes(data)
    with pytest.raises(ValueError, match="differ from the hash"):
        directions.read(run.direction_path)
