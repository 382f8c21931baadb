"""A step of training and of sampling on device "meta": the product's own functions at a real model's shape.

Peaks by the names that orchestrator.planning.gpu_memory gives them, less what an arm of a real run keeps beside.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

import core.model.adapters.lora as lora
import core.model.adapters.svd as svd
from core.model.adapters import ADAPTERS
from core.model.adapters.base import Adapter, switched_off
from core.model.hidden import layer_band, pooled_states
from core.model.load import LanguageModel
from core.model.logprobs import TokenBatch, completion_logps
from core.model.policy import Policy
from core.model.rollouts import likely_draw, with_full_draws
from core.spec import TrainConfig
from core.training.grpo import k3, policy_objective
from core.weights.shapes import Shape
from orchestrator.planning.gpu_memory import Phases
from support.memory_meter import MemoryMeter, metered


def peaks(shape: Shape, config: TrainConfig, prompts: int, trains: bool = True) -> Phases:
    """`prompts` groups are sampled; a micro-batch of `config.micro_batch` rows of one group more than it fills is
    trained."""
    with metered() as meter, _on_meta():
        policy = _attached(shape, config)
        found = {"loaded": meter.live}
        meter.restart()
        found |= _sampled(meter, policy, prompts)
        found |= _trained(meter, policy) if trains else {}
    return found


def _sampled(meter: MemoryMeter, policy: Policy, prompts: int) -> Phases:
    c = policy.config
    rows = prompts * c.completions
    group = torch.arange(prompts, device="meta").repeat_interleave(c.completions)
    ids, mask = _meta(prompts, c.max_prompt, dtype=torch.long), _meta(prompts, c.max_prompt, dtype=torch.bool)
    logits = policy.decoder.prefill(ids, mask, group, c.max_new)
    prefill = _peak(meter)
    probabilities = torch.softmax(logits.float() / c.temperature, -1)
    drawn, is_short = likely_draw(probabilities, _meta(rows), c.top_p)
    with_full_draws(drawn, is_short, probabilities, _meta(rows), c.top_p)  # no few tokens hold top_p, in any row
    del logits, probabilities
    policy.decoder.step(_meta(rows, dtype=torch.long))
    policy.decoder.keep(torch.arange(rows * 3 // 4, device="meta"))
    decode = _peak(meter)
    policy.decoder.release()
    meter.restart()
    return {"prefill": prefill, "decode": decode}


def _trained(meter: MemoryMeter, policy: Policy) -> Phases:
    c, adapter = policy.config, policy.adapter
    parameters = list(adapter.parameters.values())
    optimizer = torch.optim.AdamW(parameters, c.lr)
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    meter.restart()
    batch, is_in = _batch(c), _meta(c.micro_batch, dtype=torch.bool)
    with adapter.masked(is_in, is_in) if adapter.masked else contextlib.nullcontext():
        found = _forward_and_backward(meter, policy, batch)
    optimizer.step()
    found["update"] = _peak(meter)
    with torch.no_grad():
        band = layer_band(adapter.model.config.num_hidden_layers, c.layers_from, c.layers_to)
        pooled_states(adapter.model, batch, band, c.token)
    return found | {"hidden states": _peak(meter)}


def _forward_and_backward(meter: MemoryMeter, policy: Policy, batch: TokenBatch) -> Phases:
    c, model = policy.config, policy.adapter.model
    shared = False if policy.adapter.masked else None  # a mask by rollout cannot hold for a shared prompt
    logps = completion_logps(model, batch, shared)
    found = {"forward": _peak(meter)}
    objective = policy_objective(logps, logps.detach(), _meta(c.micro_batch), c.clip)
    with switched_off(policy.adapter):
        reference = completion_logps(model, batch, shared)
    found["reference"] = _peak(meter)
    (-((objective - c.kl * k3(logps, reference, c.kl_cap)) * batch.completion_mask).sum()).backward()
    del objective, reference, logps
    return found | {"backward": _peak(meter)}


def _peak(meter: MemoryMeter) -> int:
    peak = meter.peak
    meter.restart()
    return peak


def _batch(c: TrainConfig) -> TokenBatch:
    rows, prompts = c.micro_batch, min(c.micro_batch, c.micro_batch // c.completions + 1)
    group = torch.arange(rows, device="meta") * prompts // rows
    return TokenBatch(
        _meta(prompts, c.max_prompt, dtype=torch.long),
        _meta(prompts, c.max_prompt, dtype=torch.bool),
        _meta(rows, c.max_new, dtype=torch.long),
        _meta(rows, c.max_new, dtype=torch.bool),
        group,
    )


def _attached(shape: Shape, config: TrainConfig) -> Policy:
    model = empty_model(shape, getattr(torch, config.dtype))
    language_model = LanguageModel(model, None, frozenset([1]))
    adapter: Adapter = ADAPTERS[config.adapter](language_model, config, 1)
    if config.grad_checkpointing:
        adapter.model.train()
        adapter.model.gradient_checkpointing_enable({"use_reentrant": False})
        adapter.model.enable_input_require_grads()
    policy = Policy.of(language_model, adapter, config)
    policy.refresh()
    return policy


def empty_model(shape: Shape, dtype: torch.dtype) -> Any:
    """A causal LM of this shape on device "meta"."""
    config_class: Any = {"qwen3": Qwen3Config, "llama": LlamaConfig}[shape.model_type]
    model_class: Any = {"qwen3": Qwen3ForCausalLM, "llama": LlamaForCausalLM}[shape.model_type]
    config = config_class(
        vocab_size=shape.vocab,
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_dim,
        max_position_embeddings=40960,
        tie_word_embeddings=shape.tied,
    )
    config._attn_implementation = "sdpa"
    torch.set_default_dtype(dtype)
    try:
        with torch.device("meta"):
            model = model_class(config)
    finally:
        torch.set_default_dtype(torch.float32)
    model.requires_grad_(False).eval()
    model.tie_weights()
    return model


def _meta(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.zeros(*shape, dtype=dtype, device="meta")


@contextlib.contextmanager
def _on_meta() -> Iterator[None]:
    """No SVD is taken, and peft's matrices, which it makes on the CPU beside a base on "meta", are moved there."""
    wrapped, svd_basis = lora._wrapped, svd.svd_basis

    def moved(*arguments: Any) -> Any:
        found = wrapped(*arguments)
        for module in found.modules():
            for name, p in list(module._parameters.items()):
                if p is not None and p.device.type != "meta":
                    module._parameters[name] = torch.nn.Parameter(_meta(*p.shape), p.requires_grad)
        return found

    def basis(weight: Tensor, given: object = None) -> tuple[Tensor, Tensor]:
        rank = min(weight.shape)
        return _meta(weight.shape[0], rank), _meta(rank, weight.shape[1])

    lora._wrapped, svd.svd_basis = moved, basis
    try:
        yield
    finally:
        lora._wrapped, svd.svd_basis = wrapped, svd_basis
