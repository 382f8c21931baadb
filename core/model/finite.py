"""Weights that are numbers: a NaN in a file spreads to every probability before any loss shows it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor


def not_finite(tensors: Iterable[tuple[str, Tensor]]) -> str:
    """A sentence on the first tensor with a NaN or an infinity; empty: there is none."""
    for name, tensor in tensors:
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            count = int((~torch.isfinite(tensor)).sum())
            return f"{count} of the {tensor.numel()} numbers of {name} are NaN or infinite; fetch the weights again"
    return ""


def not_finite_file(folder: Path) -> str:
    """Of a directory's safetensors, one tensor in memory at a time; with the file's path."""
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            found = not_finite((name, file.get_tensor(name)) for name in file.keys())  # noqa: SIM118  it is no dictionary
        if found:
            return f"{path}: {found}"
    return ""
