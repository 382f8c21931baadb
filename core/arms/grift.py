"""GRIFT as an arm: rollouts whose gradient fingerprint lies nearer the hack cluster do not count (protocol 3.5).

k-means splits the two sides of the authored pairs, their majorities name the clusters, and each of a step's rollouts,
cached teachers' too, goes to the nearer centre. No label or reward of a rollout is looked at. GRIFT pools the samples
with the labelled ones; in nano the widest split of the pool was another one than the pairs', and named nothing.

Fingerprints must share one policy to be compared: after 25 steps of nano the pairs' first ones flag almost no rollout
read under the present policy. So all are read on the model without its adapter (the reference). With `refresh` all are
read under the present policy instead, the pairs anew every `refresh` steps.

Where fewer than 3 in 4 pair sides lie in the cluster of their name (`grift_acc`), the split is not theirs and nobody is
dropped: by bare majority an outlier can be "clean" and all the rest "hack". Where every rollout is flagged every one is
dropped: dropped = 1, no gradient; to keep them would teach hacks just when they are everywhere. Adam's momentum and
weight decay still move the policy then.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import torch
from torch import Tensor

from core.arms.arm import Arm, Context, State, Step
from core.direction.detection import detect
from core.direction.fingerprints import Recipe, Sample, critical_layers, fingerprints, layer_similarities, side_sample
from core.environment.pairs import Pair
from core.model.policy import Policy

FINGERPRINTS = "fingerprints"  # (2 * pairs, d): all hack sides, then all clean sides
LAYERS = "layers"  # (grift_layers,)
NEEDED_ACCURACY = 0.75


def pair_samples(policy: Policy, pairs: Sequence[Pair]) -> list[Sample]:
    """The hack sides, then the clean sides."""
    return [side_sample(policy, p.hack_side) for p in pairs] + [side_sample(policy, p.clean_side) for p in pairs]


def is_hack_side(pairs_by_d: Tensor) -> Tensor:
    """(2 * pairs,) bool."""
    return torch.arange(len(pairs_by_d)) < len(pairs_by_d) // 2


def recipe(policy: Policy, layers: Sequence[int], seed: int) -> Recipe:
    return Recipe(tuple(layers), policy.config.grift_r, policy.config.grift_sketch, seed)


def _extraction_samples(step: Step) -> list[Sample]:
    return pair_samples(step.policy, step.extraction_pairs())


def _frame(step: Step) -> Context:
    return contextlib.nullcontext() if step.config.refresh else step.adapter.zeroed()


def prepare(step: Step) -> State:
    """Critical layers of the pairs, both sides, and the pairs' fingerprints."""
    samples = _extraction_samples(step)
    with _frame(step):
        layers = critical_layers(layer_similarities(step.policy, samples), step.config.grift_layers)
        found = fingerprints(step.policy, samples, recipe(step.policy, layers, step.seed))
    return {LAYERS: torch.tensor(layers), FINGERPRINTS: found}


def unflagged(step: Step, rewards: Tensor) -> Tensor:
    """(P, G) bool. `rewards` are not looked at."""
    how = recipe(step.policy, step.state[LAYERS].tolist(), step.seed)
    refresh = step.config.refresh
    prompts = [step.policy.prompt(task) for task in step.tasks]
    rollouts = [(prompt, c) for prompt, group in zip(prompts, step.completions, strict=True) for c in group]
    with _frame(step):
        if refresh and step.number > 1 and (step.number - 1) % refresh == 0:
            step.state[FINGERPRINTS] = fingerprints(step.policy, _extraction_samples(step), how)
        judged = fingerprints(step.policy, rollouts, how)
    labelled = step.state[FINGERPRINTS]
    found = detect(judged, labelled, is_hack_side(labelled))
    dropped = found.flagged & (found.label_accuracy >= NEEDED_ACCURACY)
    step.row |= {"dropped": float(dropped.float().mean()), "grift_acc": found.label_accuracy}
    return ~dropped.view(len(step.completions), -1)


REJECT = Arm(prepare=prepare, mask=unflagged)
