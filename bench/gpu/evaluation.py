"""A shard of an evaluation at the longest shape, as many rows as the card takes: twice, a cache might outlive it."""

from __future__ import annotations

from bench.gpu.capacity import SHARE, rows_that_fit
from bench.gpu.machine import card
from bench.gpu.model import peak_gb, policy_of
from bench.gpu.phase import Finding, Phase, Visit, settled
from bench.gpu.tokens import prompts

ONE_IN = 20  # tokens of the vocabulary end a completion: a shard of seconds with the cache of one of minutes
MOST_ROWS = 256


def work(visit: Visit) -> Finding:
    import torch

    from core.model.rollouts import sample

    policy, s = policy_of(visit), visit.sizes
    rows = rows_that_fit(visit, s.longest_prompt, s.max_new, s.rows if visit.tiny else MOST_ROWS, sharing=1)
    ends = frozenset(range(0, s.model["vocab_size"], ONE_IN))
    peaks, seconds, tokens = [], [], 0
    peak_gb(visit)
    for _ in range(2):
        asked = prompts(visit, rows, s.longest_prompt)
        draws = torch.rand(rows, s.max_new, generator=torch.Generator().manual_seed(1))
        began = settled(visit)
        found = sample(policy.decoder, asked, draws, 0.7, 0.95, ends, visit.device)
        seconds.append(round(settled(visit) - began, 2))
        peaks.append(peak_gb(visit))
        tokens = sum(map(len, found))
    figures = {"rows": rows, "peak_GB": peaks, "seconds": seconds, "tokens": tokens}
    says = f"{rows} rows of {s.longest_prompt} + {s.max_new} tokens, twice"
    if not visit.on_card:
        return Finding(None, says, figures)
    limit = SHARE * card(visit)["bytes"] / 1e9
    return Finding(max(peaks) <= limit, f"{says}: peaks {peaks[0]} and {peaks[1]} GB, limit {limit:.0f}", figures)


EVALUATION = Phase("evaluation", 20, f"no OOM, and at most {SHARE:.0%} of the card", work)
