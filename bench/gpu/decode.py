"""How fast tokens are sampled, beside what the card's memory allows and beside Hugging Face's own loop."""

from __future__ import annotations

from typing import Any

from bench.gpu.model import policy_of
from bench.gpu.phase import Finding, Phase, Visit, judged, settled
from bench.gpu.tokens import prompts

NEVER = frozenset([-1])  # no token ends a completion here
OF_THE_FLOOR = 0.7
OVER_HF = 6.0
NEEDED_S = 10.0  # for one more number of rows


def work(visit: Visit) -> Finding:
    s, bandwidth, sampled = visit.sizes, _bandwidth(visit), {}
    for rows in s.decode_rows:
        if visit.left() < NEEDED_S:
            break
        seconds = _seconds_per_token(visit, rows)
        floor = _bytes_per_token(visit, rows) / bandwidth
        sampled[rows] = {
            "tokens_per_s": round(rows / seconds, 1),
            "ms_a_token": round(1e3 * seconds, 3),
            "of_the_floor": round(floor / seconds, 3),
        }
    most = max(sampled)
    theirs = _hugging_face(visit, most)
    figures: dict[str, Any] = {
        "bandwidth_GB_s": round(bandwidth / 1e9, 1),
        "rows": sampled,
        "hf_tokens_per_s": round(theirs, 1),
        "launches_a_token": _launches(visit, most) if visit.on_card and not visit.tiny else None,
    }
    share, ratio = sampled[most]["of_the_floor"], sampled[most]["tokens_per_s"] / theirs
    says = f"{most} rows: {sampled[most]['tokens_per_s']} tokens/s, {share:.0%} of the floor, {ratio:.1f}x HF"
    return Finding(judged(visit, share >= OF_THE_FLOOR and ratio >= OVER_HF), says, figures)


def _bandwidth(visit: Visit) -> float:
    """Bytes a second of a copy within the card: read and written."""
    import torch

    source = torch.zeros(10**6 if visit.tiny else 2 * 10**9, dtype=torch.uint8, device=visit.device)
    target = torch.empty_like(source)
    target.copy_(source)
    began = settled(visit)
    for _ in range(5):
        target.copy_(source)
    return 5 * 2 * source.numel() / (settled(visit) - began)


def _bytes_per_token(visit: Visit, rows: int) -> float:
    """What a step must read: every weight once, and the keys and values of every row."""
    weights = sum(
        p.numel() * p.element_size() for p in policy_of(visit).language_model.model.parameters() if p.dim() > 1
    )
    s = visit.sizes
    return weights + rows * s.cache_bytes * (s.prompt + s.decode_tokens / 2)


def _sample(visit: Visit, rows: int, new: int) -> float:
    """Seconds."""
    import torch

    from core.model.rollouts import sample

    policy, members = policy_of(visit), min(rows, visit.sizes.members)
    asked = prompts(visit, rows // members, visit.sizes.prompt)
    draws = torch.rand(rows, new, generator=torch.Generator().manual_seed(rows))
    began = settled(visit)
    sample(policy.decoder, asked, draws, 0.7, 0.95, NEVER, visit.device)
    return settled(visit) - began


def _seconds_per_token(visit: Visit, rows: int) -> float:
    """Without the prefill, which the shorter of two runs has as well."""
    new = visit.sizes.decode_tokens
    _sample(visit, rows, 3)  # the first call loads kernels
    short = _sample(visit, rows, 2)
    return max(1e-9, _sample(visit, rows, new) - short) / (new - 2)


def _hugging_face(visit: Visit, rows: int) -> float:
    """Tokens a second of `generate` on the same model without its adapter."""
    import torch

    policy = policy_of(visit)
    model, trained = policy.adapter.model, policy.adapter.model.training
    warns_only = torch.is_deterministic_algorithms_warn_only_enabled()
    asked = torch.tensor(prompts(visit, 1, visit.sizes.prompt) * rows, device=visit.device)
    new = max(4, visit.sizes.decode_tokens // 4)

    def seconds(count: int) -> float:
        began = settled(visit)
        with policy.adapter.zeroed(), torch.no_grad():
            model.generate(
                asked, attention_mask=torch.ones_like(asked), do_sample=True, temperature=0.7, top_p=0.95, top_k=0,
                min_new_tokens=count, max_new_tokens=count, pad_token_id=0,
            )  # fmt: skip
        return settled(visit) - began

    model.eval()  # while it trains under checkpointing it keeps no cache
    torch.use_deterministic_algorithms(False)  # its top_p sums up in an order of no promise
    try:
        seconds(2)
        return rows * (new - 2) / max(1e-9, seconds(new) - seconds(2))
    finally:
        torch.use_deterministic_algorithms(True, warn_only=warns_only)
        model.train(trained)


def _launches(visit: Visit, rows: int) -> float | str:
    """Kernels that the host launches for one token; or why the profiler does not know."""
    from torch.profiler import ProfilerActivity, profile

    def launched(new: int) -> int:
        with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as found:
            _sample(visit, rows, new)
        return sum(row.count for row in found.key_averages() if "LaunchKernel" in row.key)

    try:
        return (launched(6) - launched(2)) / 4
    except Exception as error:  # a box without CUPTI keeps the phase's other figures
        return f"{type(error).__name__}: {error}"[:200]


DECODE = Phase("decode", 45, f">= {OF_THE_FLOOR:.0%} of the floor, >= {OVER_HF:g}x Hugging Face's generate", work)
