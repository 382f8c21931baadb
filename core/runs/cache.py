"""Where things are kept that can be made again: converted models, SVDs, compiled Python."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """GRPOQ_CACHE, or the platform's cache directory."""
    named = os.environ.get("GRPOQ_CACHE")
    if named:
        return Path(named)
    import platformdirs  # only here: `status` needs none, nor does the sandbox where the place is named

    return Path(platformdirs.user_cache_dir("grpoq"))
