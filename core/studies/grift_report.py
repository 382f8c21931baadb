"""How well gradient fingerprints tell a run's hacks from the rest, beside the hack direction on the same rollouts.

    python -m core.studies.grift_report RUN_DIR ... --out FILE.json [--samples 256] [--weights base|trained]

Detectors, all of which know the authored pairs and no label of a rollout:
    grift_pooled  as GRIFT: clusters of pairs and rollouts together; all numbers as by chance where they get no name
    grift_pairs   as the arm: clusters of the pairs, a rollout's score is how much nearer the hack one it lies
    v_activation  <h, v>, v the pairs' mean difference of hidden states; flagged above the pairs' middle
    v_gradient    <V, g> / |g|, g the NLL gradient; flagged likewise
and, told the strict labels of the rollouts on half of the problems and tested on the other half, an upper bound:
    linear        least squares on fingerprints (GRIFT's own is an SVM)

F1 and AUROC are against the strict label, which needs a wrong solution; AUROC_p is against the exploit's presence. The
labels score stored rollouts here and go nowhere else. By default everything is read on the base model, so that a run's
rollouts share one frame whatever step wrote them. A sample over all steps also rewards whatever tells early rollouts
from late ones. To flag everything has F1 2p / (1 + p) at hack share p.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.arms import grift
from core.direction import directions
from core.direction.detection import auroc, detect, f1, least_squares_scores
from core.direction.fingerprints import critical_layers, fingerprints, layer_similarities, side_sample
from core.environment.pairs import Pair
from core.model.policy import Policy
from core.model.run_data import load_run_data
from core.runs import durable
from core.runs.run_dir import RunDir
from core.spec import RunSpec
from core.studies.stored_rollouts import WEIGHTS, Stored, policy_of, stored

SEED = 1009  # of which rollouts are drawn and how they are halved


def quality(scores: Tensor, flagged: Tensor, rollouts: Stored) -> dict[str, Any]:
    return {
        "n": len(scores),
        "f1": f1(flagged, rollouts.is_hack),
        "auroc": auroc(scores, rollouts.is_hack),
        "auroc_present": auroc(scores, rollouts.is_present),
        "flagged": float(flagged.float().mean()),
    }


def by_fingerprint(policy: Policy, pairs: Sequence[Pair], rollouts: Stored, seed: int) -> dict[str, Any]:
    samples = grift.pair_samples(policy, pairs)
    layers = critical_layers(layer_similarities(policy, samples), policy.config.grift_layers)
    how = grift.recipe(policy, layers, seed)
    labelled = fingerprints(policy, samples, how)
    judged = fingerprints(policy, [side_sample(policy, side) for side in rollouts.sides], how)
    found = {}
    for name, pooled in (("grift_pooled", True), ("grift_pairs", False)):
        d = detect(judged, labelled, grift.is_hack_side(labelled), pooled)
        about = {"named": d.named, "pair_accuracy": d.label_accuracy, **dataclasses.asdict(how)}
        found[name] = quality(d.scores, d.flagged, rollouts) | about
    return found | {"linear": linear_upper_bound(judged, rollouts)}


def linear_upper_bound(judged: Tensor, rollouts: Stored) -> dict[str, Any]:
    """No problem is on both halves."""
    problems = sorted(set(rollouts.problem_ids))
    random.Random(f"grift halves {SEED}").shuffle(problems)
    fitted = set(problems[: len(problems) // 2])
    train = torch.tensor([problem in fitted for problem in rollouts.problem_ids], dtype=torch.bool)
    scores = least_squares_scores(judged[train], rollouts.is_hack[train], judged[~train])
    return quality(scores, scores > 0, rollouts.take(~train))


def by_activation(policy: Policy, pairs: Sequence[Pair], rollouts: Stored) -> dict[str, Any]:
    token = policy.config.token
    direction = directions.mean_difference(policy, pairs, token)
    sides = [pair.hack_side for pair in pairs] + [pair.clean_side for pair in pairs]
    middle = direction.scores(directions.side_states(policy, sides, token)).mean()
    scores = direction.scores(directions.side_states(policy, rollouts.sides, token))
    return quality(scores, scores > middle, rollouts) | {"layers": direction.layers, "token": token}


def by_gradient(policy: Policy, pairs: Sequence[Pair], rollouts: Stored) -> dict[str, Any]:
    c = policy.config
    found = directions.pair_gradients(policy, pairs)
    axes = directions.gradient_axes(found.differences(), c.k, c.tau_axis, c.drop_bottom)
    middle = torch.cat([along(found.hack, axes), along(found.clean, axes)]).mean()
    rows = []
    with policy.adapter.ablated():
        for task, text in rollouts.sides:
            policy.tick()
            gradient = directions.nll_gradients(policy, (task, text))
            rows.append(along({name: g[None] for name, g in gradient.items()}, axes))
    scores = torch.cat(rows)
    return quality(scores, scores > middle, rollouts) | {"k": c.k}


def along(gradients: dict[str, Tensor], axes: directions.Axes) -> Tensor:
    """(N, n) by parameter -> (N,) sum of V g over parameters and axes, per length of the whole gradient."""
    hackward = sum((gradients[name] @ V.T).sum(1) for name, V in axes.items())
    length = sum(g.square().sum(1) for g in gradients.values())
    assert isinstance(hackward, Tensor) and isinstance(length, Tensor), "no parameter has an axis"
    return hackward / length.sqrt().clamp(min=1e-12)


def report(run: RunDir, samples: int, weights: str) -> dict[str, Any]:
    """One run's row."""
    spec = RunSpec.from_json(json.loads(run.spec_path.read_text()))
    policy = policy_of(run, spec, weights)
    data = load_run_data(run, spec.config, policy)
    pairs = [pair for pair in data.pairs("hack") if pair.split == "extract"]
    rollouts = stored(run, data, samples, SEED)
    if len(set(rollouts.problem_ids)) < 2:
        raise ValueError(f"{run.path}: {len(rollouts.sides)} rollouts of students; two problems' are needed")
    share = float(rollouts.is_hack.float().mean())
    return {
        "run_id": run.run_id,
        "arm": spec.arm,
        "seed": spec.seed,
        "sample_seed": SEED,
        "weights": weights,
        "n": len(rollouts.sides),
        "pairs": len(pairs),
        "hack_share": share,
        "flag_all_f1": 2 * share / (1 + share),
        "detectors": {
            **by_fingerprint(policy, pairs, rollouts, spec.seed),
            "v_activation": by_activation(policy, pairs, rollouts),
            "v_gradient": by_gradient(policy, pairs, rollouts),
        },
    }


COLUMNS = {"f1": "F1", "auroc": "AUROC", "auroc_present": "AUROC_p", "flagged": "flagged"}


def table(rows: Sequence[dict[str, Any]]) -> str:
    lines = [f"{'run':<28} {'detector':<13} {'n':>5} " + " ".join(f"{head:>8}" for head in COLUMNS.values())]
    for row in rows:
        everything = {"n": row["n"], "f1": row["flag_all_f1"], "auroc": 0.5, "auroc_present": 0.5, "flagged": 1.0}
        for name, cell in (row["detectors"] | {"flag all": everything}).items():
            numbers = ["-" if cell[key] is None else f"{cell[key]:.3f}" for key in COLUMNS]
            lines.append(f"{row['run_id']:<28} {name:<13} {cell['n']:>5} " + " ".join(f"{x:>8}" for x in numbers))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN_DIR")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=256, help="rollouts per run (default 256)")
    parser.add_argument("--weights", choices=WEIGHTS, default="base", help="of which model (default base)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = [report(RunDir(path), arguments.samples, arguments.weights) for path in arguments.runs]
    print(table(rows))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    durable.write_json(arguments.out, rows)


if __name__ == "__main__":
    main()
