"""Erase, route and the gates against numbers worked out by hand."""

import math

import pytest
import torch

from core.direction.interventions import hackward_share, position, remove

V = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.6, 0.8]])  # orthonormal rows
G = torch.tensor([2.0, -3.0, -4.0])  # V G = (2, -5): hack-ward along the first axis, away along the second


def test_one_sided_removes_exactly_the_hackward_part() -> None:
    parts = remove(G, V, "one_sided")
    assert parts.removed.tolist() == [2.0, 0.0, 0.0]
    assert parts.kept.tolist() == [0.0, -3.0, -4.0]


def test_motion_away_from_the_hack_comes_back_untouched() -> None:
    away = -2.0 * V[0] - 1.0 * V[1] + torch.tensor([0.0, 0.8, -0.6])  # last part is orthogonal to V
    parts = remove(away, V, "one_sided")
    assert torch.equal(parts.kept, away) and not parts.removed.any()


def test_no_gate_removes_both_ways_and_reverse_turns_both_round() -> None:
    assert remove(G, V, "no_gate").kept.tolist() == pytest.approx([0.0, 0.0, 0.0], abs=1e-6)
    assert remove(G, V, "reverse").kept.tolist() == pytest.approx([-2.0, 3.0, 4.0], abs=1e-6)


def test_overshoot_goes_beyond() -> None:
    assert remove(G, V, "one_sided", overshoot=1.1).kept.tolist() == pytest.approx([-0.2, -3.0, -4.0])


def test_magnitude_is_given_back_only_where_asked() -> None:
    kept = remove(G, V, "one_sided", preserve_magnitude=True).kept
    scale = math.sqrt(29) / 5  # |G| over |(0, -3, -4)|
    assert kept.tolist() == pytest.approx([0.0, -3 * scale, -4 * scale])
    nothing_left = remove(torch.tensor([1.0, 0.0, 0.0]), V, "one_sided", preserve_magnitude=True)
    assert nothing_left.kept.tolist() == [0.0, 0.0, 0.0]


def test_what_is_kept_and_what_is_parked_make_up_the_gradient_in_its_own_shape() -> None:
    g = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
    axes = torch.linalg.qr(torch.randn(6, 2, generator=torch.Generator().manual_seed(1))).Q.T
    parts = remove(g, axes, "one_sided")
    assert parts.kept.shape == parts.removed.shape == g.shape
    torch.testing.assert_close(parts.kept + parts.removed, g)


def test_cin_counts_hackward_energy_over_all_parameters() -> None:
    axes = {"a": V, "b": torch.tensor([[1.0, 0.0]])}
    share = hackward_share({"a": G, "b": torch.tensor([-1.0, 1.0])}, axes)
    assert share.hackward == pytest.approx(2 / math.sqrt(29 + 2))
    assert share.fired == 0.5  # b points away
    assert share.cosine == pytest.approx((2 - 5 - 1) / math.sqrt((29 + 2) * 3))  # signed, to the sum of three axes
    whole = {name: V.sum(0) for name, V in axes.items()}
    assert hackward_share(whole, axes).cosine == pytest.approx(1.0)
    assert hackward_share({name: -g for name, g in whole.items()}, axes).cosine == pytest.approx(-1.0)
    nothing = hackward_share({"a": torch.zeros(3), "b": torch.zeros(2)}, axes)
    assert (nothing.hackward, nothing.fired, nothing.cosine) == (None, None, None)  # a zero vector has no direction


def test_cout_after_one_sided_is_zero_by_arithmetic() -> None:
    kept = remove(G, V, "one_sided").kept
    assert hackward_share({"a": kept}, {"a": V}).hackward == 0.0


def test_random_null_of_relu_is_root_k_over_2r() -> None:
    """docs/protocol.md 4.2.6: relu halves the expected energy, so the isotropic null is not sqrt(k / r)."""
    generator = torch.Generator().manual_seed(0)
    axes = {"a": torch.linalg.qr(torch.randn(200, 8, generator=generator)).Q.T}
    shares = [hackward_share({"a": torch.randn(200, generator=generator)}, axes).hackward for _ in range(2000)]
    squares = [share**2 for share in shares if share is not None]
    assert sum(squares) / len(squares) == pytest.approx(8 / 400, rel=0.05)


def test_position_is_positive_after_motion_towards_the_hack() -> None:
    theta = {"a": -0.5 * V[0] + torch.tensor([0.0, 0.8, -0.6])}  # a step along -g for a hack-ward g
    along, share = position(theta, {"a": V})
    assert along == pytest.approx(0.5) and share == pytest.approx(0.5 / math.sqrt(1.25))
