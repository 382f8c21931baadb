"""Carry the SVD basis of knobs to where they are loaded: `python -m core.model.adapters.basis FOLDER`.

Knobs mean the same weights in one basis only, and another processor or library rounds an SVD differently. So the
machine that trained writes U and Vh beside them, from its cache.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from safetensors import safe_open

from core.model.adapters import svd
from core.model.adapters.base import TARGETS, save_tensors
from core.model.load import load


def write_basis(model: Any, folder: Path) -> int:
    """U and Vh of every weight that has knobs, into folder/basis; returns how many."""
    target = folder / svd.BASIS
    target.mkdir(exist_ok=True)
    weights = [module.weight for name, module in model.named_modules() if name.rpartition(".")[2] in TARGETS]
    for weight in weights:
        U, Vh = svd.svd_basis(weight)
        save_tensors({"U": U, "Vh": Vh}, target / svd.basis_file_name(weight))
    return len(weights)


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the SVD basis beside saved knobs, so that they load elsewhere.")
    parser.add_argument("folder", type=Path, help="a run's adapter/, on the machine that trained it")
    parser.add_argument("--model", help="a folder with the base model, where the name in the file is not one to load")
    arguments = parser.parse_args()
    with safe_open(arguments.folder / svd.FILE, "pt") as handle:
        trained = handle.metadata()
    name, dtype = arguments.model or trained.get("model", ""), trained.get("dtype", "float32")
    count = write_basis(load(name, dtype=dtype).model, arguments.folder)
    svd.load_knobs(load(name, dtype=dtype).model, arguments.folder)  # refuses, where it is not the one of training
    print(f"{count} layers' basis in {arguments.folder / svd.BASIS}; the knobs load with it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
