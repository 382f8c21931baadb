"""One optimizer step of the preset `full`: seconds, and peak memory by phase beside the forecast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bench.gpu.capacity import rows_that_fit
from bench.gpu.model import full_config, peak_gb, policy_of
from bench.gpu.phase import Finding, Phase, Visit, judged, settled
from bench.gpu.tokens import completions, prompts

# GB of Qwen3-4B with LoRA, 128 rows of 700 + 1536 tokens, micro-batches of 8, counted on a device without memory.
FORECAST_GB = {"weights": 15.6, "generate": 59.3, "optimize": 25.0}
WITHIN = 0.1


@dataclass(frozen=True)
class Long:
    """A prompt of so many tokens: what a step asks its policy for."""

    tokens: list[int]


def work(visit: Visit) -> Finding:
    import torch

    policy, s = policy_of(visit), visit.sizes
    rows = rows_that_fit(visit, s.prompt, s.max_new, s.rows)
    peaks, seconds = {}, {}
    peak_gb(visit)
    policy.refresh()
    peaks["weights"] = peak_gb(visit)
    began = settled(visit)
    _generate(visit, rows)
    peaks["generate"], seconds["generate"] = peak_gb(visit), settled(visit) - began
    parameters = list(policy.adapter.parameters.values())
    optimizer = torch.optim.AdamW(parameters, policy.config.lr, weight_decay=policy.config.weight_decay)
    began = settled(visit)
    row = _optimize(visit, rows, optimizer)
    peaks["optimize"], seconds["optimize"] = peak_gb(visit), settled(visit) - began
    began = settled(visit)
    _generate(visit, rows)
    peaks["generate again"], seconds["generate again"] = peak_gb(visit), settled(visit) - began
    figures: dict[str, Any] = {
        "rows": rows, "peak_GB": peaks, "forecast_GB": FORECAST_GB if rows == s.rows else None,
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
        "row": {name: row[name] for name in ("loss", "gn", "kl", "tokens")},
    }  # fmt: skip
    off = {n: peaks[n] / expected - 1 for n, expected in FORECAST_GB.items() if peaks[n] is not None}
    said = [
        f"{name} {peak} GB" + (f" ({off[name]:+.0%})" if name in off else "") for name, peak in peaks.items() if peak
    ]
    fits = all(share <= WITHIN for share in off.values()) if rows == s.rows else True
    says = "; ".join([f"{rows} rows: optimize {seconds['optimize']:.1f} s", *said])
    return Finding(judged(visit, fits), says, figures)


def _generate(visit: Visit, rows: int) -> None:
    """The whole cache of a rollout, and its first tokens: any of the vocabulary ends a completion."""
    import torch

    from core.model.rollouts import sample

    policy, s = policy_of(visit), visit.sizes
    asked, draws = prompts(visit, rows // s.members, s.prompt), torch.rand(rows, s.max_new)
    sample(policy.decoder, asked, draws, 0.7, 0.95, frozenset(range(s.model["vocab_size"])), visit.device)


def _optimize(visit: Visit, rows: int, optimizer: Any) -> dict[str, Any]:
    """The step's row of metrics. In every second group all rollouts earn the same, so that it is not run."""
    import torch

    from core.arms import ARMS
    from core.arms.arm import Step
    from core.model.run_data import ArmData, PairSets
    from core.training.step import optimize

    policy, s = policy_of(visit), visit.sizes
    asked = prompts(visit, rows // s.members, s.prompt)
    flat = completions(visit, rows)
    groups = [flat[i : i + s.members] for i in range(0, rows, s.members)]
    data = ArmData([], PairSets(lambda concept: []))
    step = Step(2, 7, full_config(visit, batch=rows), policy, data, {}, row={"step": 2})
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


STEP = Phase("step", 75, f"peak memory at most {WITHIN:.0%} above the forecast", work)
