"""How a worker is started, whichever engine starts it: its command line, and the few variables that it may inherit.

Engines keep and show the environment of what they run (pueue: in its status and in a file that everyone may read), so
a submitter's secrets are never in it. A worker reads its own from GRPOQ_HOME/secrets.env.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from core.runs.cache import cache_folder
from core.runs.run_dir import RunDir

INHERITED = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "SHELL")
INHERITED_PREFIXES = ("LC_", "GRPOQ_", "CUDA_", "NVIDIA_", "XDG_CACHE_", "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE")
SECRET_WORDS = ("TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL", "KEY", "AUTH")


def worker_command(run: RunDir, number: int, take_over: bool = False) -> list[str]:
    command = [sys.executable, "-m", "worker", str(run.path), "--attempt", str(number)]
    return [*command, "--take-over"] if take_over else command


def worker_environment(code: Path, threads: int) -> dict[str, str]:
    """All that a worker gets: `code` is the snapshot that it executes."""
    return scrubbed(dict(os.environ)) | {
        "PYTHONPATH": str(code),
        "PYTHONUNBUFFERED": "1",
        # Nothing is written into the read-only snapshot, yet torch is compiled once, not at every start (4 s of CPU).
        "PYTHONPYCACHEPREFIX": str(cache_folder() / "bytecode"),
        "OMP_WAIT_POLICY": "passive",  # spinning threads slow a neighbour 5-17x
        "OMP_NUM_THREADS": str(threads),
    }


def scrubbed(environment: dict[str, str]) -> dict[str, str]:
    """What is known to be needed, and of that nothing whose name sounds secret."""
    return {
        name: value
        for name, value in environment.items()
        if (name in INHERITED or name.startswith(INHERITED_PREFIXES)) and not is_secret(name)
    }


def is_secret(name: str) -> bool:
    return any(word in name.upper() for word in SECRET_WORDS)
