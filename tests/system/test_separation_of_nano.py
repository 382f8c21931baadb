"""Nano's own pairs: how far directions separate them, and what a push of the weights does."""

from __future__ import annotations

from core.direction import directions
from core.direction.separation import (
    activation_separation,
    gradient_direction,
    gradient_separation,
    side_states,
    split,
)
from core.direction.steering import gradient_pushes, margin
from support import small_policy


def test_nano_pairs_separate_in_both_spaces_and_placebos_do_not() -> None:
    policy = small_policy.policy(small_policy.config(adapter="svd"))
    data = small_policy.data(policy)
    states = [side_states(policy, half[:30], "rollout_last") for half in split(data.pairs("hack"))]
    assert all(activation_separation(policy, *states, m).passed for m in (16, 0))
    train, held_out = (half[:20] for half in split(data.pairs("hack")))
    gradients = [directions.pair_gradients(policy, half) for half in (train, held_out)]
    assert gradient_separation(*gradients, m=8).passed
    placebo = [side_states(policy, half[:30], "rollout_last") for half in split(data.pairs("clean_vs_clean"))]
    assert not activation_separation(policy, *placebo, 0).passed


def test_moving_the_weights_hackward_raises_the_margin_of_held_out_hacks() -> None:
    policy = small_policy.policy(small_policy.config(adapter="svd"))
    train, held_out = split(small_policy.data(policy).pairs("hack"))
    pushes = gradient_pushes(gradient_direction(directions.pair_gradients(policy, train[:20]), 5))(5.0)
    margins = {"none": margin(policy, held_out)}
    for name, push in pushes.items():
        with push(policy):
            margins[name] = margin(policy, held_out)
    assert margins["-v"] < margins["none"] < margins["v"]
    assert margins["v"] - margins["none"] > 3 * abs(margins["random"] - margins["none"])
