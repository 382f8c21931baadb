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

from core.sandbox.image import CORE, GRADER, default_place, is_public, python_command
from core.sandbox.jail import landlock, seccomp
from core.sandbox.jail.namespaces import DEVICES, INODES_LIMIT, KEPT, SYS_ADMIN

CHOICE_VARIABLE = "GRPOQ_SANDBOX"  # names a level; without it the best that works here is taken, `limits` never
WRITABLE_BYTES = 64 << 20
INSIDE = "/box"  # where children's directories are made, in levels with a root of their own

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
# The kernel's out-of-memory killer takes a server before whoever has started it.
_KILL_FIRST = "{ echo 1000 >/proc/self/oom_score_adj; } 2>/dev/null"
_FORGET_WHERE = "unset PWD OLDPWD SHLVL"  # shells tell it to what they start
KILLED_FIRST = ("/bin/sh", "-c", f'{_KILL_FIRST}; {_FORGET_WHERE}; exec "$@"', "sh")


@dataclass(frozen=True)
class Level:
    """One way to start a server. `command` gets the settings as a dict and the pid pipe's write end."""

    name: str
    covers: tuple[str, ...]
    leaves_open: tuple[str, ...]
    own_root: bool  # a file system view of its own, with INSIDE in it
    hides_files: bool  # shows a copy of Python (core.sandbox.image) and nothing else
    command: Callable[[dict, int], list[str]]


def _python(settings: dict) -> list[str]:
    if settings["visible"]:
        image = Path(settings["visible"][0])
        command, modules = python_command(image), image / GRADER
    else:
        command, modules = [os.path.realpath(sys.executable)], CORE.parent
    return [*command, *SERVER_FLAGS, "-c", SERVER_PROGRAM, str(modules), json.dumps(settings)]


def _bubblewrap(settings: dict, pid_fd: int) -> list[str]:
    program = shutil.which("bwrap")
    if program is None:
        raise OSError("bubblewrap (the program bwrap) is not installed")
    command = [program, "--as-pid-1", "--info-fd", str(pid_fd)]
    command += ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    command += [] if os.geteuid() == 0 else ["--unshare-user"]
    command += ["--cap-drop", "ALL"]
    for number in (*KEPT.values(), SYS_ADMIN):  # the last to mount the box, then given up
        # By number: bubblewrap may be built with an older list of names.
        command += ["--cap-add", str(number)] if _holds(number) else []
    devices = [f"/dev/{name}" for name in DEVICES]
    shown = [*settings["visible"], *devices]
    for folder in dict.fromkeys(str(parent) for path in shown for parent in reversed(Path(path).parents[:-1])):
        command += ["--perms", "0755", "--dir", folder]  # else only root could pass through
    for path in settings["visible"]:
        command += ["--ro-bind", path, path]
    for path in devices:
        command += ["--dev-bind", path, path]
    return [*command, "--dir", INSIDE, "--remount-ro", "/", "--", *_python(settings)]


def _holds(capability: int) -> bool:
    """Of a user namespace its maker holds all; a container's root may lack some."""
    if os.geteuid() != 0:
        return True
    held = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapPrm"))
    return bool(int(held.split()[1], 16) >> capability & 1)


def _direct(settings: dict, pid_fd: int) -> list[str]:
    return _python(settings)


_COPY = "files: sees a copy of Python and of the judging modules, which checks that hold answers do not share;"
_NAMESPACES_COVER = (
    f"{_COPY} nothing else",
    "network: none, not even the loopback of this machine",
    "processes: sees and reaches none but its own; no /proc",
    f"disk: a directory of its own, gone after the check; {WRITABLE_BYTES >> 20} MiB and {INODES_LIMIT} names",
    "memory: its servers are the first that the kernel ends where memory runs out",
)
_ALWAYS_OPEN = (
    "a fault of the kernel or the processor",
    "time: judged code can tell how long things take, and slow down what runs beside it",
    "counts: numbers of pipes and sockets tell how many were made on this machine, numbers of files how many in a box",
)
LEVELS: dict[str, Level] = {
    level.name: level
    for level in (
        Level("bubblewrap", _NAMESPACES_COVER, _ALWAYS_OPEN, True, True, _bubblewrap),
        Level("namespaces", _NAMESPACES_COVER, _ALWAYS_OPEN, True, True, _direct),
        Level(
            "landlock",
            (
                f"{_COPY} opens nothing else",
                "modes, owners, times, attributes and locks of files: changes none but in its own directory",
                "network: no sockets at all",
                "processes: signals, traces and inspects none but its own",
                _NAMESPACES_COVER[-1],
            ),
            (
                *_ALWAYS_OPEN,
                "names, sizes, modes and times of files can be asked for, contents cannot; how fast the answer comes "
                "tells whether another has asked",
                "process numbers are the machine's: they tell how many processes and threads were started on it",
                "disk: what it writes in its directory counts against the disk until the check ends",
            ),
            False,
            True,
            _direct,
        ),
        Level(
            "limits",
            ("time, memory, tasks, output and file size",),
            (
                *_ALWAYS_OPEN,
                "files: whatever its user may read or write, run directories and secrets of yours included",
                "answers: a check that holds them can leave them for another, in any file that both may open",
                "network, where the system-call filter is not available either",
            ),
            False,
            False,
            _direct,
        ),
    )
}


def left_open(level: Level) -> list[str]:
    """What this level does not cover on this kernel, for this user."""
    found = list(level.leaves_open)
    if not seccomp.is_available():
        found.append(
            "no system-call filter here: locks, modes, times and attributes of files, sockets and new processes"
        )
        if level.name == "landlock":
            found += [f"landlock is version {landlock.version()} here: {gap}" for gap in landlock.gaps()]
    may_number = os.access("/proc/sys/kernel/ns_last_pid", os.W_OK) and _holds(KEPT["CHECKPOINT_RESTORE"])
    if level.own_root and not may_number:
        found.append("process numbers tell how many checks and threads a server has had: it may not set them here")
    if level.name == "landlock" and os.geteuid() == 0 and not is_public(default_place()):
        found.append(
            f"names in directories that only root may enter: its copy of Python lies in one ({default_place()}); set "
            "GRPOQ_CACHE to a place that all may pass through"
        )
    if level.name == "landlock" and os.geteuid() != 0:
        found.append(f"tasks: counted together with all others of your user, {landlock.SHARED_TASKS_LIMIT} at most")
    return found


def candidates(chosen: str) -> list[Level]:
    """The levels to try, in order; where none is chosen, all but `limits`. Raises ValueError for an unknown one."""
    if not chosen:
        return [level for level in LEVELS.values() if level.name != "limits"]
    if chosen not in LEVELS:
        raise ValueError(f"unknown level of isolation {chosen!r} ({CHOICE_VARIABLE}); choose from {', '.join(LEVELS)}")
    return [LEVELS[chosen]]
