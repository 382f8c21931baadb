"""Where things are kept that can be made again: converted models, SVDs, compiled Python."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """GRPOQ_CACHE, or the platform's cache directory."""
    import platformdirs  # only here: `status` needs none

    return Path(os.environ.get("GRPOQ_CACHE") or platformdirs.user_cache_dir("grpoq"))
