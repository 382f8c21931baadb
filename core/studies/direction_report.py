"""How well a model's hack directions separate and steer: `python -m core.studies.direction_report MODEL --out FILE`.

Extraction on the extraction split, everything else on the held-out pairs. Ranks m = 8, 16, 32 and raw, both spaces, two
tokens; then each space's default direction pushed along, against it, and a random one. Slow models take minutes: each
state and each gradient is computed once and used by all rows.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from core.direction import directions
from core.direction.separation import (
    Separation,
    activation_direction,
    activation_separation,
    gradient_direction,
    gradient_separation,
    side_states,
    split,
)
from core.direction.steering import SteeringCheck, activation_pushes, gradient_pushes, steering_check
from core.environment.nano import pairs as nano_pairs
from core.environment.pairs import AUTHORED, Pair, load_pairs, pairs_sha256
from core.model.adapters import ADAPTERS
from core.model.load import load
from core.model.policy import Policy
from core.runs import durable
from core.sandbox.pool import Sandbox
from core.spec import PRESETS

RANKS = (8, 16, 32, 0)  # 0: raw
TOKENS = ("rollout_last", "response_mean")


@dataclass(frozen=True)
class Wanted:
    separation: bool
    tokens: tuple[str, ...]  # where activation directions are read
    samples: int  # completions per held-out prompt and push; 0: no steering
    strengths: dict[str, list[float]]  # by space


def policy_for(model: str, adapter: str, max_new: int) -> Policy:
    """An untrained policy to extract with, in float32 on the CPU."""
    preset = PRESETS["nano" if model == "nano" else "fast"]
    config = dataclasses.replace(
        preset,
        model=model,
        adapter=adapter,
        max_new=max_new,
        device="cpu",
        dtype="float32",
        grad_checkpointing=False,
    )
    language_model = load(model)
    policy = Policy.of(language_model, ADAPTERS[adapter](language_model, config, 0), config)
    policy.refresh()
    return policy


def pairs_named(name: str) -> list[Pair]:
    """nano (mode run_tests), authored (all modes), or a file."""
    return nano_pairs.pairs(("run_tests",)) if name == "nano" else load_pairs(AUTHORED if name == "authored" else name)


def _spread(pairs: list[Pair], most: int) -> list[Pair]:
    """At most so many, evenly from the whole list, which is sorted by mode."""
    count = min(most, len(pairs))
    return [pairs[i * len(pairs) // count] for i in range(count)]


def report(policy: Policy, pairs: list[Pair], wanted: Wanted) -> dict[str, Any]:
    """{"separation": rows, "steering": {space: {"rows", "passed"}}}, as far as wanted; printed as they come."""
    train, held_out = split(pairs)
    rows: list[dict[str, Any]] = []
    pushes: dict[str, Callable[[float], dict[str, Any]]] = {}
    for token in wanted.tokens:
        states = side_states(policy, train, token)
        if wanted.separation:
            unseen = side_states(policy, held_out, token)
            for m in RANKS:
                rows.append(_separation_row("activation", token, m, activation_separation(policy, states, unseen, m)))
        pushes[f"activation {token}"] = activation_pushes(activation_direction(policy, states, policy.config.m), states)
    gradients = directions.pair_gradients(policy, train)
    if wanted.separation:
        unseen_gradients = directions.pair_gradients(policy, held_out)
        for m in RANKS:
            rows.append(_separation_row("gradient", "all", m, gradient_separation(gradients, unseen_gradients, m)))
    pushes["gradient"] = gradient_pushes(gradient_direction(gradients, policy.config.k))
    steering = {}
    with Sandbox() as sandbox:
        for space, make in pushes.items() if wanted.samples else ():
            strengths = wanted.strengths[space.partition(" ")[0]]
            check = steering_check(policy, held_out, make, strengths, wanted.samples, sandbox)
            steering[space] = _steering(space, check, strengths)
    return {"separation": rows, "steering": steering}


def _separation_row(space: str, token: str, m: int, found: Separation) -> dict[str, Any]:
    print(
        f"{space:<11}{token:<14}m={m or 'raw'!s:<5}paired {found.paired:.2f}  threshold {found.threshold:.2f}  "
        f"auroc {found.auroc:.2f}  n {found.n}  {'pass' if found.passed else 'FAIL'}",
        flush=True,
    )
    return {"space": space, "token": token, "m": m or "raw", **dataclasses.asdict(found), "passed": found.passed}


def _steering(space: str, check: SteeringCheck, strengths: list[float]) -> dict[str, Any]:
    for row in check.rows:
        print(
            f"{space:<26}{row.push:<8}{row.strength:>5g}  exploit {row.exploit_rate:.2f}  "
            f"compiles {row.compile_rate:.2f}  tokens {row.mean_tokens:.0f}  margin {row.margin:+.3f}  n {row.n}",
            flush=True,
        )
    passed = {str(strength): check.passed(strength) for strength in strengths}
    print(f"{space:<26}passed {passed}", flush=True)
    return {"rows": [dataclasses.asdict(row) for row in check.rows], "passed": passed}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", help="nano, smollm2-135m, ORG/NAME or a directory")
    parser.add_argument("--pairs", default="authored", help="nano, authored, or a file of pairs")
    parser.add_argument("--adapter", default="svd", choices=sorted(ADAPTERS))
    parser.add_argument(
        "--samples", type=int, default=4, help="completions per held-out prompt and push; 0: no steering"
    )
    parser.add_argument("--no-separation", action="store_true", help="steering alone")
    parser.add_argument("--tokens", default=",".join(TOKENS), help="where activation directions are read")
    parser.add_argument("--most", type=int, default=80, help="pairs of each split, where a model is slow")
    parser.add_argument("--max-new", type=int, default=200, help="tokens")
    parser.add_argument("--activation", default="2,8", help="strengths, in norms of the clean sides' mean state")
    parser.add_argument("--gradient", default="10,30", help="strengths, in norm of the parameters' change")
    parser.add_argument("--out", type=Path, required=True)
    a = parser.parse_args()
    torch.set_num_threads(1)
    everything = pairs_named(a.pairs)
    pairs = [pair for half in split(everything) for pair in _spread(half, a.most)]
    policy = policy_for(a.model, a.adapter, a.max_new)
    about = {name: getattr(a, name) for name in ("model", "pairs", "adapter", "samples", "max_new", "most")}
    about |= {"pairs_sha256": pairs_sha256(pairs), "layers": [i + 1 for i in directions.band(policy)]}
    strengths = {space: [float(s) for s in getattr(a, space).split(",")] for space in ("activation", "gradient")}
    wanted = Wanted(not a.no_separation, tuple(a.tokens.split(",")), a.samples, strengths)
    durable.write_json(a.out, about | report(policy, pairs, wanted))


if __name__ == "__main__":
    main()
