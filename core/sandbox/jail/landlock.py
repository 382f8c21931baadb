"""Landlock: a process gives up the file system but for a list of places. For kernels that allow no new namespaces.

What it does not cover: names, sizes and times of files can still be asked for (stat), modes, owners, times, attributes
and locks can be set (jail.seccomp refuses that), and the disk has no quota.
Linux 5.13; network and signals from later versions on. docs.kernel.org/userspace-api/landlock
"""

import ctypes
import os
import struct

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # the same on every architecture
_EXECUTE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 2, 1 << 3
_IN_FILES = (
    _EXECUTE | 1 << 1 | _READ_FILE | 1 << 14 | 1 << 15
)  # rights that make sense on a file: write, truncate, ioctl
READ = _EXECUTE | _READ_FILE | _READ_DIR
_RIGHTS_BY_VERSION = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # how many file system rights there are
_NETWORK = 0b11  # bind and connect TCP, from version 4 on
_SCOPES = 0b11  # abstract sockets and signals of processes outside, from version 6 on
_RULE_PATH_BENEATH = 1

SHARED_TASKS_LIMIT = 1024  # of an ordinary user, whose other processes are counted too: no namespace sets them apart
_GAPS = {  # closed from this version on; the system-call filter closes each where it is available
    3: "files that its user may write can be cut off by name",
    4: "network",
    5: "device controls of open files",
    6: "signals to other processes of its user, also as the owner of a file, and abstract sockets",
}

_libc = ctypes.CDLL(None, use_errno=True)


def version() -> int:
    """The kernel's landlock version; 0: it has none."""
    return max(0, _libc.syscall(_CREATE, None, 0, 1))


def gaps() -> list[str]:
    """What this kernel's landlock alone leaves open that later ones do not."""
    have = version()
    return [gap for since, gap in _GAPS.items() if have < since]


def restrict(readable: list[str], writable: str) -> None:
    """Confine this process to reading below `readable` and doing anything below `writable`. Needs no_new_privs."""
    have = version()
    everything = (1 << _RIGHTS_BY_VERSION[min(have, 5)]) - 1
    fields = [everything, _NETWORK if have >= 4 else 0, _SCOPES if have >= 6 else 0]
    attributes = struct.pack(f"{min(3, 1 + (have >= 4) + (have >= 6))}Q", *fields[: 1 + (have >= 4) + (have >= 6)])
    ruleset = _checked(_libc.syscall(_CREATE, attributes, len(attributes), 0), "landlock_create_ruleset")
    for path, rights in [*((path, READ) for path in readable), (writable, everything)]:
        _allow(ruleset, path, rights & everything)
    _checked(_libc.syscall(_RESTRICT, ruleset, 0), "landlock_restrict_self")
    os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there need not be allowed
    if not os.path.isdir(path):
        rights &= _IN_FILES
    rule = struct.pack("=Qi", rights, place)
    _checked(_libc.syscall(_ADD, ruleset, _RULE_PATH_BENEATH, rule, 0), f"landlock_add_rule {path}")
    os.close(place)


def _checked(result: int, what: str) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), what)
    return result
