"""Put on PYTHONPATH by tests: SIGKILL this process right before its GRPOQ_KILL_AT-th file operation in a checkpoint.

Counted are the calls that change what is on disk (mkdir, rename, replace, fsync, unlink, rmtree's unlinks) on paths of
the checkpoint folder, so that every gap between two of the writer's operations can be hit.
"""

import os
import signal

_LIMIT = int(os.environ.get("GRPOQ_KILL_AT", "0"))
_seen = 0
_saving = False


def _counted(function):
    def wrapper(*args, **kwargs):
        global _seen
        if _saving:
            _seen += 1
            if _seen == _LIMIT:
                os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)

    return wrapper


def _watch_save():
    import core.checkpoint

    original = core.checkpoint.save

    def save(*args, **kwargs):
        global _saving
        _saving = True
        try:
            return original(*args, **kwargs)
        finally:
            _saving = False

    core.checkpoint.save = save


if _LIMIT:
    for _name in ("mkdir", "rename", "replace", "fsync", "unlink", "open"):
        setattr(os, _name, _counted(getattr(os, _name)))

    import builtins

    _import = builtins.__import__

    def _hooked(name, *args, **kwargs):
        module = _import(name, *args, **kwargs)
        if name == "core.train":
            builtins.__import__ = _import
            _watch_save()
        return module

    builtins.__import__ = _hooked
