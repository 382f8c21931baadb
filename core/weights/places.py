"""Where a model's files lie on this machine: a directory of the user's, or a copy in the Hugging Face cache.

The cache is looked at by its published layout (models--ORG--NAME/refs, snapshots), so that no command that only asks
loads the hub's client, and none waits for a network.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")
MAIN = "main"


def hub_cache() -> Path:
    """By the variables that the hub's client reads."""
    named = os.environ.get("HF_HUB_CACHE")
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    return Path(named or Path(home) / "hub").expanduser()


def hub_copy(model: str) -> Path | None:
    """The newest copy of ORG/NAME in the cache, whole or not; None where there is none."""
    copies = hub_cache() / f"models--{model.replace('/', '--')}"
    try:
        commit = (copies / "refs" / MAIN).read_text().strip()
    except OSError:
        return None
    folder = copies / "snapshots" / commit
    return folder if commit and folder.is_dir() else None


def is_hub_id(model: str) -> bool:
    """A directory that is there wins over a name on the hub that it looks like."""
    return HUB_ID.fullmatch(model) is not None and not Path(model).expanduser().is_dir()
