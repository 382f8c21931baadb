"""Whether this grpoq may read jobs.sqlite: asked by every command, so standard library only."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from orchestrator.refusal import Refused

SCHEMA = 1  # PRAGMA user_version


def require_known(registry: Path) -> str:
    """What is wrong with the file, or an empty text. Raises Refused for a registry of a newer version.

    A damaged one stops nothing that only needs plans and runs; who would write it refuses.
    """
    if not registry.exists():
        return ""
    # Without a log beside it nobody is writing, and `immutable` leaves no -shm and -wal files behind.
    mode = "mode=ro" if registry.with_name(registry.name + "-wal").exists() else "immutable=1"
    uri = f"{registry.absolute().as_uri()}?{mode}"
    try:
        connection = sqlite3.connect(uri, uri=True, timeout=10)
        try:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        return f"{registry} is damaged: {error}; plans and runs are whole without it: `grpoq doctor --rebuild`"
    if version > SCHEMA:
        raise Refused(
            f"{registry} was written by a newer grpoq (schema {version}, this one knows {SCHEMA}); update grpoq"
        )
    return ""
