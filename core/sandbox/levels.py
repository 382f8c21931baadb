"""How judged code is shut in: the levels of isolation, best first, and the command that starts a server at each.

Every level adds to the same core: a child and a directory of its own per check, another user where we are root, limits
on CPU and wall time, memory, tasks, output and file size, no privileges, and a system-call filter (jail.seccomp).
"""

import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

CHOICE_VARIABLE = "GRPOQ_SANDBOX"  # names a level; without it the best that works here is taken, `limits` never
WRITABLE_BYTES = 64 << 20
INSIDE = "/box"  # where children's directories are made, in levels with a root of their own

CORE = Path(__file__).resolve().parents[1]
# -S -s -P and the server's environment stand in for -I, which would also ignore PYTHONHASHSEED.
SERVER_FLAGS = ("-S", "-s", "-P", "-B")
SERVER_PROGRAM = "; ".join(
    (
        "import sys",
        "sys.path.insert(0, sys.argv[1])",
        "from core.sandbox.jail import server",
        "del sys.path[0]",
        "server.main(sys.argv[2])",
    )
)
CAPABILITIES = (
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "KILL",
    "SETUID",
    "SETGID",
)  # of a root's server, not of its children


@dataclass(frozen=True)
class Level:
    """One way to start a server. `command` gets the settings as a dict and the pid pipe's write end."""

    name: str
    covers: tuple[str, ...]
    leaves_open: tuple[str, ...]
    own_root: bool  # a file system view of its own, with INSIDE in it
    command: Callable[[dict, int], list[str]]


def visible_paths() -> list[str]:
    """All that judged code may read: system libraries, this Python, and the server's own modules."""
    prefix = [sys.base_prefix, os.path.realpath(sys.base_prefix)]
    system = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc/ld.so.cache", "/etc/localtime"]
    ours = [str(CORE / name) for name in ("__init__.py", "sandbox/__init__.py", "sandbox/jail")]
    below_usr = [path for path in prefix if path != "/usr" and not path.startswith("/usr/")]
    return list(dict.fromkeys([*system, *below_usr, *ours]))


def _python(settings: dict) -> list[str]:
    return [
        os.path.realpath(sys.executable),
        *SERVER_FLAGS,
        "-c",
        SERVER_PROGRAM,
        str(CORE.parent),
        json.dumps(settings),
    ]


def _bubblewrap(settings: dict, pid_fd: int) -> list[str]:
    program = shutil.which("bwrap")
    if program is None:
        raise OSError("bubblewrap (the program bwrap) is not installed")
    as_root = os.geteuid() == 0
    command = [program, "--as-pid-1", "--info-fd", str(pid_fd)]
    command += ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    command += [] if as_root else ["--unshare-user"]
    command += ["--cap-drop", "ALL"]
    for name in CAPABILITIES if as_root else ():
        command += ["--cap-add", f"CAP_{name}"]
    shown = [path for path in settings["visible"] if os.path.lexists(path)]
    for folder in dict.fromkeys(str(parent) for path in shown for parent in reversed(Path(path).parents[:-1])):
        command += ["--perms", "0755", "--dir", folder]  # else only root could pass through
    for path in shown:
        if os.path.islink(path):
            command += ["--symlink", os.readlink(path), path]
        else:
            command += ["--ro-bind", path, path]
    command += ["--dev", "/dev", "--remount-ro", "/dev"]
    command += ["--size", str(settings["writable_bytes"]), "--tmpfs", INSIDE, "--chdir", INSIDE, "--remount-ro", "/"]
    return [*command, "--", *_python(settings)]


def _direct(settings: dict, pid_fd: int) -> list[str]:
    return _python(settings)


_NAMESPACES_COVER = (
    "files: sees system libraries, this Python and the grader's own judging modules, nothing else",
    "network: none, not even the loopback of this machine",
    "processes: sees and reaches none but its own; no /proc",
    f"disk: a directory of its own, gone after the check; {WRITABLE_BYTES >> 20} MiB for all it writes",
)
_ALWAYS_OPEN = (
    "a fault of the kernel or the processor",
    "time: judged code can tell how long things take, and slow down what runs beside it",
)
LEVELS: dict[str, Level] = {
    level.name: level
    for level in (
        Level("bubblewrap", _NAMESPACES_COVER, _ALWAYS_OPEN, True, _bubblewrap),
        Level("namespaces", _NAMESPACES_COVER, _ALWAYS_OPEN, True, _direct),
        Level(
            "landlock",
            (
                "files: opens system libraries, this Python and the grader's own modules, nothing else",
                "network: no sockets at all",
                "processes: signals, traces and inspects none but its own",
            ),
            (
                *_ALWAYS_OPEN,
                "names, sizes and times of files can be asked for, contents cannot",
                "disk: what it writes in its directory counts against the disk until the check ends",
            ),
            False,
            _direct,
        ),
        Level(
            "limits",
            ("time, memory, tasks, output and file size",),
            (
                *_ALWAYS_OPEN,
                "files: whatever its user may read or write, run directories and secrets of yours included",
                "network, where the system-call filter is not available either",
            ),
            False,
            _direct,
        ),
    )
}


def candidates(chosen: str) -> list[Level]:
    """The levels to try, in order; where none is chosen, all but `limits`. Raises ValueError for an unknown one."""
    if not chosen:
        return [level for level in LEVELS.values() if level.name != "limits"]
    if chosen not in LEVELS:
        raise ValueError(f"unknown level of isolation {chosen!r} ({CHOICE_VARIABLE}); choose from {', '.join(LEVELS)}")
    return [LEVELS[chosen]]
