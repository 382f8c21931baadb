"""Whether this grpoq may read jobs.sqlite: asked by every command, so standard library only."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from orchestrator.refusal import Refused

SCHEMA = 1  # PRAGMA user_version


def require_known(registry: Path) -> None:
    """Raises Refused for a registry of a newer version, or a file that is none."""
    if not registry.exists():
        return
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
        raise Refused(
            f"{registry} cannot be read: {error}; move it away, runs and plans are whole without it and "
            "`grpoq plan` writes it again"
        ) from None
    if version > SCHEMA:
        raise Refused(
            f"{registry} was written by a newer grpoq (schema {version}, this one knows {SCHEMA}); update grpoq"
        )
