"""Files that are whole or absent, whatever dies in between.

A rename is atomic; it is durable only once the file's data and the directory that names it are on disk.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def fsync_dir(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomic(path: Path, data: bytes | str) -> None:
    """Replace `path` by `data`: readers see the old file or the new one, also after a power cut."""
    raw = data.encode() if isinstance(data, str) else data
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(raw)
            handle.flush()
            os.fchmod(handle.fileno(), 0o644)
            os.fsync(handle.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    fsync_dir(path.parent)


def write_json(path: Path, value: Any) -> None:
    write_atomic(path, json.dumps(value, indent=1, sort_keys=True) + "\n")


def replace_json_fast(path: Path, value: Any) -> None:
    """Atomic for readers, not fsynced: for heartbeats, which a reboot makes meaningless anyway."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(json.dumps(value) + "\n")
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def building(path: Path) -> Iterator[Path]:
    """A new directory under construction, removed where an exception leaves it half made: on a full disk it would
    keep the very room that the next attempt needs."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    try:
        yield path
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise


def read_json(path: Path) -> Any | None:
    """None where the file is missing or torn."""
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError, UnicodeDecodeError):
        return None


def append_line(path: Path, value: Any) -> None:
    """Append one JSON line and fsync it: acknowledged means on disk.

    A half line left by a crash is closed first, so that it spoils itself and not its successor.
    """
    line = json.dumps(value, separators=(",", ":"), allow_nan=False) + "\n"
    new = not path.exists()
    with path.open("a+b") as handle:
        if handle.tell() > 0:
            handle.seek(-1, os.SEEK_END)
            if handle.read(1) != b"\n":
                line = "\n" + line
        handle.write(line.encode())
        handle.flush()
        os.fsync(handle.fileno())
    if new:
        fsync_dir(path.parent)


def read_lines(path: Path) -> list[Any]:
    """The whole JSON lines of a file that somebody may be appending to; torn lines are left out."""
    rows = []
    try:
        text = path.read_text(errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return []
    for line in text.splitlines():
        with contextlib.suppress(json.JSONDecodeError):
            rows.append(json.loads(line))
    return rows


@contextlib.contextmanager
def flocked(path: Path) -> Iterator[None]:
    """Hold an exclusive kernel lock on `path`; it dies with the process, so it can never be stale."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def is_flocked(path: Path) -> bool:
    """Whether a living process holds the lock. Opened read-only, so that asking leaves no trace."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
