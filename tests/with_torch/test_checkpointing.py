"""A model that computes activations again in its backward is the same model: figures, gradients, the frozen parts."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM
from transformers.models.qwen3_5 import Qwen3_5TextConfig

from core.direction.steering import margin
from core.environment.nano import pairs as nano_pairs
from core.environment.pairs import without_truth
from core.model.adapters import ADAPTERS
from core.model.adapters.base import Adapter, switched_off
from core.model.logprobs import TokenBatch, completion_logps
from core.model.policy import Policy, attached
from support import small_policy

PROMPTS = [[5, 77, 300, 12, 9, 41, 8], [60, 61, 62, 8]]
COMPLETIONS = [[7, 8, 9, 1], [100, 101], [5, 5, 5], [300, 1]]


def policy(checkpointing: bool, **fields: object) -> Policy:
    return small_policy.moved(
        attached(small_policy.config("smoke", grad_checkpointing=checkpointing, **fields), seed=3)
    )


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
    pairs = [without_truth(pair) for pair in nano_pairs.pairs(("run_tests",))[:2]]
    assert margin(policy(True), pairs) == pytest.approx(margin(policy(False), pairs), abs=1e-5)


def gradients_of_a_step(adapter: Adapter, shared: bool) -> tuple[torch.Tensor, list[torch.Tensor]]:
    logps = completion_logps(adapter.model, batch(), shared)
    with switched_off(adapter):
        reference = completion_logps(adapter.model, batch(), shared)
    loss = ((logps - reference) * torch.tensor([1.0, -1.0, 0.5, -0.5])[:, None]).sum()
    trained = [parameter for parameter in adapter.parameters.values() if parameter.requires_grad]
    found = torch.autograd.grad(loss, trained, allow_unused=True)
    return logps.detach(), [g for g in found if g is not None]


@pytest.mark.parametrize("name", ADAPTERS)
def test_a_shared_prompt_is_computed_again_with_the_padded_forms_gradient(name: str) -> None:
    """And to the bit what the shared form gives that keeps its activations."""
    frugal, plain = (policy(on, adapter=name).adapter for on in (True, False))
    logps, gradients = gradients_of_a_step(frugal, shared=True)
    kept_logps, kept = gradients_of_a_step(plain, shared=True)
    assert torch.equal(logps, kept_logps) and len(gradients) == len(kept)
    assert all(torch.equal(one, other) for one, other in zip(gradients, kept, strict=True))
    padded_logps, padded = gradients_of_a_step(plain, shared=False)
    torch.testing.assert_close(logps, padded_logps, atol=1e-5, rtol=1e-5)
    for one, other in zip(gradients, padded, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


def test_the_prompt_runs_once_and_no_activation_outlives_its_layer() -> None:
    """Tokens that the first projection reads, and bytes that the graph keeps for the backward."""
    read, kept = [], []
    for on in (True, False):
        adapter = policy(on).adapter
        tokens = [0]
        layer = adapter.modules["model.layers.0.self_attn.q_proj"]
        layer.register_forward_hook(
            lambda m, x, y, tokens=tokens: tokens.__setitem__(0, tokens[0] + x[0].shape[:2].numel())
        )
        held: dict[int, int] = {}

        def pack(x: torch.Tensor, held: dict[int, int] = held) -> torch.Tensor:
            held[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
            return x

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            completion_logps(adapter.model, batch())
        read.append(tokens[0])
        kept.append(sum(held.values()))
    assert read == [2 * 7 + 4 * 3] * 2  # padded it would be 4 * (7 + 4)
    assert kept[0] < kept[1]


def test_a_model_goes_back_to_its_own_checkpointing_afterwards() -> None:
    adapter = policy(True).adapter
    completion_logps(adapter.model, batch())
    layers = adapter.model.model.layers
    assert all(layer.gradient_checkpointing and "forward" not in vars(layer) for layer in layers)


def test_a_shared_prompt_is_refused_where_its_cache_would_be_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    model = policy(True).adapter.model
    expected = completion_logps(model, batch(), shared_prefix=False)
    monkeypatch.setattr(model.config, "model_type", "qwen3_next")
    with pytest.raises(ValueError, match="completions would not see their prompt"):
        completion_logps(model, batch(), shared_prefix=True)
    torch.testing.assert_close(completion_logps(model, batch()), expected)
    shared = completion_logps(model.eval(), batch(), shared_prefix=True)
    torch.testing.assert_close(shared, expected, atol=1e-5, rtol=1e-5)


def test_linear_attention_takes_whole_rows_whose_padding_changes_nothing() -> None:
    """Its cache holds a state, which a forward of several tokens does not go on from."""
    torch.manual_seed(0)
    sizes = {"vocab_size": 400, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4, "head_dim": 16}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "linear_num_key_heads": 2, "linear_num_value_heads": 2}
    linear = {"linear_key_head_dim": 8, "linear_value_head_dim": 8, "linear_conv_kernel_dim": 4}
    model = AutoModelForCausalLM.from_config(Qwen3_5TextConfig(**sizes, **heads, **linear))
    with pytest.raises(ValueError, match="completions would not see their prompt"):
        completion_logps(model, batch(), shared_prefix=True)
    together = completion_logps(model, batch())
    for i, (prompt, tokens) in enumerate(zip([0, 0, 1, 1], COMPLETIONS, strict=True)):
        alone = completion_logps(model, TokenBatch.pad([PROMPTS[prompt]], [tokens], [0], "cpu"))
        torch.testing.assert_close(together[i, : len(tokens)], alone[0], atol=1e-5, rtol=1e-5)
