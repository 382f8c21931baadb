"""TDGA: only the output directions of a clean update are trusted. Deng 2026 (2605.25189), section 5, eqs. 4-6.

    dW_clean = W_t - W_0 of a short supervised phase = U diag(sigma) V^T;   U_K its first K left vectors
    a_i = sigma_i / sum_{j <= K} sigma_j                    over the K that are kept, so the a_i sum to 1
    gB <- U_K diag(a) U_K^T gB                              per module, after backward

W's gradient G reaches B as G A^T, so acting on B's output side is acting on G's; A's gradient, the input side, is left
free, and no norm is given back. With K = 1 that is a plain projection; with K > 1 each direction also shrinks by a_i.

The paper does not say how long the warm-up is or what optimizer it has: here it is the run's AdamW at constant lr for
`tdga_warmup` steps, on canonical solutions under the unhinted prompt. gB lies in span(U_K) by arithmetic. The change of
B does not: AdamW divides each number by its own root mean square, which turns the step and makes up for the shrinking.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from core.arms.arm import Arm, State, Step
from core.environment.problems import fenced
from core.environment.task import Prompt
from core.model.supervised import nll_gradient

TRUSTED, WEIGHT = "U/", "a/"


@dataclass(frozen=True)
class TrustedDirections:
    U: Tensor  # (d_out, K) orthonormal columns
    a: Tensor  # (K,) positive, descending, sum 1


def trusted_directions(B: Tensor, A: Tensor, k: int) -> TrustedDirections:
    """Of dW = B A; (d_out, r), (r, d_in). Fewer than k where the rank is lower, none where dW is zero.

    From the factors' QR, so that no (d_out, d_in) matrix is taken apart.
    """
    Q_B, R_B = torch.linalg.qr(B.float())
    R_A = torch.linalg.qr(A.float().T).R
    U, S, _ = torch.linalg.svd(R_B @ R_A.T)  # (r, r): Q_B and A's own basis only turn it
    count = min(k, int((1e-6 * S[0] < S).sum()))
    return TrustedDirections((Q_B @ U[:, :count]).contiguous(), S[:count] / S[:count].sum())


def clean_sides(step: Step, number: int) -> list[tuple[Prompt, str]]:
    """As many problems as a step has, each with its canonical solution, posed without a hint."""
    c, solutions = step.config, step.data.solutions
    assert solutions is not None, "the arm declares sees_solutions"
    drawing = random.Random(f"tdga warm-up {step.seed} {number}")
    prompts = drawing.sample(step.data.train, c.batch // c.completions)
    return [(replace(prompt, mode="gt_only"), fenced(solutions[prompt.problem_id])) for prompt in prompts]


def prepare(step: Step) -> State:
    """U and a by module. The adapter's parameters are afterwards what they were, bit for bit."""
    adapter, c = step.adapter, step.config
    before = {name: parameter.detach().clone() for name, parameter in adapter.parameters.items()}
    parameters = list(adapter.parameters.values())
    optimizer = torch.optim.AdamW(parameters, c.lr, (c.beta1, c.beta2), weight_decay=c.weight_decay)
    for number in range(1, c.tdga_warmup + 1):
        found = nll_gradient(step.policy, clean_sides(step, number), adapter.parameters)
        for name, parameter in adapter.parameters.items():
            parameter.grad = found.gradient[name]
        optimizer.step()
    state: State = {}
    with torch.no_grad():
        for name, module in adapter.modules.items():
            B, A = module.lora_B["default"].weight, module.lora_A["default"].weight
            trusted = trusted_directions(B, A, c.tdga_k)  # W_0 has no part in it: B starts at zero
            if not len(trusted.a):
                raise RuntimeError(f"{name}: {c.tdga_warmup} clean steps left it unchanged, so no direction is trusted")
            state |= {f"{TRUSTED}{name}": trusted.U, f"{WEIGHT}{name}": trusted.a}
        for name, parameter in adapter.parameters.items():
            parameter.copy_(before[name])
            parameter.grad = None
    return state


def aligned(g: Tensor, trusted: TrustedDirections) -> Tensor:
    """U diag(a) U^T g; (d_out, r) -> (d_out, r)."""
    U, a = trusted.U.to(g), trusted.a.to(g)
    return U @ (a[:, None] * (U.T @ g))


def align(step: Step) -> None:
    """Column factor: |gB| afterwards over |gB| before, over all modules; null where there was no gradient."""
    before = after = 0.0
    for name, parameter in step.adapter.parameters.items():
        if "lora_B" not in name:
            continue
        assert parameter.grad is not None, "the loop gives every parameter a gradient"
        module = step.adapter.module_of[name]
        trusted = TrustedDirections(step.state[f"{TRUSTED}{module}"], step.state[f"{WEIGHT}{module}"])
        kept = aligned(parameter.grad, trusted)
        before += float(parameter.grad.square().sum())
        after += float(kept.square().sum())
        parameter.grad = kept
    step.row["factor"] = (after / before) ** 0.5 if before else None


TDGA = Arm(prepare=prepare, gradient=align, sees_solutions=True)
