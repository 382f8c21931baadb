"""Secrets of a home: NAME=value lines of GRPOQ_HOME/secrets.env, put into this process's environment, never logged.

Engines get a scrubbed environment, because they store and show it; a token for a model hub comes this way. Judged code
runs in servers with an environment of their own and sees none of it.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

MOST_BYTES = 1 << 20
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class SecretsRefused(RuntimeError):
    """The file may be read by others, or cannot be read as what it is. Worker exit code 1, class data."""


def load(path: Path) -> list[str]:
    """Names that were set; the file's values outrank what was inherited. Raises SecretsRefused, never with a value."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise SecretsRefused(f"{path} cannot be read: {error.strerror}; make it a plain file of mode 0600") from None
    try:
        _require_private(path, os.fstat(descriptor))
        values = _parse(path, os.read(descriptor, MOST_BYTES))
    finally:
        os.close(descriptor)
    os.environ.update(values)
    return sorted(values)


def _require_private(path: Path, found: os.stat_result) -> None:
    """Checked on the open file: a name can be given to another file in between."""
    if not stat.S_ISREG(found.st_mode):
        raise SecretsRefused(f"{path} is no plain file")
    if found.st_uid != os.geteuid():
        raise SecretsRefused(
            f"{path} belongs to uid {found.st_uid} and this worker runs as uid {os.geteuid()}; `chown` it to the latter"
        )
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o177:
        raise SecretsRefused(f"{path} has mode {mode:04o}; it must be 0600: `chmod 600 {path}`")


def _parse(path: Path, raw: bytes) -> dict[str, str]:
    """Blank lines and those that begin with # are skipped; one pair of quotes around a value is taken off."""
    try:
        lines = raw.decode().splitlines()
    except UnicodeDecodeError:
        raise SecretsRefused(f"{path} is not UTF-8 text of NAME=value lines") from None
    values = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = (part.strip() for part in line.partition("="))
        if not equals or not NAME.fullmatch(name) or "\0" in value:
            raise SecretsRefused(f"line {number} of {path} is not NAME=value, with a name of letters, digits and _")
        values[name] = value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value
    return values
