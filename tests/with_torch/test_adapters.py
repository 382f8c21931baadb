"""Adapters change nothing at their start, merge exactly, and let the quarantine be taken out.

What a run leaves of them is told by tests/with_torch/test_final_weights.py.
"""

import contextlib
from pathlib import Path

import pytest
import torch

from core.model.adapters import ADAPTERS, svd
from core.model.adapters.base import switched_off, tensors_sha256
from core.model.load import load
from core.spec import choices_of
from support import small_policy

IDS = torch.tensor([[5, 77, 300, 12, 9, 41, 8], [60, 61, 62, 8, 100, 7, 1]])


def test_every_adapter_of_the_config_is_there() -> None:
    assert set(ADAPTERS) == set(choices_of("adapter"))


@pytest.mark.parametrize("name", ADAPTERS)
@pytest.mark.parametrize("model", ["nano", "smoke"])
def test_fresh_adapter_leaves_logits_bit_identical(name: str, model: str) -> None:
    before = load(model).model(IDS).logits
    adapter = small_policy.policy(small_policy.config(model, adapter=name)).adapter
    assert torch.equal(adapter.model(IDS).logits, before)
    with adapter.ablated():
        assert torch.equal(adapter.model(IDS).logits, before)


@pytest.mark.parametrize("name", ADAPTERS)
def test_zeroed_adapter_is_the_model_bit_for_bit(name: str) -> None:
    adapter = small_policy.moved(small_policy.policy(small_policy.config(adapter=name))).adapter
    with switched_off(adapter):
        off = adapter.model(IDS).logits
    assert torch.equal(off, load("nano").model(IDS).logits)
    assert not torch.equal(adapter.model(IDS).logits, off)


@pytest.mark.parametrize("ablated", [False, True])
@pytest.mark.parametrize("name", ADAPTERS)
@torch.no_grad()
def test_merged_weights_give_the_hooked_models_logits(name: str, ablated: bool) -> None:
    adapter = small_policy.moved(small_policy.policy(small_policy.config(adapter=name))).adapter
    plain = load("nano").model
    with adapter.ablated() if ablated else contextlib.nullcontext():
        for weight_name, _ in plain.named_parameters():
            plain.get_parameter(weight_name).copy_(adapter.merged(weight_name))
        hooked = adapter.model(IDS).logits
    torch.testing.assert_close(plain(IDS).logits, hooked, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["svd", "lora_blocks"])
def test_ablated_is_the_model_with_an_untouched_quarantine(name: str) -> None:
    one, twin = (small_policy.moved(small_policy.policy(small_policy.config(adapter=name))).adapter for _ in "ab")
    with torch.no_grad():
        for parameter in twin.quarantine:
            twin.parameters[parameter].zero_()
    with one.ablated():
        assert torch.allclose(one.model(IDS).logits, twin.model(IDS).logits, atol=1e-6)
    assert not torch.allclose(one.model(IDS).logits, twin.model(IDS).logits, atol=1e-3)
    assert set(one.parked) == set(one.kept()) and one.quarantine.isdisjoint(one.kept())


def test_svd_knob_i_scales_singular_value_i_by_hand() -> None:
    layer = torch.nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[3.0, 0.0], [0.0, 1.0]]))  # U = Vh = I up to signs, S = (3, 1)
    knobs = svd.SvdLinear(layer)
    with torch.no_grad():
        knobs.dS.copy_(torch.tensor([0.5, 0.0]))
        knobs.dS_hack.copy_(torch.tensor([0.0, -0.25]))
        assert (layer.weight + knobs.delta()).tolist() == [[3.5, 0.0], [0.0, 0.75]]
        knobs.with_quarantine = False
        assert (layer.weight + knobs.delta()).tolist() == [[3.5, 0.0], [0.0, 1.0]]


@torch.no_grad()
def test_svd_few_and_many_tokens_take_two_ways_to_the_same_output() -> None:
    adapter = small_policy.moved(small_policy.policy(small_policy.config(adapter="svd"))).adapter
    layer = adapter.modules["model.layers.1.mlp.up_proj"]
    x = torch.randn(3, 400, 160, generator=torch.Generator().manual_seed(1))
    assert x.numel() > layer.Vh.numel() >= x[:1, :8].numel()
    torch.testing.assert_close(layer(x), layer.hooked(x), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(layer(x[:1, :8]), layer(x)[:1, :8], atol=1e-5, rtol=1e-5)


def test_svd_gradient_of_knobs_is_that_of_the_formula() -> None:
    policy = small_policy.policy(small_policy.config(adapter="svd"))
    layer = policy.adapter.modules["model.layers.0.self_attn.q_proj"]
    x = torch.randn(1, 5, 160, generator=torch.Generator().manual_seed(1))
    out = torch.randn(1, 5, 128, generator=torch.Generator().manual_seed(2))
    (gradient,) = torch.autograd.grad((layer(x) * out).sum(), [layer.dS])
    by_hand = ((out[0] @ layer.U) * (x[0] @ layer.Vh.T)).sum(0)  # sum over tokens of (U^T dy) * (Vh x)
    torch.testing.assert_close(gradient, by_hand, atol=1e-4, rtol=1e-4)


def test_svd_is_cached_by_content_and_a_torn_or_lost_cache_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRPOQ_CACHE", str(tmp_path))
    weight = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    first = svd.svd_basis(weight)
    (path,) = (tmp_path / "svd").iterdir()
    torch.testing.assert_close(first[0] @ torch.diag(torch.linalg.svdvals(weight)) @ first[1], weight)
    path.write_bytes(path.read_bytes()[:20])
    again = svd.svd_basis(weight)
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert svd.svd_basis(weight)[0].equal(first[0]) and len(list((tmp_path / "svd").iterdir())) == 1
    svd.svd_basis(weight + 1)
    assert len(list((tmp_path / "svd").iterdir())) == 2


@pytest.mark.parametrize("shape", [(48, 24), (24, 48), (24, 24)])
def test_the_gpus_way_to_an_svd_is_as_exact_as_lapacks(shape: tuple[int, int]) -> None:
    """Singular values over three powers of ten, as trained weights have them."""
    generator = torch.Generator().manual_seed(2)
    left, right = (torch.linalg.qr(torch.randn(n, 24, generator=generator).double()).Q for n in shape)
    S = torch.logspace(0, -3, 24, dtype=torch.float64)
    weight = (left * S @ right.T).float()
    found = svd.by_gram(weight)
    assert found is not None
    U, Vh = found
    assert U.shape == (shape[0], 24) and Vh.shape == (24, shape[1]) and U.dtype == Vh.dtype == torch.float32
    for basis in (U.T @ U, Vh @ Vh.T):
        torch.testing.assert_close(basis, torch.eye(24), atol=1e-6, rtol=0)
    torch.testing.assert_close(U * S.float() @ Vh, weight, atol=1e-6, rtol=0)
    exact = torch.linalg.svd(weight.double(), full_matrices=False).Vh
    torch.testing.assert_close((exact * Vh.double()).sum(1).abs(), torch.ones(24).double(), atol=1e-6, rtol=0)


def test_a_matrix_that_has_no_full_rank_is_left_to_lapack() -> None:
    weight = torch.randn(8, 3, generator=torch.Generator().manual_seed(1)) @ torch.randn(3, 6)
    assert svd.by_gram(weight) is None


def test_the_hash_of_a_basis_is_taken_once_and_anew_for_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = svd.SvdLinear(torch.nn.Linear(4, 6, bias=False))
    first, asked = layer.basis_sha256(), []
    monkeypatch.setattr(svd, "tensors_sha256", lambda tensors: asked.append(1) or tensors_sha256(tensors))
    assert layer.basis_sha256() == first and not asked
    monkeypatch.setattr(svd, "svd_basis", lambda weight, given: (-layer.U, -layer.Vh))
    layer.use_basis(tmp_path)
    assert layer.basis_sha256() != first and asked == [1]


@pytest.mark.parametrize("name", sorted(ADAPTERS))
def test_every_adapter_comes_back_from_its_folder_whatever_it_was_drawn_with(name: str, tmp_path: Path) -> None:
    c = small_policy.config(adapter=name)
    trained = small_policy.moved(small_policy.policy(c)).adapter
    trained.save(tmp_path, False)
    other = small_policy.policy(c, seed=8).adapter
    other.load(tmp_path)
    assert tensors_sha256(other.state()) == tensors_sha256(trained.state())
    assert torch.equal(other.model(IDS).logits, trained.model(IDS).logits)
    with other.ablated(), trained.ablated():
        assert torch.equal(other.model(IDS).logits, trained.model(IDS).logits)


def test_frozen_a_is_semi_orthonormal_untrained_and_kept_with_the_state() -> None:
    adapter = small_policy.policy(small_policy.config(adapter="lora_frozen_a")).adapter
    assert all("lora_B" in name for name in adapter.parameters)
    for name, A in adapter.frozen.items():
        torch.testing.assert_close(A @ A.T, torch.eye(32), atol=1e-5, rtol=0)
        assert name in adapter.state()
    other = small_policy.policy(small_policy.config(adapter="lora_frozen_a"), seed=8).adapter
    other.load_state(adapter.state())
    assert all(torch.equal(other.frozen[name], A) for name, A in adapter.frozen.items())
