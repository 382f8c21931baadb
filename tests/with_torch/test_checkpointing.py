"""A model that computes activations again in its backward is the same model: figures, gradients, the frozen parts."""

from __future__ import annotations

import pytest
import torch

from core.direction.steering import margin
from core.model.adapters import ADAPTERS
from core.model.adapters.base import Adapter, switched_off
from core.model.logprobs import TokenBatch, completion_logps
from core.model.policy import Policy, attached
from support import small_policy

PROMPTS = [[5, 77, 300, 12, 9, 41, 8], [60, 61, 62, 8]]
COMPLETIONS = [[7, 8, 9, 1], [100, 101], [5, 5, 5], [300, 1]]


def policy(checkpointing: bool, **fields: object) -> Policy:
    return small_policy.moved(attached(small_policy.config(grad_checkpointing=checkpointing, **fields), seed=3))


def batch() -> TokenBatch:
    return TokenBatch.pad(PROMPTS, COMPLETIONS, [0, 0, 1, 1], "cpu")


def gradients_of_two_steps(adapter: Adapter) -> list[torch.Tensor]:
    """As a step has them: the policy's forward, the reference's, then the backward; frozen tensors get none."""
    for _ in range(2):
        logps = completion_logps(adapter.model, batch(), shared_prefix=False)
        with switched_off(adapter):
            reference = completion_logps(adapter.model, batch(), shared_prefix=False)
        (logps - reference).square().sum().backward()
    assert all(tensor.grad is None and not tensor.requires_grad for tensor in adapter.frozen.values())
    return [parameter.grad for parameter in adapter.parameters.values() if parameter.grad is not None]


@pytest.mark.parametrize("name", ADAPTERS)
def test_a_reference_between_forward_and_backward_leaves_every_adapters_gradient(name: str) -> None:
    plain, again = (gradients_of_two_steps(policy(on, adapter=name).adapter) for on in (False, True))
    assert len(plain) == len(again) > 0
    for one, other in zip(plain, again, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_a_margin_is_read_with_the_prompt() -> None:
    """Steering of a model that checkpoints: transformers drops the cache in which the prompt would be."""
    pairs = small_policy.data(policy(False)).pairs("hack")[:2]
    assert margin(policy(True), pairs) == pytest.approx(margin(policy(False), pairs), abs=1e-5)


def test_a_shared_prompt_is_refused_where_its_cache_would_be_dropped() -> None:
    model = policy(True).adapter.model
    with pytest.raises(ValueError, match="completions would not see their prompt"):
        completion_logps(model, batch(), shared_prefix=True)
    shared = completion_logps(model.eval(), batch(), shared_prefix=True)
    torch.testing.assert_close(shared, completion_logps(model.train(), batch()), atol=1e-5, rtol=1e-5)
