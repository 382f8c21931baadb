"""What a result depends on beside the code: libraries whose sums it is made of, and the Python that judges answers."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Mapping

ARITHMETIC = ("torch", "transformers", "peft", "numpy")
JUDGE = "python"  # whose syntax and whose == judged code meets


def here() -> dict[str, str]:
    """By name, as a spec keeps them."""
    return {name: version_of(name) for name in (*ARITHMETIC, JUDGE)}


def version_of(name: str) -> str:
    """A library's version, or `missing`; of Python the part that decides on syntax."""
    if name == JUDGE:
        return f"{sys.version_info.major}.{sys.version_info.minor}"
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def differences(planned: Mapping[str, str]) -> list[str]:
    """A clause for each that is another one here."""
    found = {name: version_of(name) for name in planned}
    return [f"{n} {planned[n]} was planned, {found[n]} is here" for n in planned if found[n] != planned[n]]
