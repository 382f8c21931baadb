"""SIGKILL this process at a named point: `phase:function:operation:occurrence`, e.g. `submit:RunDir.submit:fsync:1`.

Points are found, not sprinkled: every call that changes the world is wrapped, and named by the innermost function of
ours that made it. The process dies right before the operation; `write` dies with half of the data on disk; what starts
a process, signals one or commits a transaction also has a point right `after`. Nothing else lies between two points.

A command or a watch dies where GRPOQ_KILL says, a worker where the next line of its run's file `kill-at` says (tests
put this file into the code that a plan freezes). GRPOQ_TRACE names a file that gets every point passed.
"""

import collections
import fcntl
import io
import os
import signal
import sqlite3
import subprocess
import sys

COMMANDS = ("plan", "submit", "resume", "cancel", "retry", "watch", "amend", "approve")
OURS = ("/core/", "/worker/", "/orchestrator/")
# Whoever calls these is the author of what they do.
PLUMBING = ("flocked", "locked", "applying", "append_line", "write_atomic", "write_json", "fsync_dir", "fsync_file")
PLUMBING += ("replace_json_fast", "_append_event", "_append_submission", "_append", "_session", "_engine", "log")
PLUMBING += ("save_tensors", "follow_umask")
ASIDE = ("/core/sandbox/", "/core/environment/diagonal")  # children of the grader have tests of their own
LIBRARIES = ("/sqlalchemy/", "/sqlmodel/", "/peft/", "/safetensors/")  # what they write, they write for us

_kill, _open, _rename, _unlink, _write = os.kill, io.open, os.rename, os.unlink, os.write
_seen = collections.Counter()
_role = ""


def install(role=""):
    """`role`: the command's name, or `worker`."""
    global _role
    _role = role or _role_of(sys.orig_argv)
    if not (_role and (_wanted() or os.environ.get("GRPOQ_TRACE"))):
        return
    for name in ("rename", "replace", "mkdir", "rmdir", "unlink", "chmod", "fsync", "utime"):
        setattr(os, name, _before(name, getattr(os, name)))
    for module, name in ((os, "kill"), (signal, "pidfd_send_signal")):
        setattr(module, name, _around("signal", getattr(module, name), lambda args: args[1] != 0))
    fcntl.flock = _before("flock", fcntl.flock, lambda args: args[1] & fcntl.LOCK_EX)
    os.open = _before("open", os.open, lambda args: args[1] & (os.O_WRONLY | os.O_RDWR) and args[0] != os.devnull)
    io.open = sys.modules["builtins"].open = _opening(io.open)
    os.write = _os_write
    subprocess.Popen.__init__ = _around("Popen", subprocess.Popen.__init__)
    sqlite3.connect = sqlite3.dbapi2.connect = _connecting(sqlite3.connect)


def _role_of(argv):
    if any(a == "orchestrator.cli" or a.endswith("/grpoq_entry.py") for a in argv):
        return next((a for a in argv if a in COMMANDS), "")
    return "worker" if "worker" in argv else ""


def _wanted():
    if _role == "worker":
        try:
            with _open(_kill_at()) as handle:
                return handle.readline().strip()
        except OSError:
            return ""
    return os.environ.get("GRPOQ_KILL", "")


def _kill_at():
    argv = sys.orig_argv
    return f"{argv[argv.index('worker') + 1]}/kill-at"


def _point(operation):
    """Pass the point, or die at it. Returns whether a write is to be left half done, which its caller ends."""
    where = _where()
    if where is None:
        return False
    _seen[where, operation] += 1
    name = f"{where}:{operation}:{_seen[where, operation]}"
    if os.environ.get("GRPOQ_TRACE"):
        handle = _real_open(os.environ["GRPOQ_TRACE"], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)
        _write(handle, f"{name}\n".encode())
        os.close(handle)
    if name != _wanted():
        return False
    if operation == "write":
        return True
    _die(name)


def _die(name=""):
    if _role == "worker":
        with _open(_kill_at()) as handle:
            lines = handle.read().splitlines()
        with _open(_kill_at() + ".new", "w") as handle:
            handle.write("".join(f"{line}\n" for line in lines[1:]))
        (_rename if len(lines) > 1 else _drop)(_kill_at() + ".new", _kill_at())
    _kill(os.getpid(), signal.SIGKILL)


def _drop(new, old):
    _unlink(new)
    _unlink(old)


def _where():
    """`phase:function` of the innermost function of ours; None where no function of ours is at work."""
    frame, function, phase = sys._getframe(2), None, _role
    while frame is not None:
        path, name = frame.f_code.co_filename, frame.f_code.co_name
        if "site-packages" in path:
            if function is None and not any(library in path for library in LIBRARIES):
                return None
        elif path != __file__ and any(place in path for place in OURS):
            if any(place in path for place in ASIDE):
                return None
            if function is None and name not in PLUMBING:
                function = frame.f_code.co_qualname.replace(".<locals>", "")
            if name == "save" and (
                path.endswith("/core/training/checkpoint.py") or (_role == "worker" and "/worker/" in path)
            ):
                phase = "checkpoint"
            if name == "one_pass" and _role == "watch":
                phase = "reconcile"
        frame = frame.f_back
    return f"{phase}:{function}" if function else None


def _before(operation, function, counts=lambda args: True):
    def wrapped(*args, **kwargs):
        if counts(args):
            _late()
            _point(operation)
        return function(*args, **kwargs)

    return wrapped


def _around(operation, function, counts=lambda args: True):
    def wrapped(*args, **kwargs):
        if counts(args):
            _point(operation)
        result = function(*args, **kwargs)
        if counts(args):
            _point(f"{operation}-after")
        return result

    return wrapped


def _opening(function):
    def wrapped(file, mode="r", *args, **kwargs):
        if not isinstance(mode, str) or not set(mode) & set("wax+"):
            return function(file, mode, *args, **kwargs)
        if not isinstance(file, int):
            _point("open")
        handle = function(file, mode, *args, **kwargs)
        if "/logging/" not in sys._getframe(1).f_code.co_filename:
            handle.write = _halving(handle, handle.write)
        return handle

    return wrapped


def _halving(handle, function):
    def write(data):
        if _point("write"):
            function(data[: len(data) // 2])
            handle.flush()
            _die()
        return function(data)

    return write


def _os_write(handle, data):
    if _point("write"):
        _write(handle, data[: len(data) // 2])
        _die()
    return _write(handle, data)


def _connecting(function):
    class Connection(sqlite3.Connection):
        def commit(self):
            _point("commit")
            super().commit()
            _point("commit-after")

    def connect(*args, **kwargs):
        return function(*args, **{"factory": Connection} | kwargs)

    return connect


def _late():
    """safetensors writes in Rust: its call is the point. Wrapped once the writer is there, before its first call."""
    for module in ("core.model.adapters.base", "safetensors.torch"):
        found = getattr(sys.modules.get(module), "save_file", None)
        if found is not None and found.__name__ != "wrapped":
            sys.modules[module].save_file = _before("save_file", found)


_real_open = os.open
