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
# Capabilities of a server: to give a child its user and folder, end it, remove what it left, number it anew.
KEPT = {"CHOWN": 0, "DAC_OVERRIDE": 1, "FOWNER": 3, "KILL": 5, "SETGID": 6, "SETUID": 7, "CHECKPOINT_RESTORE": 40}
SYS_ADMIN = 21
INODES_LIMIT = 4096  # of a box in memory
DEVICES = ("null", "zero", "full", "random", "urandom")

_libc = ctypes.CDLL(None, use_errno=True)


def enter(visible: list[str], writable: str, pid_fd: int) -> None:
    """Returns in a new process, the first of its PID namespace, whose root shows `visible`, read-only, and the empty
    folder `writable`, for `finish_root`.

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
    _build_root(visible, writable)


def finish_root(box: str, size_bytes: int, inodes: int) -> None:
    """In a root of this process's own: a file system in memory over `box`, the new working directory; fixed devices.

    Only who may pass over modes can make anything in the box: children write in folders that their server makes there.
    Devices work as ever, but their times, which outlive a check, cannot be set.
    """
    for name in DEVICES:
        _make_read_only(f"/dev/{name}")
    _mount("tmpfs", box, "tmpfs", MS_NOSUID | MS_NODEV, f"size={size_bytes},nr_inodes={inodes},mode=0555")
    os.chdir(box)


def _stay_behind(pid: int, pid_fd: int) -> None:
    """Hold nothing, wait, and end as the inner process does."""
    os.write(pid_fd, f'{{"child-pid": {pid}}}\n'.encode())
    os.closerange(0, 1 << 16)
    _, status = os.waitpid(pid, 0)
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _build_root(visible: list[str], writable: str) -> None:
    _mount(None, "/", None, MS_REC | MS_PRIVATE)
    _mount("tmpfs", SCAFFOLD, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=0755")
    for path in visible:
        _bind(path, SCAFFOLD + path)
        _make_read_only(SCAFFOLD + path, MS_NODEV)
    for name in DEVICES:
        _bind(f"/dev/{name}", f"{SCAFFOLD}/dev/{name}")
    os.makedirs(SCAFFOLD + writable, mode=0o755, exist_ok=True)
    _mount("tmpfs", SCAFFOLD, None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)
    os.chdir(SCAFFOLD)
    _checked(_libc.syscall(_PIVOT_ROOT[os.uname().machine], b".", b"."), "pivot_root")
    _checked(_libc.umount2(b".", MNT_DETACH), "umount")
    os.chdir("/")


def _bind(path: str, place: str) -> None:
    os.makedirs(os.path.dirname(place), mode=0o755, exist_ok=True)
    if os.path.isdir(path):
        os.makedirs(place, mode=0o755, exist_ok=True)
    else:
        os.close(os.open(place, os.O_CREAT | os.O_WRONLY, 0o644))
    _mount(path, place, None, MS_BIND | MS_REC)


def _make_read_only(place: str, also: int = 0) -> None:
    attributes = struct.pack("4Q", MS_RDONLY | MS_NOSUID | also, 0, 0, 0)
    _checked(
        _libc.syscall(_MOUNT_SETATTR, AT_FDCWD, os.fsencode(place), AT_RECURSIVE, attributes, len(attributes)),
        f"mount_setattr {place}",
    )


def _mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    encoded = [None if text is None else os.fsencode(text) for text in (source, target, kind, options)]
    _checked(_libc.mount(encoded[0], encoded[1], encoded[2], flags, encoded[3]), f"mount {target}")


def _checked(result: int, what: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), what)
