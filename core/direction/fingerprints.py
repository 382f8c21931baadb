"""Gradient fingerprints of completions: what a sample would change in the layers that change the stream most.

GRIFT (2604.16242; docs/protocol.md 3.5), per completion y of a prompt:
    layers  the `grift_layers` whose output is least like their input: lowest mean cosine over y's tokens
    g       gradient of y's mean NLL by a fresh LoRA (r, alpha = 2r) on those layers' linears, flattened
    f       unit(g R / sqrt(d)), R of seeded signs, d = `grift_sketch`

A fresh LoRA has B = 0, so its A has no gradient and the model is unchanged: with y = W x + (alpha / r) B A x,
    gB = (alpha / r) sum_t dL/dy_t (A x_t)^T
which hooks on the linears give for a whole batch in one forward and backward; no LoRA is ever attached. The gradient
lies on top of the adapter that is there. A fingerprint knows nothing of right and wrong: naming is
core.direction.detection's.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from core.environment.task import Posed
from core.model.adapters.base import TARGETS
from core.model.logprobs import TokenBatch, completion_logps
from core.model.rollouts import generator

if TYPE_CHECKING:
    from core.model.policy import Policy

ALPHA_OVER_R = 2.0
CHUNK = 4096  # coordinates whose signs exist at once

Sample = tuple[Sequence[int], Sequence[int]]  # tokens of a prompt, and of its completion with the end token


@dataclass(frozen=True)
class Recipe:
    """All that two fingerprints must share to be compared."""

    layers: tuple[int, ...]  # from 0
    r: int
    d: int
    seed: int  # of A and of the signs


def side_sample(policy: Policy, side: tuple[Posed, str]) -> Sample:
    """A task and a completion's text as tokens."""
    return policy.prompt(side[0]), policy.language_model.encode_completion(side[1])


def batches(policy: Policy, samples: Sequence[Sample]) -> Iterator[TokenBatch]:
    """In order, at most micro_batch at a time; each row has its own copy of the prompt."""
    for i in range(0, len(samples), policy.config.micro_batch):
        policy.tick()
        part = samples[i : i + policy.config.micro_batch]
        yield TokenBatch.pad([p for p, _ in part], [c for _, c in part], range(len(part)), policy.config.device)


# ---- critical layers


@torch.no_grad()
def layer_similarities(policy: Policy, samples: Sequence[Sample]) -> Tensor:
    """(L,) in [-1, 1]: mean cosine of each layer's input and output, over a sample's completion, then over samples.

    The first layer's input is the embedding. The final norm is no layer.
    """
    total = torch.zeros(len(policy.adapter.model.model.layers))
    for batch in batches(policy, samples):
        total += _stream_cosines(policy.adapter.model, batch).sum(0).cpu()
    return total / len(samples)


def _stream_cosines(model: Any, batch: TokenBatch) -> Tensor:
    """(N, L)."""
    cosines: list[Tensor] = []

    def keep(layer: Any, arguments: tuple[Tensor, ...], named: dict[str, Any], output: Any) -> None:
        entered = arguments[0] if arguments else named["hidden_states"]
        left = output[0] if isinstance(output, tuple) else output
        cosines.append(F.cosine_similarity(entered.float(), left.float(), dim=-1))  # (N, T)

    handles = [layer.register_forward_hook(keep, with_kwargs=True) for layer in model.model.layers]
    try:
        completion_logps(model, batch, shared_prefix=False)
    finally:
        for handle in handles:
            handle.remove()
    mask = batch.completion_mask.float()
    tokens = torch.stack(cosines, 1)[:, :, batch.prompt_ids.shape[1] :]  # (N, L, Lc)
    return torch.einsum("nlt,nt->nl", tokens, mask / mask.sum(1, keepdim=True))


def critical_layers(similarities: Tensor, count: int) -> tuple[int, ...]:
    """The `count` least similar ones, all of a shallower model's, in order of depth."""
    lowest = similarities.sort(stable=True).indices[:count]
    return tuple(sorted(lowest.tolist()))


# ---- gradients


def critical_linears(model: Any, layers: Sequence[int]) -> dict[str, Any]:
    """Attention and MLP projections of these layers by name, with whatever adapter is around them."""
    prefixes = tuple(f"model.layers.{i}." for i in layers)
    named = {n: m for n, m in model.named_modules() if n.startswith(prefixes) and n.rpartition(".")[2] in TARGETS}
    assert named, f"no linear layer named one of {TARGETS} in layers {layers}"
    return named


def virtual_a(name: str, module: Any, r: int, seed: int) -> Tensor:
    """A (r, d_in) of the virtual LoRA on a linear: N(0, 1 / d_in), fixed by seed and name."""
    weight = getattr(module, "base_layer", module).weight
    noise = torch.randn(r, weight.shape[1], generator=generator(seed, "grift A", name))
    return (noise / math.sqrt(weight.shape[1])).to(weight.device)


def virtual_gradients(model: Any, batch: TokenBatch, A: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """gB of every sample's mean NLL per linear, (N, d_out, r) in float32. No parameter gets a .grad.

    Rows do not share a prompt here, so the gradient of the sum over samples is each sample's own in its row.
    """
    with _read(model, A) as (projected, outputs):
        logps = completion_logps(model, batch, shared_prefix=False)
        nll = -(logps.sum(1) / batch.completion_mask.sum(1)).sum()
        names = list(A)
        gradients = torch.autograd.grad(nll, [outputs[name] for name in names])  # (N, T, d_out) each
    return {
        name: ALPHA_OVER_R * torch.einsum("nto,ntr->nor", g.float(), projected[name])
        for name, g in zip(names, gradients, strict=True)
    }


@contextlib.contextmanager
def _read(model: Any, A: Mapping[str, Tensor]) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
    """Filled by the next forward: A x (N, T, r) and y (N, T, d_out) by linear."""
    projected: dict[str, Tensor] = {}
    outputs: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(module: Any, inputs: tuple[Tensor, ...], y: Tensor) -> None:
            projected[name] = F.linear(inputs[0].detach().float(), A[name])
            # where nothing trained lies below, as in a bare model, the graph starts here
            outputs[name] = y if y.requires_grad else y.requires_grad_()

        return hook

    handles = [model.get_submodule(name).register_forward_hook(keep(name)) for name in A]
    try:
        yield projected, outputs
    finally:
        for handle in handles:
            handle.remove()


# ---- fingerprints


def sketch(gradients: Mapping[str, Tensor], d: int, seed: int, chunk: int = CHUNK) -> Tensor:
    """(N, n) per linear -> (N, d): sum over linears of g R / sqrt(d). R (n, d) of +-1 never exists whole."""
    rows, device = next((len(g), g.device) for g in gradients.values())
    total = torch.zeros(rows, d, device=device)
    for name, g in gradients.items():
        draws = generator(seed, "grift signs", name)
        for part in g.split(chunk, 1):
            total += part @ _signs(part.shape[1], d, draws, device)
    return total / math.sqrt(d)


def _signs(rows: int, d: int, draws: torch.Generator, device: torch.device) -> Tensor:
    """(rows, d) of +-1, eight from each random byte."""
    drawn = torch.randint(256, (rows, -(-d // 8)), dtype=torch.uint8, generator=draws).to(device)
    bits = (drawn[:, :, None] >> torch.arange(8, dtype=torch.uint8, device=device)) & 1
    return bits.flatten(1)[:, :d].float() * 2 - 1


def fingerprints(policy: Policy, samples: Sequence[Sample], recipe: Recipe) -> Tensor:
    """(N, d) unit rows, float32 on the CPU; a sample without gradient has a row of zeros."""
    model = policy.adapter.model
    linears = critical_linears(model, recipe.layers)
    A = {name: virtual_a(name, module, recipe.r, recipe.seed) for name, module in linears.items()}
    parts = [virtual_gradients(model, batch, A) for batch in batches(policy, samples)]
    whole = {name: torch.cat([part[name].flatten(1) for part in parts]) for name in A}
    return F.normalize(sketch(whole, recipe.d, recipe.seed), dim=1).cpu()
