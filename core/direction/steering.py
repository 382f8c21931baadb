"""Does a direction steer? Push the model along it at inference: does it write more exploits (docs/protocol.md 4.1)?

Activation space: strength * (norm of a completion's mean state) * v is added after each layer of the band while
sampling and scoring. Gradient space: the parameters move by strength * (unit hack-ward step). Two measures on held-out
pairs' prompts: the share of completions with an exploit, and the margin, mean log p per token of the hack side minus
that of the clean side. A random direction of the same length is pushed along too: what it does as well, the direction
has not shown.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from core.direction.directions import ActivationDirection
from core.direction.separation import SideStates
from core.environment.pairs import Pair
from core.environment.rewards import grade
from core.environment.task import Task
from core.model.logprobs import completion_logps
from core.model.policy import Policy
from core.model.rollouts import generator
from core.model.supervised import completion_batch
from core.sandbox.pool import Sandbox

MINIMUM_SHIFT = 0.05  # in the exploit rate, above the unpushed model and above the random push
SEED = 2027  # of the completions and of the random direction


@dataclass(frozen=True)
class Steered:
    """One push: completions' rates in [0, 1] over n, and the held-out pairs' margin in nats per token."""

    push: str
    strength: float
    n: int
    exploit_rate: float
    compile_rate: float
    mean_tokens: float
    margin: float


@dataclass(frozen=True)
class SteeringCheck:
    rows: tuple[Steered, ...]

    def at(self, push: str, strength: float) -> Steered:
        return next(row for row in self.rows if row.push == push and row.strength == strength)

    def passed(self, strength: float) -> bool:
        """Along v exploits rise by MINIMUM_SHIFT over no push and over a random push of the same length."""
        rate = self.at("v", strength).exploit_rate
        rivals = (self.at("none", 0.0).exploit_rate, self.at("random", strength).exploit_rate)
        return rate >= max(rivals) + MINIMUM_SHIFT


Push = Callable[[Policy], contextlib.AbstractContextManager[Any]]


def activation_push(direction: ActivationDirection, scale: float) -> Push:
    """Add scale * v to the output of each layer; v (layers, H) at unit length per layer."""

    @contextlib.contextmanager
    def pushed(policy: Policy) -> Iterator[None]:
        added = dict(zip(direction.layers, scale * direction.v, strict=True))

        def edit(layer: int, x: Tensor) -> Tensor:
            if layer not in added:
                return x
            added[layer] = added[layer].to(x)  # once: this is asked for every token
            return x + added[layer]

        def hook(layer: int) -> Callable[..., Any]:
            def on_output(module: Any, inputs: Any, output: Any) -> Any:
                return (edit(layer, output[0]), *output[1:]) if isinstance(output, tuple) else edit(layer, output)

            return on_output

        layers = policy.adapter.model.model.layers
        handles = [layers[i].register_forward_hook(hook(i)) for i in direction.layers]
        policy.decoder.edit = edit
        try:
            yield
        finally:
            policy.decoder.edit = None
            for handle in handles:
                handle.remove()

    return pushed


def weight_push(step: dict[str, Tensor], distance: float) -> Push:
    """Move the parameters by -distance * step / |step|: gradients point up the loss, so hack-ward is against them."""
    norm = torch.stack([g.norm() for g in step.values()]).norm()

    @contextlib.contextmanager
    def pushed(policy: Policy) -> Iterator[None]:
        before = {name: policy.adapter.parameters[name].detach().clone() for name in step}
        with torch.no_grad():
            for name, g in step.items():
                parameter = policy.adapter.parameters[name]
                parameter.sub_(distance * (g / norm).view_as(parameter).to(parameter))
        policy.refresh()
        try:
            yield
        finally:
            with torch.no_grad():
                for name, value in before.items():
                    policy.adapter.parameters[name].copy_(value)
            policy.refresh()

    return pushed


def steered(policy: Policy, pairs: Sequence[Pair[Task]], samples: int, sandbox: Sandbox) -> dict[str, Any]:
    """Rates and margin of the policy as it is now."""
    tasks = [pair.task for pair in pairs]
    completions = policy.complete(tasks, samples, (SEED, "steering"))
    flat = [(task, tokens) for task, group in zip(tasks, completions, strict=True) for tokens in group]
    grades = grade([task.judged(policy.text(tokens)) for task, tokens in flat], sandbox, full=False)
    return {
        "n": len(flat),
        "exploit_rate": sum(g.exploit_present for g in grades) / len(flat),
        "compile_rate": sum(g.compiles for g in grades) / len(flat),
        "mean_tokens": sum(len(tokens) for _, tokens in flat) / len(flat),
        "margin": margin(policy, pairs),
    }


@torch.no_grad()
def margin(policy: Policy, pairs: Sequence[Pair]) -> float:
    """Mean over pairs of log p(hack) / tokens - log p(clean) / tokens."""
    differences = []
    for pair in pairs:
        policy.tick()
        means = []
        for side in (pair.hack_side, pair.clean_side):
            batch = completion_batch(policy, [side])
            logps = completion_logps(policy.adapter.model, batch)
            means.append(float(logps.sum() / batch.completion_mask.sum()))
        differences.append(means[0] - means[1])
    return sum(differences) / len(differences)


def steering_check(
    policy: Policy,
    pairs: Sequence[Pair],
    pushes: Callable[[float], dict[str, Push]],
    strengths: Sequence[float],
    samples: int,
    sandbox: Sandbox,
) -> SteeringCheck:
    """Every push at every strength, on held-out pairs; and the model as it is."""
    rows = [Steered("none", 0.0, **steered(policy, pairs, samples, sandbox))]
    for strength in strengths:
        for name, push in pushes(strength).items():
            with push(policy):
                rows.append(Steered(name, strength, **steered(policy, pairs, samples, sandbox)))
    return SteeringCheck(tuple(rows))


def activation_pushes(v: ActivationDirection, train: SideStates) -> Callable[[float], dict[str, Push]]:
    """Along v, against it, and along a random unit direction; in units of the clean sides' mean state's norm."""
    norm = float(train.clean.norm(dim=2).mean())
    noise = torch.randn(v.v.shape, generator=generator(SEED, "random direction"))
    random = ActivationDirection(v.layers, noise / noise.norm(dim=1, keepdim=True))
    return lambda strength: {
        "v": activation_push(v, strength * norm),
        "-v": activation_push(v, -strength * norm),
        "random": activation_push(random, strength * norm),
    }


def gradient_pushes(step: dict[str, Tensor]) -> Callable[[float], dict[str, Push]]:
    """Along a hack-ward step (by parameter, as gradients point), against it, and along a random one."""
    random = {n: torch.randn(g.shape, generator=generator(SEED, "random step", n)) for n, g in step.items()}
    return lambda strength: {
        "v": weight_push(step, strength),
        "-v": weight_push(step, -strength),
        "random": weight_push(random, strength),
    }
