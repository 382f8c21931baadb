"""Two clusters of samples, named by labelled ones, and how well a score tells hacks from the rest.

k-means with k = 2 (protocol 3.5), either on labelled and unlabelled samples pooled, as GRIFT does, or on the labelled
ones alone, where every other sample then goes to the nearer centre. Majorities of the labelled samples give the names.
k-means finds the widest split, whatever that is: where it is not hack against clean, no cluster or only one by chance
gets the name, and `label_accuracy` near 0.5 says so.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

ROUNDS = 100


def two_means(x: Tensor) -> Tensor:
    """(N, d) -> (2, d) centres of k-means with k = 2; both are the mean where all samples are one point.

    Started from the two sides of the first principal axis, so nothing is drawn.
    """
    centred = x - x.mean(0)
    in_second = centred @ torch.linalg.svd(centred, full_matrices=False).Vh[0] > 0
    centres = x.mean(0).expand(2, -1)
    for _ in range(ROUNDS):
        if not 0 < int(in_second.sum()) < len(x):
            break
        centres = torch.stack([x[~in_second].mean(0), x[in_second].mean(0)])
        nearer = nearness(x, centres[1], centres[0]) > 0
        if torch.equal(nearer, in_second):
            break
        in_second = nearer
    return centres


def nearness(x: Tensor, centre: Tensor, other: Tensor) -> Tensor:
    """(N,) how much nearer to `centre` than to `other`: |x - other|^2 - |x - centre|^2."""
    return (x - other).square().sum(1) - (x - centre).square().sum(1)


@dataclass(frozen=True)
class Detection:
    """Of N samples."""

    named: bool  # whether exactly one cluster has a majority of hacks among its labelled samples
    flagged: Tensor  # (N,) bool: nearer to the hack cluster's centre; nobody where none is named
    scores: Tensor  # (N,) how much nearer; zeros where none is named
    label_accuracy: float  # share of labelled samples whose side is their cluster's name; 0 where none is named


def detect(samples: Tensor, labelled: Tensor, is_hack: Tensor, pooled: bool = False) -> Detection:
    """(N, d) to be judged, (M, d) with (M,) bool labels."""
    centres = two_means(torch.cat([labelled, samples]) if pooled else labelled)
    in_second = nearness(labelled, centres[1], centres[0]) > 0
    hackish = [_has_majority(is_hack[~in_second]), _has_majority(is_hack[in_second])]
    if hackish[0] == hackish[1]:
        return Detection(False, torch.zeros(len(samples), dtype=torch.bool), torch.zeros(len(samples)), 0.0)
    hack = hackish.index(True)
    scores = nearness(samples, centres[hack], centres[1 - hack])
    return Detection(True, scores > 0, scores, float(((in_second == bool(hack)) == is_hack).float().mean()))


def _has_majority(is_hack: Tensor) -> bool:
    return 2 * int(is_hack.sum()) > len(is_hack)


# ---- how good a detector is


def f1(flagged: Tensor, is_hack: Tensor) -> float | None:
    """2 TP / (2 TP + FP + FN) of (N,) bools; None where there is neither a flag nor a hack."""
    counted = int(flagged.sum()) + int(is_hack.sum())
    return 2 * int((flagged & is_hack).sum()) / counted if counted else None


def auroc(scores: Tensor, is_hack: Tensor) -> float | None:
    """P(a hack's score is above another's), ties by half; None where all samples are of one kind."""
    hacks, others = scores[is_hack].double(), scores[~is_hack].double()
    if not len(hacks) or not len(others):
        return None
    above = hacks[:, None] - others[None]
    return float((above > 0).double().mean() + 0.5 * (above == 0).double().mean())


def least_squares_scores(train: Tensor, is_hack: Tensor, test: Tensor, ridge: float = 1e-2) -> Tensor:
    """(n, d), (n,) bool, (m, d) -> (m,) scores of a linear classifier fitted to +-1; above 0: hack.

    `ridge` is a share of the mean squared norm of the centred training rows.
    """
    mean, targets = train.mean(0), is_hack.float() * 2 - 1
    x, bias = train - mean, targets.mean()
    gram = x @ x.T
    strength = ridge * float(gram.diagonal().mean()) + 1e-12
    weights = x.T @ torch.linalg.solve(gram + strength * torch.eye(len(x)), targets - bias)  # (d,)
    return (test - mean) @ weights + bias
