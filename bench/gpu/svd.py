"""What the SVD adapter's start costs: 252 matrices of Qwen3-4B, by three ways."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.gpu.phase import Finding, Phase, Visit, settled

NEEDED_S = 3.0  # for one more matrix


def work(visit: Visit) -> Finding:
    import torch

    shapes = _shapes(visit)
    ways: dict[str, Callable[[Any], Any]] = {"eigh of the Gram matrix": _by_gram}
    if visit.on_card:
        for driver in ("gesvda", "gesvdj"):
            ways[driver] = lambda a, driver=driver: torch.linalg.svd(a, full_matrices=False, driver=driver)
    else:
        ways["gesdd"] = lambda a: torch.linalg.svd(a, full_matrices=False)
    seconds: dict[str, dict[str, float]] = {name: {} for name in ways}
    for name, way in ways.items():
        way(torch.randn(64, 32, device=visit.device))  # loads the library
        for shape in shapes:
            if visit.left() < NEEDED_S:
                break
            matrix = torch.randn(*shape, device=visit.device)
            began = settled(visit)
            way(matrix)
            seconds[name][f"{shape[0]} x {shape[1]}"] = round(settled(visit) - began, 3)
    totals = {
        name: round(sum(count * seconds[name][f"{d_out} x {d_in}"] for (d_out, d_in), count in shapes.items()), 1)
        for name in ways
        if len(seconds[name]) == len(shapes)
    }
    says = "; ".join(f"{name} {total} s" for name, total in totals.items()) or "no way came to its end"
    return Finding(bool(totals) or None, f"all matrices: {says}", {"all_s": totals, "seconds": seconds})


def _by_gram(a: Any) -> Any:
    """Singular values squared and the shorter side's vectors."""
    import torch

    return torch.linalg.eigh(a @ a.T if a.shape[0] < a.shape[1] else a.T @ a)


def _shapes(visit: Visit) -> dict[tuple[int, int], int]:
    """(d_out, d_in) of the adapted matrices, and how many there are of each."""
    m = visit.sizes.model
    hidden, inner, layers = m["hidden_size"], m["intermediate_size"], m["num_hidden_layers"]
    queries, keys = (m[name] * m["head_dim"] for name in ("num_attention_heads", "num_key_value_heads"))
    found: dict[tuple[int, int], int] = {}
    for shape in (
        (queries, hidden),
        (keys, hidden),
        (keys, hidden),
        (hidden, queries),
        (inner, hidden),
        (inner, hidden),
    ):
        found[shape] = found.get(shape, 0) + layers
    return found | {(hidden, inner): layers}


SVD = Phase("svd", 15, "printed", work)
