"""A system-call filter for judged code: what it has no use for in solving a problem fails with EPERM.

A list of refusals, not of permissions: namespaces or landlock draw the border, this narrows what can be tried at it.
It refuses new processes (threads are allowed), programs, sockets, signals and limits for others, tracing, kernel
objects that outlive a process (System V IPC, message queues, keys), mounts, namespaces, io_uring and bpf; and what
would carry bits from one check to another: locks, leases and owners of files, their times, attributes and watches,
which pages are cached and who caches them, counters of the whole machine.

Two filters, because the kernel takes a millisecond to take in a long one: it is installed once, in the server,
whose children inherit it; what the server itself needs is refused by a short one in each child. Where children have
the user of other processes, modes and owners of files are refused as well: they may be those of others' files.
"""

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Mapping
from functools import lru_cache

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
CLONE_THREAD, CLONE_PIDFD, SOCK_STREAM = 0x00010000, 0x00001000, 1

# struct seccomp_data: number, architecture, instruction pointer, six 64-bit arguments (low halves come first)
_NUMBER, _ARCHITECTURE = 0, 4
_LOAD, _AND, _RETURN, _JUMP_ALWAYS = 0x20, 0x54, 0x06, 0x05
_JUMP_EQUAL, _JUMP_ANY_BIT, _JUMP_AT_LEAST = 0x15, 0x45, 0x35
_ALLOW, _FAIL = 0x7FFF0000, 0x00050000

# name -> (x86_64, aarch64); None: that architecture has no such call
_REFUSED_TO_CHILD = {
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281), "tkill": (200, 130),
    "pidfd_open": (434, 434),
}  # fmt: skip
_REFUSED_TO_ALL = {
    "socket": (41, 198), "bind": (49, 200), "listen": (50, 201), "accept": (43, 202), "accept4": (288, 242),
    "connect": (42, 203),
    "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424), "pidfd_getfd": (438, 438),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "process_madvise": (440, 440), "migrate_pages": (256, 238), "move_pages": (279, 239),
    "setpriority": (141, 140), "ioprio_set": (251, 30), "sched_setaffinity": (203, 122),
    "sched_setscheduler": (144, 119), "sched_setparam": (142, 118), "sched_setattr": (314, 274),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195),
    "semget": (64, 190), "semop": (65, 193), "semctl": (66, 191), "semtimedop": (220, 192),
    "msgget": (68, 186), "msgsnd": (69, 189), "msgrcv": (70, 188), "msgctl": (71, 187),
    "mq_open": (240, 180), "mq_unlink": (241, 181),
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431),
    "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442),
    "unshare": (272, 97), "setns": (308, 268), "personality": (135, 92),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "fanotify_init": (300, 262),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "syslog": (103, 116),
    # Which pages of a file are cached, and by whom: they stay so after a check.
    "fadvise64": (221, 223), "readahead": (187, 213), "mincore": (27, 232), "cachestat": (451, 451),
    "preadv2": (327, 286), "pwritev2": (328, 287), "sync_file_range": (277, 84), "sync": (162, 81),
    "syncfs": (306, 267),
    "io_setup": (206, 0), "io_submit": (209, 2), "io_pgetevents": (333, 292),
    "mlock": (149, 228), "mlock2": (325, 284), "mlockall": (151, 230), "process_mrelease": (448, 448),
    # Marks on files that are not the check's own, for landlock does not hide them from these.
    "flock": (73, 32), "truncate": (76, 45), "utime": (132, None), "utimes": (235, None), "futimesat": (261, None),
    "utimensat": (280, 88), "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7),
    "setxattrat": (463, 463),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16), "removexattrat": (466, 466),
    "file_setattr": (469, 469), "inotify_init": (253, None), "inotify_init1": (294, 26), "inotify_add_watch": (254, 27),
    # Counters of the whole machine, and lists of what is mounted on it.
    "sysinfo": (99, 179), "statfs": (137, 43), "fstatfs": (138, 44), "ustat": (136, None), "memfd_create": (319, 279),
    "memfd_secret": (447, 447), "quotactl": (179, 60), "quotactl_fd": (443, 443), "statmount": (457, 457),
    "listmount": (458, 458), "futex_waitv": (449, 449), "futex_wake": (454, 454), "futex_wait": (455, 455),
    "futex_requeue": (456, 456), "open_tree_attr": (467, 467), "lookup_dcookie": (212, 18), "modify_ldt": (154, None),
}  # fmt: skip
# Where a child has the user of other processes.
_REFUSED_TO_SHARED_USER = {
    "chown": (92, None), "lchown": (94, None), "fchown": (93, 55), "fchownat": (260, 54),
}  # fmt: skip
_REFUSED_TO_CHILD_OF_SHARED_USER = {  # its server needs them to remove what a child has left
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
}  # fmt: skip
_CLONE, _CLONE3 = (56, 220), (435, 435)  # clone3 hides its flags in memory: ENOSYS makes the C library use clone
_KILL, _TGKILL, _PRLIMIT, _SOCKETPAIR = (62, 129), (234, 131), (302, 261), (53, 199)
_FCNTL, _IOCTL, _MADVISE, _PRCTL, _CLOCK_GETTIME = (72, 25), (16, 29), (28, 233), (157, 167), (228, 113)
_TAKE_A_CLOCK = ((222, 107), (229, 114), (230, 115))  # timer_create, clock_getres, clock_nanosleep
_FUTEX, _FUTEX_PRIVATE, _FUTEX_COMMAND, _FUTEX_WAITS = (202, 98), 128, 0x7F, (0, 9)
_GETSOCKOPT, _SETSOCKOPT = (55, 209), (54, 208)

# Locks (5-7, 36-38), owner and signal of a file (8, 10, 15), leases and notices (1024-1026, 1039, 1040), size of a
# pipe, which is counted by user (1031), hints that stay with an inode (1035-1038).
_FCNTL_REFUSED = (5, 6, 7, 8, 10, 15, 36, 37, 38, 1024, 1025, 1026, 1031, 1035, 1036, 1037, 1038, 1039, 1040)
_IOCTL_ALLOWED = (
    0x5401,
    0x5413,
    0x541B,
    0x5421,
    0x5450,
    0x5451,
)  # is it a terminal, bytes to be read, blocking, cloexec
# All but what fetches or evicts pages of a file, merges equal pages or poisons them.
_MADVISE_ALLOWED = (0, 1, 2, 4, 8, 10, 11, 14, 15, 16, 17, 18, 19, 102, 103)
_PR_SET_MEMORY_MERGE = 67
_SOCKET_OPTIONS_REFUSED = (57, 71, 76, 77)  # numbers that count the machine's sockets and processes
_CPU_CLOCK_OF_A_PROCESS = 0x80000000  # of another than the caller, by its number
_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_X32_BIT = 0x40000000
_SOME_PID = b"\xfe\xed\xfa\xce"  # beyond the kernel's largest

_libc = ctypes.CDLL(None, use_errno=True)


def is_available() -> bool:
    """Whether this kernel and processor take the filter; nothing is filtered by asking."""
    if platform.machine() not in _ARCHITECTURES:
        return False
    return _libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, 0, 0, 0) != 0 and ctypes.get_errno() == errno.EFAULT


def install_for_all(shared_user: bool) -> None:
    """The long filter, in a server before its first child. Raises OSError where the kernel refuses.

    shared_user: children have the user of other processes.
    """
    column, start = _start(platform.machine())
    table = _REFUSED_TO_ALL | (_REFUSED_TO_SHARED_USER if shared_user else {})
    _Program(b"".join([*start, *_refusals(table, column), *_by_argument(column), _allow()])).install()
    _childs(platform.machine(), shared_user)


def _by_argument(column: int) -> list[bytes]:
    """What is refused, or allowed, with some arguments alone."""
    return [
        *_on(_FCNTL[column], [_argument(1), *_none_of(_FCNTL_REFUSED)]),
        *_on(_IOCTL[column], [_argument(1), *_any_of(_IOCTL_ALLOWED)]),
        *_on(_MADVISE[column], [_argument(2), *_any_of(_MADVISE_ALLOWED)]),
        *_on(_PRCTL[column], [_argument(0), *_none_of((_PR_SET_MEMORY_MERGE,))]),
        *_on(_GETSOCKOPT[column], [_argument(2), *_none_of(_SOCKET_OPTIONS_REFUSED)]),
        *_on(_SETSOCKOPT[column], [_argument(2), *_none_of(_SOCKET_OPTIONS_REFUSED)]),
        *(
            rule
            for pair in _TAKE_A_CLOCK
            for rule in _on(pair[column], [_argument(0), *_no_bit_of(_CPU_CLOCK_OF_A_PROCESS)])
        ),
        *_on(_FUTEX[column], [_argument(1), *_private_or_waiting()]),
    ]


def _private_or_waiting() -> list[bytes]:
    """A futex on a shared page is one for all processes that map it, and waking tells how many wait there.

    Waiting stays allowed: the C library waits so for the end of a thread, which the kernel itself tells.
    """
    waits = [_op(_AND, _FUTEX_COMMAND), *_any_of(_FUTEX_WAITS)]
    return [_op(_JUMP_ANY_BIT, _FUTEX_PRIVATE, 0, 1), _allow(), *waits]


def install_for_child(shared_user: bool) -> None:
    """The short filter; of all processes this one may then signal itself alone. Raises OSError."""
    program, places = _childs(platform.machine(), shared_user)
    for place in places:
        struct.pack_into("I", program.code, place, os.getpid())
    program.install()


@lru_cache(maxsize=1)
def _childs(machine: str, shared_user: bool) -> tuple["_Program", tuple[int, ...]]:
    """The short filter, made once, in the server, and where the child's number is to be put into it."""
    code = _child_filter(machine, shared_user)
    return _Program(code), tuple(place for place in range(0, len(code), 4) if code.startswith(_SOME_PID, place))


def _child_filter(machine: str, shared_user: bool) -> bytes:
    """With _SOME_PID for the child's number."""
    column, start = _start(machine)
    (pid,) = struct.unpack("I", _SOME_PID)
    myself = [_argument(0), _op(_JUMP_EQUAL, pid, 1, 0), _fail(errno.EPERM), _allow()]
    code = [
        *start,
        *_on(_CLONE3[column], [_fail(errno.ENOSYS)]),
        *_on(_CLONE[column], [_argument(0), _op(_JUMP_ANY_BIT, CLONE_PIDFD, 1, 0), *_some_bit_of(CLONE_THREAD)]),
        *_on(_KILL[column], myself),
        *_on(_TGKILL[column], myself),
        *_on(_PRLIMIT[column], [_argument(0), *_any_of((0, pid))]),
        # A datagram socket of a pair can still be sent to any address; a stream cannot.
        *_on(_SOCKETPAIR[column], [_argument(1), _op(_AND, 0xFF), *_any_of((SOCK_STREAM,))]),
        *_on(_CLOCK_GETTIME[column], [_argument(0), *_no_bit_of(_CPU_CLOCK_OF_A_PROCESS)]),
        *_refusals(_REFUSED_TO_CHILD | (_REFUSED_TO_CHILD_OF_SHARED_USER if shared_user else {}), column),
    ]
    return b"".join([*code, _allow()])


class _Program:
    """A filter as the kernel takes it in: instructions in place, and struct sock_fprog, which points to them."""

    def __init__(self, code: bytes) -> None:
        self.code = ctypes.create_string_buffer(code, len(code))
        self._header = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(self.code))

    def install(self) -> None:
        """Raises OSError where the kernel refuses."""
        if _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or _libc.prctl(
            PR_SET_SECCOMP, SECCOMP_MODE_FILTER, self._header, 0, 0
        ):
            raise OSError(ctypes.get_errno(), "seccomp")


def _start(machine: str) -> tuple[int, list[bytes]]:
    """The column of the tables, and the check that a call follows the convention that they are of."""
    column, architecture = _ARCHITECTURES[machine]
    wrong = [_op(_LOAD, _ARCHITECTURE), _op(_JUMP_EQUAL, architecture, 1, 0), _fail(errno.EPERM)]
    x32 = [_op(_LOAD, _NUMBER), _op(_JUMP_AT_LEAST, _X32_BIT, 0, 1), _fail(errno.EPERM)]  # numbers of its own
    return column, [*wrong, *x32]


def _refusals(table: Mapping[str, tuple[int, int | None]], column: int) -> list[bytes]:
    numbers = sorted(number for pair in table.values() if (number := pair[column]) is not None)
    jumps = [_op(_JUMP_EQUAL, number, len(numbers) - place, 0) for place, number in enumerate(numbers)]
    return [*jumps, _op(_JUMP_ALWAYS, 1), _fail(errno.EPERM)]


def _op(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, value)


def _fail(number: int) -> bytes:
    return _op(_RETURN, _FAIL | number)


def _allow() -> bytes:
    return _op(_RETURN, _ALLOW)


def _argument(place: int) -> bytes:
    return _op(_LOAD, 16 + 8 * place)


def _on(number: int, rule: list[bytes]) -> list[bytes]:
    """The rule for one system call; it must end in a return, since it may have loaded another word."""
    return [_op(_JUMP_EQUAL, number, 0, len(rule)), *rule]


def _any_of(values: tuple[int, ...]) -> list[bytes]:
    tests = [_op(_JUMP_EQUAL, value, len(values) - place, 0) for place, value in enumerate(values)]
    return [*tests, _fail(errno.EPERM), _allow()]


def _none_of(values: tuple[int, ...]) -> list[bytes]:
    tests = [_op(_JUMP_EQUAL, value, len(values) - place, 0) for place, value in enumerate(values)]
    return [*tests, _allow(), _fail(errno.EPERM)]


def _some_bit_of(bits: int) -> list[bytes]:
    return [_op(_JUMP_ANY_BIT, bits, 1, 0), _fail(errno.EPERM), _allow()]


def _no_bit_of(bits: int) -> list[bytes]:
    return [_op(_JUMP_ANY_BIT, bits, 1, 0), _allow(), _fail(errno.EPERM)]
