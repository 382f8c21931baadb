"""SIGKILL this process right before its N-th file operation inside the checkpoint writer.

N is GRPOQ_KILL_AT (tests put this folder on PYTHONPATH), or stands in the run directory's file `kill-at`, which is
removed first, so that the next attempt lives (tests put this file into the code that a plan freezes). Counted are the
calls that change what is on disk (mkdir, rename, replace, fsync, unlink, open), so that every gap can be hit.
"""

import os
import signal
import sys
from pathlib import Path

_seen = 0
_saving = False


def _limit():
    place = _wish()
    return int(os.environ.get("GRPOQ_KILL_AT") or (place.read_text() if place and place.exists() else 0))


def _wish():
    return Path(sys.argv[1]) / "kill-at" if len(sys.argv) > 1 else None


def _die():
    place = _wish()
    if place:
        place.unlink(missing_ok=True)
    os.kill(os.getpid(), signal.SIGKILL)


def _counted(function, limit):
    def wrapper(*args, **kwargs):
        global _seen, _saving
        if _saving:
            _seen += 1
            if _seen == limit:
                _saving = False
                _die()
        return function(*args, **kwargs)

    return wrapper


def _watch_save():
    import core.checkpoint

    limit = _limit()
    for name in ("mkdir", "rename", "replace", "fsync", "unlink", "open"):
        setattr(os, name, _counted(getattr(os, name), limit))
    original = core.checkpoint.save

    def save(*args, **kwargs):
        global _saving
        _saving = True
        try:
            return original(*args, **kwargs)
        finally:
            _saving = False

    core.checkpoint.save = save


def _install():
    import builtins

    original = builtins.__import__

    def hooked(name, *args, **kwargs):
        module = original(name, *args, **kwargs)
        if name == "core.train":
            builtins.__import__ = original
            if _limit():
                _watch_save()
        return module

    builtins.__import__ = hooked


_install()
