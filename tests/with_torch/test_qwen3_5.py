"""Qwen3.5: what is sampled is what is trained, through layers of linear attention as well."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from core.model.adapters import ADAPTERS
from core.model.adapters.base import TARGETS, WRITERS
from core.model.decoder import ModuleDecoder, make_decoder
from core.model.logprobs import TokenBatch, can_share_prefix, completion_logps
from core.model.rollouts import generator, sample, uniforms
from core.spec import PRESETS
from support import tiny_qwen3_5

PROMPTS = [[5, 6, 7, 8, 9, 10, 11], [12, 13, 14], [20] * 5]  # of different lengths: two are padded on the left


@pytest.mark.parametrize("kind", sorted(ADAPTERS))
def test_the_sampler_and_the_trainer_give_the_same_log_probabilities(kind: str) -> None:
    made = tiny_qwen3_5.language_model()
    adapter = ADAPTERS[kind](made, dataclasses.replace(PRESETS["smoke"], adapter=kind, lora_r=4), 3)
    with torch.no_grad():
        for name, parameter in adapter.parameters.items():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator("moved", name)))
    decoder = make_decoder(adapter.model, adapter.modules)
    assert isinstance(decoder, ModuleDecoder)
    decoder.refresh(adapter)
    drawn = sample(decoder, PROMPTS, uniforms(("k",), 3, 2, 8), 1.0, 1.0, made.end_ids, "cpu", lambda: None)
    batch = TokenBatch.pad(PROMPTS, drawn, [0, 0, 1, 1, 2, 2], "cpu")

    trained = completion_logps(adapter.model, batch)
    logits, found = decoder.prefill(batch.prompt_ids, batch.prompt_mask, batch.group, 8), []
    for tokens in batch.completion_ids.T:
        found.append(torch.log_softmax(logits, -1).gather(1, tokens[:, None])[:, 0])
        logits = decoder.step(tokens)
    sampled = torch.stack(found, 1) * batch.completion_mask
    assert float((sampled - trained.detach()).abs().max()) < 2e-5

    kept = adapter.kept()
    gradients = torch.autograd.grad(trained.sum(), list(kept.values()))
    assert all(bool(g.isfinite().all()) for g in gradients)
    reached = {adapter.module_of.get(name, name) for name, g in zip(kept, gradients, strict=True) if g.abs().sum() > 0}
    assert any("linear_attn.in_proj_qkv" in name for name in reached)


def test_rows_that_go_on_go_on_as_they_were() -> None:
    made = tiny_qwen3_5.language_model()
    decoder = make_decoder(made.model, [])
    batch = TokenBatch.pad(PROMPTS, [[3, 4]] * 6, [0, 0, 1, 1, 2, 2], "cpu")
    rows, logits = torch.tensor([1, 3, 4]), []
    for kept in (False, True):
        decoder.prefill(batch.prompt_ids, batch.prompt_mask, batch.group, 4)
        decoder.step(batch.completion_ids[:, 0])
        if kept:
            decoder.keep(rows)
        tokens = batch.completion_ids[:, 1]
        logits.append(decoder.step(tokens[rows])[:] if kept else decoder.step(tokens)[rows])
    assert float((logits[0] - logits[1]).abs().max()) < 1e-5


def test_an_adapter_changes_every_linear_layer_and_knows_which_write_to_the_stream() -> None:
    model = tiny_qwen3_5.language_model().model
    linear = {n.rpartition(".")[2] for n, m in model.named_modules() if isinstance(m, torch.nn.Linear)}
    assert linear - {"lm_head"} == set(TARGETS)
    assert set(WRITERS) <= set(TARGETS)
    assert not can_share_prefix(model)
