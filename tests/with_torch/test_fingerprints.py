"""Fingerprints are the gradients they claim to be, the pairs alone name clusters, the arm drops what it flags."""

import dataclasses
import json
import os

import pytest
import torch
from peft import LoraConfig, get_peft_model

from core.arms import ARMS, grift
from core.arms.arm import Step
from core.attempt import Attempt
from core.direction.detection import auroc, detect, f1, least_squares_scores, two_means
from core.direction.fingerprints import (
    Recipe,
    critical_layers,
    critical_linears,
    fingerprints,
    layer_similarities,
    sketch,
    virtual_a,
    virtual_gradients,
)
from core.environment.nano import pairs as nano_pairs
from core.model.adapters import ADAPTERS
from core.model.adapters.base import TARGETS
from core.model.load import load
from core.model.logprobs import TokenBatch
from core.model.policy import Policy
from core.model.rollouts import generator
from core.model.run_data import ArmData
from core.runs.run_dir import RunDir
from core.spec import PRESETS, RunSpec
from core.studies import grift_report
from core.training.grpo import group_advantages
from core.training.train import train

CONFIG = dataclasses.replace(PRESETS["smoke"], grift_r=4, grift_sketch=64)
SAMPLES = [([5, 6, 7, 8, 9, 10, 11], [20, 21, 22]), ([12, 13], [30, 31, 32, 33, 34, 35, 1])]


@pytest.fixture(scope="module", autouse=True)
def small():
    """One thread, as core.studies.grift_report sets it, and few pairs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nano_pairs, "EXTRACT", 16)
        torch.set_num_threads(1)
        yield


def smoke_policy(adapter="lora", **changes):
    config = dataclasses.replace(CONFIG, adapter=adapter, **changes)
    language_model = load("smoke")
    return Policy.of(language_model, ADAPTERS[adapter](language_model, config, 0), config)


def moved(policy):
    """The adapter away from its start, so that it has a part in the gradient."""
    with torch.no_grad():
        for name, parameter in policy.adapter.parameters.items():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator("moved", name))
    return policy


def pairs(count=10):
    return [pair for pair in nano_pairs.pairs(("run_tests",)) if pair.split == "extract"][:count]


# ---- gradients


def test_every_sample_gets_the_gradient_of_a_real_lora_at_zero():
    """Two samples of different length in one padded batch, against peft and one sample at a time."""
    model = load("smoke").model
    A = {name: virtual_a(name, module, 4, 0) for name, module in critical_linears(model, (0, 1)).items()}
    assert len(A) == 14
    batch = TokenBatch.pad([p for p, _ in SAMPLES], [c for _, c in SAMPLES], [0, 1], "cpu")
    found = virtual_gradients(model, batch, A)

    settings = LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, target_modules=list(TARGETS))
    real = get_peft_model(load("smoke").model, settings)
    for name, a in A.items():
        real.get_base_model().get_submodule(name).lora_A["default"].weight.data.copy_(a)
    for row, (prompt, completion) in enumerate(SAMPLES):
        real.zero_grad()
        logits = real(input_ids=torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1]
        torch.nn.functional.cross_entropy(logits, torch.tensor(completion)).backward()
        for name in A:
            expected = real.get_base_model().get_submodule(name).lora_B["default"].weight.grad
            assert expected.abs().max() > 1e-6
            torch.testing.assert_close(found[name][row], expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("adapter", ["lora", "lora_frozen_a", "svd", "lora_blocks"])
def test_the_gradient_lies_on_top_of_the_adapter_and_leaves_no_trace(adapter):
    """On an adapter it is that of the merged model; switched off, that of the bare one."""
    policy = moved(smoke_policy(adapter, lora_r=8))
    model = policy.adapter.model
    batch = TokenBatch.pad([p for p, _ in SAMPLES], [c for _, c in SAMPLES], [0, 1], "cpu")
    A = {name: virtual_a(name, module, 4, 0) for name, module in critical_linears(model, (0, 1)).items()}
    trained = virtual_gradients(model, batch, A)
    with policy.adapter.zeroed():
        switched_off = virtual_gradients(model, batch, A)
    assert all(p.grad is None for p in model.parameters())
    assert not any(m._forward_hooks for m in model.modules())

    bare = load("smoke").model
    plain = virtual_gradients(bare, batch, A)
    bare.load_state_dict({f"{n}.weight": policy.adapter.merged(f"{n}.weight") for n in A}, strict=False)
    merged = virtual_gradients(bare, batch, A)
    for name in A:
        torch.testing.assert_close(switched_off[name], plain[name], rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(trained[name], merged[name], rtol=1e-3, atol=1e-5)
    assert (merged["model.layers.1.mlp.up_proj"] - plain["model.layers.1.mlp.up_proj"]).abs().max() > 1e-3


def test_gradient_checkpointing_changes_nothing():
    plain, frugal = smoke_policy(), smoke_policy()
    frugal.adapter.model.train()
    frugal.adapter.model.gradient_checkpointing_enable({"use_reentrant": False})
    frugal.adapter.model.enable_input_require_grads()
    how = Recipe((0, 1), 4, 64, 0)
    torch.testing.assert_close(fingerprints(frugal, SAMPLES, how), fingerprints(plain, SAMPLES, how))


def test_a_fingerprint_is_a_unit_row_that_its_batch_does_not_change():
    how = Recipe((0, 1), 4, 64, 0)
    together = fingerprints(smoke_policy(), SAMPLES, how)
    alone = fingerprints(smoke_policy(micro_batch=1), SAMPLES, how)
    torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(2))
    other_seed = fingerprints(smoke_policy(), SAMPLES, dataclasses.replace(how, seed=1))
    assert (together - other_seed).abs().max() > 0.05


# ---- sketch


def test_the_sketch_is_linear_seeded_and_the_same_in_any_chunks():
    g = torch.randn(5, 300, generator=generator("g"))
    once = sketch({"a": g}, 37, 0)
    torch.testing.assert_close(sketch({"a": 2 * g[:1] - 3 * g[1:2]}, 37, 0), 2 * once[:1] - 3 * once[1:2])
    for chunk in (1, 7, 299, 1000):
        torch.testing.assert_close(sketch({"a": g}, 37, 0, chunk), once)
    assert not torch.allclose(sketch({"a": g}, 37, 1), once)
    torch.testing.assert_close(sketch({"a": g, "b": g}, 37, 0), once + sketch({"b": g}, 37, 0))


def test_the_sketch_of_a_coordinate_is_signs_and_of_a_vector_keeps_its_norm():
    """E|gR|^2 / d = |g|^2 with relative deviation below sqrt(2 / d) = 0.044; the mean of 64 vectors is nearer."""
    signs = sketch({"a": torch.eye(200)}, 1024, 0) * 32  # sqrt(1024)
    assert set(signs.unique().tolist()) == {-1.0, 1.0}
    assert abs(float(signs.mean())) < 0.01  # five standard deviations of 204,800 signs
    g = torch.randn(64, 2000, generator=generator("norms"))
    ratios = sketch({"a": g}, 1024, 0).square().sum(1) / g.square().sum(1)
    assert abs(float(ratios.mean()) - 1) < 0.03 and float((ratios - 1).abs().max()) < 0.2


# ---- critical layers


def test_critical_layers_are_the_least_similar_in_order_of_depth():
    assert critical_layers(torch.tensor([0.9, 0.2, 0.8, 0.1, 0.5]), 3) == (1, 3, 4)
    assert critical_layers(torch.tensor([0.9, 0.2]), 5) == (0, 1)


def test_a_layer_that_turns_the_stream_is_critical_and_one_that_adds_nothing_is_not():
    """Without o_proj and down_proj a layer is the identity, cosine 1; prompt tokens have no part."""
    policy = smoke_policy()
    model = policy.adapter.model
    with torch.no_grad():
        for name in ("self_attn.o_proj", "mlp.down_proj"):
            model.get_submodule(f"model.layers.0.{name}").base_layer.weight.zero_()
    similarities = layer_similarities(policy, SAMPLES)
    assert similarities[0] == pytest.approx(1, abs=1e-5) and similarities[1] < 0.999
    prompt, completion = SAMPLES[0]
    by_hand = []
    hidden = model(input_ids=torch.tensor([prompt + completion]), output_hidden_states=True).hidden_states
    turned = model.model.layers[1]
    with torch.no_grad():
        entered = hidden[1]
        position = model.model.rotary_emb(entered, torch.arange(len(prompt + completion))[None])
        left = turned(entered, position_embeddings=position)
        left = left[0] if isinstance(left, tuple) else left
        by_hand = torch.cosine_similarity(entered, left, dim=-1)[0, len(prompt) :].mean()
    assert layer_similarities(policy, SAMPLES[:1])[1] == pytest.approx(float(by_hand), abs=1e-4)


# ---- clusters and scores


def planted(count, side, key):
    """Around +-e0, with noise in eight dimensions."""
    x = 0.2 * torch.randn(count, 8, generator=generator("planted", key))
    x[:, 0] += side
    return x


def test_two_means_finds_the_planted_clusters():
    x = torch.cat([planted(30, 1.0, "a"), planted(10, -1.0, "b")])
    centres = two_means(x)
    ordered = centres[centres[:, 0].argsort()]
    torch.testing.assert_close(ordered, torch.stack([x[30:].mean(0), x[:30].mean(0)]))


@pytest.mark.parametrize("pooled", [True, False])
def test_the_pairs_name_the_clusters(pooled):
    labelled = torch.cat([planted(10, 1.0, "hack"), planted(10, -1.0, "clean")])
    is_hack = torch.arange(20) < 10
    is_hack[0], is_hack[10] = False, True  # a few wrong labels change no majority
    samples = torch.cat([planted(3, 1.0, "x"), planted(5, -1.0, "y")])
    found = detect(samples, labelled, is_hack, pooled)
    assert found.named and found.flagged.tolist() == [True] * 3 + [False] * 5
    assert found.label_accuracy == pytest.approx(0.9)
    turned = detect(samples, labelled, ~is_hack, pooled)
    assert turned.flagged.tolist() == [False] * 3 + [True] * 5


def test_pairs_that_do_not_split_flag_nobody():
    both_alike = torch.cat([planted(5, 1.0, "1"), planted(5, -1.0, "2"), planted(5, 1.0, "3"), planted(5, -1.0, "4")])
    is_hack = torch.arange(20) < 10
    one_point = torch.ones(20, 8)
    far = planted(30, 50.0, "far")  # pooled with these, all pairs lie in one cluster
    for labelled, samples, pooled in (
        (both_alike, planted(4, 1.0, "s"), False),
        (one_point, planted(4, 1.0, "s"), False),
        (both_alike, far, True),
    ):
        found = detect(samples, labelled, is_hack, pooled)
        assert not found.named and not found.flagged.any() and found.scores.eq(0).all() and found.label_accuracy == 0


def test_f1_and_auroc_by_hand():
    is_hack = torch.tensor([True, True, False, False, False])
    assert f1(torch.tensor([True, False, True, False, False]), is_hack) == pytest.approx(0.5)  # 1 TP, 1 FP, 1 FN
    assert f1(is_hack, is_hack) == 1 and f1(~is_hack, is_hack) == 0
    assert f1(torch.zeros(5, dtype=torch.bool), torch.zeros(5, dtype=torch.bool)) is None
    scores = torch.tensor([3.0, 1.0, 2.0, 1.0, 0.0])  # of six comparisons won: 3, and 1 + half of a tie
    assert auroc(scores, is_hack) == pytest.approx(4.5 / 6)
    assert auroc(scores, torch.ones(5, dtype=torch.bool)) is None


def test_least_squares_separates_what_a_line_can():
    x = torch.cat([planted(40, 1.0, "p"), planted(10, -1.0, "n")]) + 7  # an offset is no signal
    is_hack = torch.arange(50) < 40
    scores = least_squares_scores(x[::2], is_hack[::2], x[1::2])
    assert auroc(scores, is_hack[1::2]) == 1 and f1(scores > 0, is_hack[1::2]) == 1


# ---- the arm


def arm_step(policy, state, completions):
    data = ArmData([], lambda concept: {"hack": pairs()}[concept])
    tasks = [pair.task for pair in pairs()[: len(completions)]]
    return Step(1, 0, policy.config, policy, data, state, tasks=tasks, completions=completions)


@pytest.fixture(scope="module")
def nano():
    config = dataclasses.replace(PRESETS["nano"], grift_sketch=256)
    language_model = load("nano")
    return Policy.of(language_model, ADAPTERS["lora"](language_model, config, 0), config)


def test_the_arm_drops_what_reads_like_hack_sides_however_the_policy_has_moved(nano):
    """The rollouts are the sides of other pairs, a third of them honest."""
    state = grift.prepare(arm_step(nano, {}, ()))
    assert state["fingerprints"].shape == (20, 256) and state["layers"].tolist() == [0, 3]
    others = pairs(13)[10:]
    rollouts = [[nano.language_model.encode_completion(t) for t in (p.hack, p.clean, p.hack)] for p in others]
    moved(nano)
    for rewards, labels in ((torch.zeros(3, 3), None), (torch.randn(3, 3), "poison")):
        step = arm_step(nano, state, rollouts)
        step.labels = labels
        step.tasks = [pair.task for pair in others]
        kept = grift.unflagged(step, rewards)
        assert kept.tolist() == [[False, True, False]] * 3
        assert step.row["dropped"] == pytest.approx(2 / 3) and step.row["grift_acc"] > 0.8
        assert group_advantages(rewards, "std", kept)[~kept].eq(0).all()
    assert all(parameter.grad is None for parameter in nano.adapter.parameters.values())


@pytest.mark.parametrize("refresh, expected", [(0, False), (1, True)])
def test_the_pairs_are_read_anew_only_with_refresh(refresh, expected):
    policy = smoke_policy(refresh=refresh)
    state = grift.prepare(arm_step(policy, {}, ()))
    first = state["fingerprints"].clone()
    moved(policy)
    step = arm_step(policy, state, [[[5, 6, 1], [7, 1]]])
    step.number = 2
    grift.unflagged(step, torch.zeros(1, 2))
    assert (not torch.equal(step.state["fingerprints"], first)) == expected


def test_a_split_that_is_not_the_pairs_own_drops_nobody():
    """One outlier among the clean sides: its cluster is named clean, and the bulk would be hack by 6 to 5."""
    policy = smoke_policy()
    fingerprints_of_pairs = torch.eye(64)[0].repeat(12, 1) + 0.01 * torch.randn(12, 64, generator=generator("o"))
    fingerprints_of_pairs[11] = -torch.eye(64)[0]
    assert detect(fingerprints_of_pairs, fingerprints_of_pairs, torch.arange(12) < 6).flagged.sum() == 11
    step = arm_step(policy, {"layers": torch.tensor([1]), "fingerprints": fingerprints_of_pairs}, [[[5, 1], [6, 7, 1]]])
    assert grift.unflagged(step, torch.zeros(1, 2)).all()
    assert step.row == {"dropped": 0.0, "grift_acc": pytest.approx(7 / 12)}


def test_where_all_are_flagged_all_are_dropped_and_the_row_says_so():
    policy = smoke_policy()
    sides = [[policy.language_model.encode_completion(p.hack)] * 2 for p in pairs(2)]
    e = torch.eye(64)[0].expand(6, -1)
    hacks = fingerprints(policy, [(policy.prompt(p.task), s[0]) for p, s in zip(pairs(2), sides, strict=True)],
                         grift.recipe(policy, [1], 0))  # fmt: skip
    state = {"layers": torch.tensor([1]), "fingerprints": torch.cat([hacks.mean(0).expand(6, -1), -e])}
    step = arm_step(policy, state, sides)
    kept = grift.unflagged(step, torch.ones(2, 2))
    assert not kept.any() and step.row["dropped"] == 1
    assert group_advantages(torch.randn(2, 2), "std", kept).eq(0).all()


def test_no_label_reaches_the_arm():
    assert ARMS["grift"].mask is grift.unflagged and not ARMS["grift"].sees_labels


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Four steps of the smoke preset, in this process."""
    run = RunDir(tmp_path_factory.mktemp("grift"))
    config = dataclasses.replace(CONFIG, steps=4, eval_every=4, eval_problems=1, disk_floor_gb=0.01)
    spec = RunSpec(run.run_id, "train", "grift", "grift", 7, "t", "0", "smoke", config)
    run.spec_path.write_text(json.dumps(spec.to_json()))
    claim = run.claim(None)
    train(Attempt(run, spec, claim.number, {}, lambda *at: None, lambda: None, lambda: False, lambda: None))
    os.close(claim.lock)
    return run


def test_the_arm_runs(run):
    rows = run.metrics()
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert all(0 <= row["dropped"] <= 1 and 0 <= row["grift_acc"] <= 1 for row in rows)


def test_the_report_scores_a_finished_run(run, tmp_path, capsys, monkeypatch):
    out = tmp_path / "report.json"
    monkeypatch.setattr("sys.argv", ["grift_report", str(run.path), "--samples", "20", "--out", str(out)])
    grift_report.main()
    (row,) = json.loads(out.read_text())
    assert row["n"] == 20 and row["hack_share"] == 0 and row["weights"] == "base"
    assert set(row["detectors"]) == {"grift_pooled", "grift_pairs", "linear", "v_activation", "v_gradient"}
    assert all(cell["auroc"] is None for cell in row["detectors"].values())  # random weights never hack
    assert len(capsys.readouterr().out.splitlines()) == 1 + 5 + 1
