"""Shut this process into namespaces of its own: a root of a few read-only places, no /proc, no network, no neighbours.

What bubblewrap does, from the kernel's own calls, for machines that have no bubblewrap. Linux 5.12 (mount_setattr).
An unprivileged process makes a user namespace first and needs a kernel that lets it.
"""

import ctypes
import os
import signal
import struct

NEW_MOUNTS, NEW_NAMES, NEW_IPC, NEW_USERS, NEW_PIDS, NEW_NETWORK = (
    0x00020000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000,
)  # fmt: skip
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
MNT_DETACH, AT_FDCWD, AT_RECURSIVE = 2, -100, 0x8000
PR_SET_PDEATHSIG = 1
_MOUNT_SETATTR = 442  # the same on every architecture
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
SCAFFOLD = "/proc"  # the new root is built over it: it is there, and nothing that is to be seen lies below it
DEVICES = ("null", "zero", "full", "random", "urandom")

_libc = ctypes.CDLL(None, use_errno=True)


def enter(visible: list[str], writable: str, size_bytes: int, pid_fd: int) -> None:
    """Returns in a new process, the first of its PID namespace, whose root shows `visible` (read-only) and `writable`.

    The calling process stays behind, writes the new one's pid to `pid_fd` as JSON and ends as it ends. Raises OSError
    where the kernel refuses.
    """
    user, group = os.getuid(), os.getgid()
    flags = NEW_MOUNTS | NEW_NAMES | NEW_IPC | NEW_PIDS | NEW_NETWORK | (NEW_USERS if user else 0)
    _checked(_libc.unshare(flags), "unshare")
    if user:
        for name, line in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(line)
    outside = os.getpid()
    pid = os.fork()
    if pid:
        _stay_behind(pid, pid_fd)
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() not in (0, outside):  # 0: the parent lives in another PID namespace
        os._exit(1)
    _build_root(visible, writable, size_bytes)


def _stay_behind(pid: int, pid_fd: int) -> None:
    """Hold nothing, wait, and end as the inner process does."""
    os.write(pid_fd, f'{{"child-pid": {pid}}}\n'.encode())
    os.closerange(0, 1 << 16)
    _, status = os.waitpid(pid, 0)
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _build_root(visible: list[str], writable: str, size_bytes: int) -> None:
    _mount(None, "/", None, MS_REC | MS_PRIVATE)
    _mount("tmpfs", SCAFFOLD, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=0755")
    for path in visible:
        _show(path, SCAFFOLD + path)
    os.makedirs(SCAFFOLD + "/dev", mode=0o755, exist_ok=True)
    for name in DEVICES:
        _bind(f"/dev/{name}", f"{SCAFFOLD}/dev/{name}")
    os.makedirs(SCAFFOLD + writable, mode=0o755, exist_ok=True)
    _mount("tmpfs", SCAFFOLD, None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)
    _mount("tmpfs", SCAFFOLD + writable, "tmpfs", MS_NOSUID | MS_NODEV, f"size={size_bytes},nr_inodes=4096,mode=0755")
    os.chdir(SCAFFOLD)
    _checked(_libc.syscall(_PIVOT_ROOT[os.uname().machine], b".", b"."), "pivot_root")
    _checked(_libc.umount2(b".", MNT_DETACH), "umount")
    os.chdir(writable)


def _show(path: str, place: str) -> None:
    """A link as a link, a file or directory as a read-only bind; nothing where there is nothing."""
    if os.path.islink(path):
        os.makedirs(os.path.dirname(place), mode=0o755, exist_ok=True)
        os.symlink(os.readlink(path), place)
    elif os.path.exists(path):
        _bind(path, place)
        attributes = struct.pack("4Q", MS_RDONLY | MS_NOSUID | MS_NODEV, 0, 0, 0)
        _checked(
            _libc.syscall(_MOUNT_SETATTR, AT_FDCWD, os.fsencode(place), AT_RECURSIVE, attributes, len(attributes)),
            f"mount_setattr {path}",
        )


def _bind(path: str, place: str) -> None:
    os.makedirs(os.path.dirname(place), mode=0o755, exist_ok=True)
    if os.path.isdir(path):
        os.makedirs(place, mode=0o755, exist_ok=True)
    else:
        os.close(os.open(place, os.O_CREAT | os.O_WRONLY, 0o644))
    _mount(path, place, None, MS_BIND | MS_REC)


def _mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    encoded = [None if text is None else os.fsencode(text) for text in (source, target, kind, options)]
    _checked(_libc.mount(encoded[0], encoded[1], encoded[2], flags, encoded[3]), f"mount {target}")


def _checked(result: int, what: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), what)
