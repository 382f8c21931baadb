"""One shard of an evaluation as planned for this card, at the longest shape; twice, since a cache may outlive it."""

from __future__ import annotations

from bench.gpu.model import full_config, peak_gb, policy_of
from bench.gpu.phase import Finding, Phase, Visit, judged, settled
from bench.gpu.planned import sized_config, table_of
from bench.gpu.tokens import prompts

PROBLEMS = 113  # of the benchmark's test file, by Qwen3's tokenizer
ONE_IN = 20  # tokens of the vocabulary end a completion: a shard of seconds with the cache of one of minutes
FAMILY = "eval"


def work(visit: Visit) -> Finding:
    import torch

    from core.model.rollouts import sample

    policy, s = policy_of(visit), visit.sizes
    asked = full_config(visit, eval_problems=s.rows if visit.tiny else PROBLEMS)
    table = table_of(visit, asked, FAMILY)
    rows = min(sized_config(visit, asked, FAMILY).decode_rows, asked.eval_problems)
    ends = frozenset(range(0, s.model["vocab_size"], ONE_IN))
    peaks, seconds, tokens = [], [], 0
    peak_gb(visit)
    for _ in range(2):
        draws = torch.rand(rows, s.max_new, generator=torch.Generator().manual_seed(1))
        began = settled(visit)
        found = sample(
            policy.decoder, prompts(visit, rows, s.longest_prompt), draws, 0.7, 0.95, ends, visit.device
        )  # fmt: skip
        seconds.append(round(settled(visit) - began, 2))
        peaks.append(peak_gb(visit))
        tokens = sum(map(len, found))
    figures = {"rows": rows, "peak_GB": peaks, "seconds": seconds, "tokens": tokens}
    says = f"{rows} rows of {s.longest_prompt} + {s.max_new} tokens, twice"
    if table is None or peaks[0] is None:
        return Finding(None, says, figures)
    limit = table.run.allowed / 1e9
    return Finding(
        judged(visit, max(peaks) <= limit), f"{says}: peaks {peaks[0]} and {peaks[1]} GB, limit {limit:.0f}", figures
    )


EVALUATION = Phase("evaluation", 20, "no OOM, and within the part of the card that a plan may use", work)
