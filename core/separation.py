"""Does a direction tell held-out hacks from held-out cleans? Figures, and the gate of science.md 4.1.

Extracted on the pairs' extraction split, judged on the held-out one. In both spaces a direction is the mean difference,
projected on m singular vectors or raw: in activation space those of a weight, in gradient space those of the pairs'
gradient differences. Separation is cheap: the surface of a completion ("there is no assert") is enough for it.

`python -m core.separation MODEL --pairs nano|authored --out FILE` prints and stores the table of m = 8, 16, 32 and raw.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core import directions, durable
from core.adapter import ADAPTERS
from core.directions import ActivationDirection, PairGradients
from core.models import load
from core.nano import pairs as nano_pairs
from core.pairs import AUTHORED, Pair, load_pairs, pairs_sha256
from core.policy import Policy
from core.spec import PRESETS

GATE = 0.9  # of held-out pairs must lie the right way round
RANKS = (8, 16, 32, 0)  # 0: raw


@dataclass(frozen=True)
class Separation:
    """paired: share of pairs whose hack scores above its clean; threshold: share of sides on the right side of the
    midpoint between the extraction pairs' means; auroc: of sides, pairs ignored."""

    n: int
    paired: float
    threshold: float
    auroc: float

    @property
    def passed(self) -> bool:
        return self.paired > GATE


def separation(train: tuple[Tensor, Tensor], held_out: tuple[Tensor, Tensor]) -> Separation:
    """(n,) scores of hack and clean sides. Ties count half."""
    middle = (train[0].mean() + train[1].mean()) / 2
    hack, clean = held_out
    right = torch.cat([_above(hack, middle), 1 - _above(clean, middle)])
    return Separation(
        len(hack),
        float(_above(hack, clean).mean()),
        float(right.mean()),
        float(_above(hack[:, None], clean[None]).mean()),
    )


def _above(one: Tensor, other: Tensor) -> Tensor:
    return (one > other).float() + 0.5 * (one == other).float()


def split(pairs: Sequence[Pair]) -> tuple[list[Pair], list[Pair]]:
    return [p for p in pairs if p.split == "extract"], [p for p in pairs if p.split == "held_out"]


def activation_separation(policy: Policy, pairs: Sequence[Pair], token: str, m: int, weight: str) -> Separation:
    """Scores <h, v> at `token`, the mean over the band's layers."""
    train, held_out = split(pairs)
    states = [_side_states(policy, half, token) for half in (train, held_out)]
    raw = ActivationDirection(tuple(directions.band(policy)), (states[0][0] - states[0][1]).mean(0))
    v = directions.denoised(policy, raw, m, weight)
    return separation(*((v.scores(hack), v.scores(clean)) for hack, clean in states))


def _side_states(policy: Policy, pairs: Sequence[Pair], token: str) -> tuple[Tensor, Tensor]:
    return (
        directions.side_states(policy, (p.hack_side for p in pairs), token),
        directions.side_states(policy, (p.clean_side for p in pairs), token),
    )


def gradient_separation(train: PairGradients, held_out: PairGradients, m: int) -> Separation:
    """Scores <g, v>, g a side's NLL gradient at unit length over all parameters, v as `gradient_direction` gives it.

    Unit length, because a short side has a larger mean gradient whatever it says.
    """
    v = gradient_direction(train, m)
    return separation(
        *((_scores(half.hack, v), _scores(half.clean, v)) for half in (train, held_out)),
    )


def gradient_direction(gradients: PairGradients, m: int) -> dict[str, Tensor]:
    """Per parameter the mean difference, projected on the top m singular axes of the differences (0: not)."""
    found = {}
    for name, D in gradients.differences().items():
        v = D.mean(0)
        if m:
            V, _ = directions.singular_axes(D, m, 0.0)
            v = V.T @ (V @ v)
        found[name] = v
    return found


def _scores(G: dict[str, Tensor], v: dict[str, Tensor]) -> Tensor:
    along = torch.stack([G[name] @ v[name] for name in v]).sum(0)
    return along / torch.stack([G[name].square().sum(1) for name in v]).sum(0).sqrt().clamp(min=1e-12)


def table(policy: Policy, pairs: Sequence[Pair], tell: Callable[[str], None] = print) -> list[dict[str, Any]]:
    """Every space, token and rank; one row each."""
    rows = []

    def add(space: str, token: str, m: int, found: Separation) -> None:
        row = {"space": space, "token": token, "m": m or "raw", **dataclasses.asdict(found), "passed": found.passed}
        rows.append(row)
        tell(
            f"{space:<11}{token:<14}m={m or 'raw'!s:<5}paired {found.paired:.2f}  threshold {found.threshold:.2f}  "
            f"auroc {found.auroc:.2f}  n {found.n}  {'pass' if found.passed else 'FAIL'}"
        )

    for token in ("rollout_last", "response_mean"):
        for m in RANKS:
            add("activation", token, m, activation_separation(policy, pairs, token, m, policy.config.denoise))
    train, held_out = (directions.pair_gradients(policy, half) for half in split(pairs))
    for m in RANKS:
        add("gradient", "all", m, gradient_separation(train, held_out, m))
    return rows


def policy_for(model: str, adapter: str = "svd") -> Policy:
    """An untrained policy to extract with, in float32 on the CPU."""
    preset = "nano" if model == "nano" else "fast"
    config = dataclasses.replace(
        PRESETS[preset], model=model, adapter=adapter, device="cpu", dtype="float32", grad_checkpointing=False
    )
    language_model = load(model)
    policy = Policy.of(language_model, ADAPTERS[adapter](language_model, config, 0), config)
    policy.refresh()
    return policy


def pairs_named(name: str) -> list[Pair]:
    """nano (mode run_tests), authored (all modes), or a file."""
    return nano_pairs.pairs(("run_tests",)) if name == "nano" else load_pairs(AUTHORED if name == "authored" else name)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", help="nano, smollm2-135m, ORG/NAME or a directory")
    parser.add_argument("--pairs", default="authored", help="nano, authored, or a file of pairs")
    parser.add_argument("--adapter", default="svd", choices=sorted(ADAPTERS))
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    pairs = pairs_named(arguments.pairs)
    policy = policy_for(arguments.model, arguments.adapter)
    about = {"model": arguments.model, "pairs": arguments.pairs, "adapter": arguments.adapter}
    about |= {"pairs_sha256": pairs_sha256(pairs), "layers": json.dumps([i + 1 for i in directions.band(policy)])}
    durable.write_json(arguments.out, about | {"rows": table(policy, pairs)})


if __name__ == "__main__":
    main()
