"""What a child gives up before it judges: files, limits, its user and its powers, system calls."""

import ctypes
import os
import resource
import signal
import stat
import struct

from core.sandbox.jail import landlock, namespaces, seccomp
from core.sandbox.jail.settings import HAS_OWN_ROOT, Settings

FILE_SIZE_LIMIT, OPEN_FILES_LIMIT, TASKS_LIMIT = 1 << 20, 64, 64
CAP_DAC_READ_SEARCH = 2
PR_SET_PDEATHSIG, PR_SET_KEEPCAPS, PR_SET_NO_NEW_PRIVS, CAPSET_VERSION = 1, 8, 38, 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


def confine(folder: str, settings: Settings) -> None:
    """Give up everything that judged code has no use for; the last thing before it runs."""
    privileged = os.geteuid() == 0
    if privileged:
        os.chown(folder, settings.uid, settings.uid)
    os.chdir(folder)
    for what, soft, hard in (
        (resource.RLIMIT_CPU, 2 * settings.cpu_s + 1, 2 * settings.cpu_s + 2),  # should the server not look: Patience
        (resource.RLIMIT_NOFILE, OPEN_FILES_LIMIT, OPEN_FILES_LIMIT),
        (resource.RLIMIT_NPROC, *(_tasks_limit(settings),) * 2),
    ):
        resource.setrlimit(what, (soft, hard))
    _drop_privileges(settings.uid if privileged else None, settings)
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # after the change of user, which clears it
    _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if settings.level == "landlock":
        landlock.restrict([*settings.visible, *(f"/dev/{name}" for name in namespaces.DEVICES)], folder)
    if settings.filtered:
        seccomp.install_for_child(shared_user=not privileged)


def _tasks_limit(settings: Settings) -> int:
    """Threads only: the filter refuses processes, whose memory would add up. Without it, neither."""
    if not settings.filtered:
        return 0
    if os.geteuid() == 0 or settings.level in HAS_OWN_ROOT:
        return TASKS_LIMIT
    hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    return landlock.SHARED_TASKS_LIMIT if hard == resource.RLIM_INFINITY else min(hard, landlock.SHARED_TASKS_LIMIT)


def _drop_privileges(uid: int | None, settings: Settings) -> None:
    """Another user, without any of root's powers; where the libraries lie in a directory that only root may enter and
    no namespace shows them elsewhere, the power to read stays, within what landlock leaves."""
    keep = 0
    if uid is not None:
        if settings.level in ("landlock", "limits") and not STDLIB_IS_PUBLIC:
            keep = 1 << CAP_DAC_READ_SEARCH
        _libc.prctl(PR_SET_KEEPCAPS, int(keep != 0))
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    if keep or uid is None:  # else they have gone with the user
        set_capabilities(keep)


def capabilities() -> int:
    """Those that this process may use."""
    data = ctypes.create_string_buffer(24)
    if _libc.capget(struct.pack("Ii", CAPSET_VERSION, 0), data) != 0:
        raise OSError(ctypes.get_errno(), "capget")
    _, low, _, _, high, _ = struct.unpack("6I", data.raw)
    return high << 32 | low


def set_capabilities(mask: int) -> None:
    low, high = mask & 0xFFFFFFFF, mask >> 32
    header = struct.pack("Ii", CAPSET_VERSION, 0)
    if _libc.capset(header, struct.pack("6I", low, low, 0, high, high, 0)) != 0:
        raise OSError(ctypes.get_errno(), "capset")


# Asked before privileges are gone, which may include the power to ask.
_parts = os.path.dirname(os.__file__).split("/")
STDLIB_IS_PUBLIC = all(os.stat("/".join(_parts[:n]) or "/").st_mode & stat.S_IXOTH for n in range(1, len(_parts) + 1))
