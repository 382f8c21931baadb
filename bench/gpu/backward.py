"""Is a backward the same twice? Attention's fused backwards are not by themselves, and torch may only warn of it."""

from __future__ import annotations

import warnings

from bench.gpu.model import policy_of
from bench.gpu.phase import Finding, Phase, Visit, settled
from bench.gpu.tokens import completions, prompts


def work(visit: Visit) -> Finding:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        first, again = _gradient(visit), _gradient(visit)
    said = sorted({str(w.message).split(".")[0][:120] for w in caught if "determin" in str(w.message)})
    figures = {"sha256": [first[0], again[0]], "seconds": [first[1], again[1]], "not deterministic": said}
    same = "equal" if first[0] == again[0] else "DIFFERENT"
    says = f"gradients {same}, {again[1]:.2f} s for {visit.sizes.micro_batch} rows; {len(said)} warnings of torch"
    return Finding(first[0] == again[0], says, figures)


def _gradient(visit: Visit) -> tuple[str, float]:
    """SHA-256 of one micro-batch's gradient by all parameters, as the loop takes it; and its seconds."""
    from core.model.adapters.base import tensors_sha256
    from core.model.logprobs import TokenBatch, completion_logps
    from core.training.grpo import policy_objective

    policy, s = policy_of(visit), visit.sizes
    given = completions(visit, s.micro_batch)
    batch = TokenBatch.pad(prompts(visit, 1, s.prompt), given, [0] * len(given), visit.device)
    parameters = policy.adapter.parameters
    for parameter in parameters.values():
        parameter.grad = None
    began = settled(visit)
    logps = completion_logps(policy.adapter.model, batch)
    advantages = logps.new_tensor([(-1.0) ** row for row in range(len(given))])
    objective = policy_objective(logps, logps.detach(), advantages, policy.config.clip)
    (-(objective * batch.completion_mask).sum() / 1000).backward()
    seconds = settled(visit) - began
    return tensors_sha256({n: p.grad for n, p in parameters.items() if p.grad is not None}), round(seconds, 3)


BACKWARD = Phase("backward", 35, "hashes equal", work)
