"""error.json and exit.json, written on a full disk too: the ballast that came with the claim becomes the file.

Its blocks are overwritten where they lie and it is then renamed, so no free block is needed, and no neighbour on the
same disk can take one in between. Where a file system never overwrites (btrfs, ZFS) the ballast makes room first.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from core.runs import durable
from core.runs.run_dir import BALLAST

TRACEBACK_CHARACTERS = 10_000  # its end: the whole must fit into the ballast, each character up to six bytes


def write(folder: Path, name: str, row: dict[str, Any]) -> None:
    """Never raises for a disk that cannot take it: the exit code still speaks."""
    if "traceback" in row:
        row = row | {"traceback": row["traceback"][-TRACEBACK_CHARACTERS:]}
    with contextlib.suppress(OSError):
        return _into_ballast(folder, name, row)
    try:
        (folder / BALLAST).unlink(missing_ok=True)
        durable.write_json(folder / name, row)
    except OSError as error:
        with contextlib.suppress(OSError):
            print(f"worker: {folder / name} could not be written: {error}", file=sys.stderr)


def _into_ballast(folder: Path, name: str, row: dict[str, Any]) -> None:
    raw = (json.dumps(row, indent=1, sort_keys=True) + "\n").encode()
    with (folder / BALLAST).open("r+b") as handle:
        handle.write(raw)
        handle.truncate()
        handle.flush()
        os.fsync(handle.fileno())
    (folder / BALLAST).rename(folder / name)
    durable.fsync_dir(folder)


def flush_output() -> None:
    """Before the interpreter ends: output it cannot flush would turn our exit code into 120."""
    for stream, descriptor in ((sys.stdout, 1), (sys.stderr, 2)):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
