"""Do the sampler and the trainer mean the same policy, once its parameters have moved?

KL per token of what is sampled against what is trained, estimated on given tokens (k3). Beside it the same between the
trainer's own figures of all rows together and of some: what bf16 alone makes of one policy. Logits are spread as in an
untrained model here: at a trained one's spread bf16 rounds them to an eighth, and the figure would be of that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.gpu.model import PEAKED, policy_of
from bench.gpu.phase import Finding, Phase, Visit, judged
from bench.gpu.tokens import completions, prompts

MOST_KL = 1e-4
MOVED = 1e-3  # the standard deviation of what is added to every trained number


def work(visit: Visit) -> Finding:
    import torch

    from core.model.logprobs import TokenBatch

    policy, s = policy_of(visit), visit.sizes
    norm = policy.language_model.model.get_parameter("model.norm.weight")
    given = [tokens[: s.mean_new // 4] for tokens in completions(visit, s.micro_batch)]
    asked = prompts(visit, 1, s.prompt)
    batch = TokenBatch.pad(asked, given, [0] * len(given), visit.device)
    before = {name: p.detach().clone() for name, p in policy.adapter.parameters.items()}
    noise = torch.Generator().manual_seed(1)
    with torch.no_grad():
        norm.div_(PEAKED)
        for parameter in policy.adapter.parameters.values():
            parameter.add_(MOVED * torch.randn(parameter.shape, generator=noise).to(parameter))
        policy.refresh()
        trained, some = (_trainer_logps(policy, batch, rows) for rows in (range(len(given)), range(1, len(given))))
        sampled = _sampler_logps(policy, batch)
        for name, value in before.items():
            policy.adapter.parameters[name].copy_(value)
        norm.mul_(PEAKED)
        policy.refresh()
    kl, floor = _kl(sampled, trained, batch.completion_mask), _kl(trained[1:], some, batch.completion_mask[1:])
    figures = {"kl": kl, "kl of the trainer alone": floor, "tokens": int(batch.completion_mask.sum())}
    return Finding(judged(visit, kl < MOST_KL), f"KL {kl:.2g} a token; of the trainer alone {floor:.2g}", figures)


def _kl(one: Any, other: Any, counted: Any) -> float:
    """Per token."""
    from core.training.grpo import k3

    return float(k3(one[counted], other[counted]).mean())


def _trainer_logps(policy: Any, batch: Any, rows: Sequence[int]) -> Any:
    """(rows, Lc), zero outside the mask; each row the whole sequence, as under checkpointing."""
    import torch
    import torch.nn.functional as F

    from core.model.logprobs import completion_logps

    part = batch.take(torch.tensor(list(rows), device=batch.group.device))
    logps = completion_logps(policy.adapter.model, part, False)
    return F.pad(logps, (0, batch.completion_ids.shape[1] - logps.shape[1]))


def _sampler_logps(policy: Any, batch: Any) -> Any:
    """(N, Lc) log-probabilities of the given tokens in the decoder, zero outside the mask."""
    import torch

    width = batch.completion_ids.shape[1]
    logits = policy.decoder.prefill(batch.prompt_ids, batch.prompt_mask, batch.group, width)
    found = []
    for place in range(width):
        tokens = batch.completion_ids[:, place]
        found.append(torch.log_softmax(logits.float(), -1).gather(1, tokens[:, None])[:, 0])
        if place < width - 1:
            logits = policy.decoder.step(tokens)
    policy.decoder.release()
    return torch.stack(found, 1) * batch.completion_mask


AGREEMENT = Phase("agreement", 15, f"KL of sampler and trainer < {MOST_KL:g} a token", work)
