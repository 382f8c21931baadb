"""The code a run executes, frozen when it is planned and addressed by its content.

Runs start with this directory as their working directory and PYTHONPATH, so later edits change no planned run.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from core.runs import durable
from core.runs.code_hash import code_files, content_hash


def source_root() -> Path:
    """The checkout whose core/ and worker/ a plan freezes; GRPOQ_SOURCE names another one."""
    return Path(os.environ.get("GRPOQ_SOURCE") or Path(__file__).parents[2]).absolute()


def freeze(source: Path, snapshots: Path, name: str) -> Path:
    """Copy the code once, read-only; one rename publishes it. Raises RuntimeError if the source is edited meanwhile."""
    target = snapshots / name
    if target.is_dir():
        return _sealed(target)  # who published it may have died before it was read-only
    snapshots.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=snapshots, prefix=".freezing-"))
    try:
        _copy(source, temporary)
        if content_hash(temporary) != name:
            raise RuntimeError(f"{source} changed while it was being copied; plan again")
        temporary.rename(target)
    except BaseException:
        discard(temporary)
        raise
    return _sealed(target)


def _sealed(target: Path) -> Path:
    for directory in (target, *(p for p in target.rglob("*") if p.is_dir())):
        directory.chmod(0o555)  # only after the rename: a read-only directory cannot be renamed by its owner
    durable.fsync_dir(target.parent)
    return target


def discard_leftovers(snapshots: Path) -> None:
    """Of a process that died while it copied. The caller holds apply.lock, so nobody copies now."""
    for leftover in snapshots.glob(".freezing-*"):
        discard(leftover)


def mismatch(snapshots: Path, name: str) -> str | None:
    """Why the frozen code may not be run, or None."""
    target = snapshots / name
    if not name or not target.is_dir():
        return f"snapshot {name or '(none)'} is missing from {snapshots}"
    found = content_hash(target)
    if found != name:
        return f"the code in {target} has been changed: its hash is {found}, the plan froze {name}"
    return None


def discard(tree: Path) -> None:
    for directory in (tree, *(p for p in tree.rglob("*") if p.is_dir())):
        directory.chmod(0o755)
    shutil.rmtree(tree)


def _copy(source: Path, target: Path) -> None:
    for path in code_files(source):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
        copy.chmod(0o444)
        durable.fsync_file(copy)
    target.chmod(0o755)
