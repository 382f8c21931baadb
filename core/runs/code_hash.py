"""One hash for the code that a run may execute: how a plan freezes it, and how a worker knows its own.

Standard library only: the worker asks before it imports anything that the answer is about.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("core", "worker")


def content_hash(root: Path) -> str:
    """12 hex digits over the names and bytes of every file that a run may read."""
    whole = hashlib.sha256()
    for path in code_files(root):
        name = path.relative_to(root).as_posix()
        whole.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()[:12]


def code_files(root: Path) -> Iterator[Path]:
    """In one order on every machine; nothing that running or editing the code leaves behind."""
    for package in PACKAGES:
        found = [p for p in (root / package).rglob("*") if p.is_file() and not _is_litter(p.relative_to(root))]
        yield from sorted(found, key=lambda p: p.relative_to(root).as_posix())


def _is_litter(relative: Path) -> bool:
    hidden = any(part.startswith(".") or part == "__pycache__" for part in relative.parts)
    return hidden or relative.suffix in (".pyc", ".orig", ".rej") or relative.name.endswith("~")
