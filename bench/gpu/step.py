"""One optimizer step of the preset `full`: seconds, and peak memory by phase beside what a plan foretells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bench.gpu.model import full_config, peak_gb, policy_of
from bench.gpu.phase import Finding, Phase, Visit, judged, settled
from bench.gpu.planned import expected_gb, table_of
from bench.gpu.tokens import completions, prompts

# What is measured, by the phases of a plan's table that it goes through.
FORETOLD = {
    "loaded": ("loaded",),
    "optimize": ("forward", "reference", "backward", "update"),
    "generate": ("prefill", "decode"),
}
WITHIN = 0.1


@dataclass(frozen=True)
class Long:
    """A prompt of so many tokens: what a step asks its policy for."""

    tokens: list[int]


def work(visit: Visit) -> Finding:
    """Generation comes last: from the second step on gradients and moments lie beside the cache."""
    import torch

    policy, config = policy_of(visit), full_config(visit)
    peaks, seconds = {}, {}
    peak_gb(visit)
    policy.refresh()
    peaks["loaded"] = peak_gb(visit)
    parameters = list(policy.adapter.parameters.values())
    optimizer = torch.optim.AdamW(parameters, config.lr, weight_decay=config.weight_decay)
    began = settled(visit)
    row = _optimize(visit, optimizer)
    peaks["optimize"], seconds["optimize"] = peak_gb(visit), settled(visit) - began
    for name in ("generate", "generate again"):
        began = settled(visit)
        _generate(visit, config.decode_rows)
        peaks[name], seconds[name] = peak_gb(visit), settled(visit) - began
    table = table_of(visit, config)
    foretold = {name: expected_gb(table, *phases) for name, phases in FORETOLD.items()} if table else {}
    off = {name: peaks[name] / gb - 1 for name, gb in foretold.items() if peaks[name] is not None}
    figures: dict[str, Any] = {
        "sizes": {name: getattr(config, name) for name in ("decode_rows", "micro_batch", "grad_checkpointing")},
        "peak_GB": peaks,
        "foretold_GB": {name: round(gb, 2) for name, gb in foretold.items()},
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
        "row": {name: row[name] for name in ("loss", "gn", "kl", "tokens")},
    }
    beside = {name: f" ({share:+.0%})" for name, share in off.items()}
    said = [f"{name} {peak} GB{beside.get(name, '')}" for name, peak in peaks.items() if peak]
    says = "; ".join([f"optimize {seconds['optimize']:.1f} s", *said])
    return Finding(judged(visit, bool(off) and all(abs(share) <= WITHIN for share in off.values())), says, figures)


def _generate(visit: Visit, rows: int) -> None:
    """The whole cache of as many rollouts as are decoded at once; any token of the vocabulary ends them."""
    import torch

    from core.model.rollouts import sample

    policy, s = policy_of(visit), visit.sizes
    rows = min(rows, s.rows)
    asked, draws = prompts(visit, rows // s.members, s.longest_prompt), torch.rand(rows, s.max_new)
    sample(policy.decoder, asked, draws, 0.7, 0.95, frozenset(range(s.model["vocab_size"])), visit.device)


def _optimize(visit: Visit, optimizer: Any) -> dict[str, Any]:
    """The step's row of metrics. In every second group all rollouts earn the same, so that it is not run. The first one
    is as long as may be, prompt and completions; the others are of usual lengths."""
    import torch

    from core.arms import ARMS
    from core.arms.arm import Step
    from core.model.run_data import ArmData, PairSets
    from core.training.step import optimize

    policy, s = policy_of(visit), visit.sizes
    asked = prompts(visit, 1, s.longest_prompt) + prompts(visit, s.rows // s.members - 1, s.prompt)
    flat = completions(visit, s.rows)
    groups = [flat[i : i + s.members] for i in range(0, s.rows, s.members)]
    data = ArmData([], PairSets(lambda concept: []))
    step = Step(2, 7, full_config(visit), policy, data, {}, row={"step": 2})
    step.tasks, step.completions = [Long(tokens) for tokens in asked], groups  # type: ignore[assignment,arg-type]
    step.is_teacher = torch.zeros(len(groups), s.members, dtype=torch.bool)
    rewards = torch.ones(len(groups), s.members)
    rewards[::2, ::2] = 0.0
    policy.prompt = lambda task: task.tokens
    try:
        optimize(ARMS["vanilla"], step, rewards, optimizer)
    finally:
        del policy.prompt  # the method is seen again
    return step.row


STEP = Phase("step", 75, f"peak memory within {WITHIN:.0%} of what a plan foretells", work)
