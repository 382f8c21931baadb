"""A small process that forks one isolated child per check, so that the trainer, gigabytes large, never has to.

It keeps no expected value and no earlier check: a child is a copy of this memory. What a child sends back is
passed on unread. Protocol: 4 bytes of length, then JSON, both ways; a check in, a result out, in order of completion.
It imports little, since a fork costs in proportion to the memory it copies: dataclasses, pathlib and shutil would add
half as much again to every check. Linux only (pidfd, prctl). A privileged server gives each child a user of its own;
an unprivileged one cannot, and there a child may signal or read whatever its user may.
"""

import contextlib
import ctypes
import gc
import itertools
import json
import os
import resource
import select
import signal
import stat
import struct
import sys
import time
from typing import NamedTuple, NoReturn

from core import sandbox_child

RESULT_FD = 3
OUTPUT_CAP, RESULT_CAP = 1 << 16, 1 << 24
FILE_CAP, FILES_CAP = 4096, 64
FILE_SIZE_LIMIT, OPEN_FILES_LIMIT = 1 << 20, 64
CHILD_UIDS = range(40_000, 60_000)
CAP_DAC_READ_SEARCH = 2
PR_SET_PDEATHSIG, PR_SET_KEEPCAPS, SYS_CAPSET_VERSION = 1, 8, 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)
# Asked before privileges are gone, which may include the power to ask.
_parts = os.path.dirname(os.__file__).split("/")  # noqa: PTH120
STDLIB_IS_PUBLIC = all(
    os.stat("/".join(_parts[:n]) or "/").st_mode & stat.S_IXOTH  # noqa: PTH116
    for n in range(1, len(_parts) + 1)
)
_exit = os._exit
_write = os.write


class Limits(NamedTuple):
    cpu_s: int
    wall_s: float
    memory_bytes: int


class Child:
    def __init__(self, index: int, pid: int, folder: str, token: bytes, started: float, readers: tuple) -> None:
        self.index, self.pid, self.folder, self.token, self.started = index, pid, folder, token, started
        self.pidfd = os.pidfd_open(pid)
        self.received = {fd: bytearray() for fd in readers}  # stdout, stderr, result
        self.caps = dict(zip(readers, (OUTPUT_CAP, OUTPUT_CAP, RESULT_CAP), strict=True))
        self.killed_for: str | None = None


def serve(requests_fd: int, results_fd: int, root: str, workers: int, limits: Limits) -> None:
    """Until the requests end or the parent is gone: read checks, at most `workers` at a time, and answer them."""
    parent = os.getppid()
    running: dict[int, Child] = {}  # by pidfd
    poll = select.poll()
    counter = itertools.count()
    try:
        while True:
            poll.register(requests_fd, select.POLLIN if len(running) < workers else 0)  # 0 still reports a hang-up
            wait_s = min([1.0, *(c.started + limits.wall_s - time.monotonic() for c in running.values())])
            events = dict(poll.poll(max(0, wait_s) * 1000))
            for child in list(running.values()):
                _receive(child, poll, events)
                if time.monotonic() - child.started > limits.wall_s and child.pidfd not in events:
                    child.killed_for = "WallLimit"
                    _kill(child.pid)
                if child.pidfd in events:
                    poll.unregister(child.pidfd)
                    del running[child.pidfd]
                    _send(results_fd, _result(child, poll))
            if os.getppid() != parent or events.get(requests_fd, 0) & ~select.POLLIN:
                return
            if events.get(requests_fd, 0) & select.POLLIN:
                check = _read_frame(requests_fd)
                if check is None:
                    return
                child = _start(check, f"{root}/{next(counter)}", limits)
                running[child.pidfd] = child
                for fd in (child.pidfd, *child.received):
                    poll.register(fd, select.POLLIN)
    finally:
        for child in running.values():
            _kill(child.pid)
        _remove(root)


def _start(check: dict, folder: str, limits: Limits) -> Child:
    with contextlib.suppress(Exception):  # what is wrong with a trusted part shows up in the child as well
        sandbox_child.warm(check)
    os.mkdir(folder, mode=0o700)  # noqa: PTH102
    token = os.urandom(16)
    readers, writers = zip(*(os.pipe() for _ in range(3)), strict=True)
    started, server = time.monotonic(), os.getpid()
    pid = os.fork()
    if pid == 0:
        _become_child(check, folder, writers, token, limits, server)
    for fd in writers:
        os.close(fd)
    for fd in readers:
        os.set_blocking(fd, False)
    return Child(check["index"], pid, folder, token, started, readers)


def _become_child(check: dict, folder: str, writers: tuple, token: bytes, limits: Limits, server: int) -> NoReturn:
    try:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDONLY)
        # The pipe ends are above 3: 0-2 are open in the server, and so are its copies of requests and results.
        for target, source in enumerate((nothing, *writers)):
            os.dup2(source, target)
        os.closerange(RESULT_FD + 1, 1 << 16)
        _confine(folder, limits)
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # after the change of user, which clears it
        if os.getppid() != server:
            _exit(1)

        def report(name: str, text: str) -> None:
            record = f'{{"{name}": {text}}}'.encode()
            frame = token + struct.pack(">I", len(record)) + record
            while frame:
                frame = frame[_write(RESULT_FD, frame) :]

        sandbox_child.judge(check, report)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except BaseException as error:
        _write(2, f"{type(error).__name__} in the sandbox: {error}".encode(errors="replace"))
    finally:
        _exit(0)


def _confine(folder: str, limits: Limits) -> None:
    uid = CHILD_UIDS[os.getpid() % len(CHILD_UIDS)]
    if os.geteuid() == 0:
        os.chown(folder, uid, uid)
    os.chdir(folder)
    for what, soft, hard in (
        (resource.RLIMIT_CPU, limits.cpu_s, limits.cpu_s + 1),  # soft: a signal that names the reason; hard: no appeal
        (resource.RLIMIT_AS, limits.memory_bytes, limits.memory_bytes),
        (resource.RLIMIT_FSIZE, FILE_SIZE_LIMIT, FILE_SIZE_LIMIT),
        (resource.RLIMIT_NOFILE, OPEN_FILES_LIMIT, OPEN_FILES_LIMIT),
        (resource.RLIMIT_NPROC, 0, 0),  # no processes, no threads; root is exempt, hence the other user
        (resource.RLIMIT_CORE, 0, 0),
    ):
        resource.setrlimit(what, (soft, hard))
    if os.geteuid() == 0:
        _drop_privileges(uid)


def _drop_privileges(uid: int) -> None:
    """Another user, without root's power to kill or read processes, but able to import where only root may read."""
    _libc.prctl(PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    keep = 0 if STDLIB_IS_PUBLIC else 1 << CAP_DAC_READ_SEARCH
    header = struct.pack("Ii", SYS_CAPSET_VERSION, 0)
    if _libc.capset(header, struct.pack("6I", keep, keep, 0, 0, 0, 0)) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def _receive(child: Child, poll: select.poll, events: dict[int, int]) -> None:
    for fd, data in child.received.items():
        if fd in events and not _drain(fd, data, child.caps[fd], reads=4):
            poll.unregister(fd)


def _drain(fd: int, data: bytearray, cap: int, reads: int) -> bool:
    """Read what is there; past the cap it is thrown away, and the child can go on. False at the end of the stream."""
    for _ in range(reads):
        try:
            chunk = os.read(fd, 1 << 16)
        except BlockingIOError:
            return True
        if not chunk:
            return False
        data += chunk[: max(0, cap - len(data))]
    return True


def _result(child: Child, poll: select.poll) -> dict:
    _kill(child.pid)
    _, status, usage = os.wait4(child.pid, 0)
    for fd, data in child.received.items():
        _drain(fd, data, child.caps[fd], reads=64)
        with contextlib.suppress(KeyError):
            poll.unregister(fd)
        os.close(fd)
    os.close(child.pidfd)
    stdout, stderr, records = child.received.values()
    result = {
        "index": child.index,
        "records": _records(bytes(records), child.token),
        "stdout": stdout.decode(errors="replace"),
        "stderr": stderr.decode(errors="replace"),
        "files": _files(child.folder),
        "killed_for": child.killed_for,
        "exit_code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
        "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "seconds": time.monotonic() - child.started,
    }
    _remove(child.folder)
    return result


def _records(stream: bytes, token: bytes) -> list[str] | None:
    """The texts of a well-formed stream; None where anything else stands in it, so that a forger loses all."""
    texts = []
    while stream:
        head = stream[: len(token) + 4]
        if len(head) < len(token) + 4 or head[: len(token)] != token:
            return None
        (length,) = struct.unpack(">I", head[len(token) :])
        text, stream = stream[len(head) : len(head) + length], stream[len(head) + length :]
        if len(text) < length:
            return None
        texts.append(text.decode(errors="replace"))
    return texts


def _files(folder: str) -> dict[str, str]:
    found = {}
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in itertools.islice(entries, FILES_CAP):
            if not entry.is_file(follow_symlinks=False):  # a link could name any file that this process may read
                continue
            with contextlib.suppress(OSError):
                fd = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
                found[os.fsencode(entry.name).decode(errors="replace")] = os.read(fd, FILE_CAP).decode(errors="replace")
                os.close(fd)
    return found


def _remove(folder: str) -> None:
    try:
        os.rmdir(folder)  # noqa: PTH106
    except OSError:  # not empty; rm, because a tree may be deeper than Python recurses
        pid = os.posix_spawn("/bin/rm", ["rm", "-rf", "--", folder], {})
        os.waitpid(pid, 0)


def _kill(pid: int) -> None:
    for kill in (os.killpg, os.kill):  # the group for what the child started; the child, if it has no group yet
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)


def _read_frame(fd: int) -> dict | None:
    head = _read_exactly(fd, 4)
    body = _read_exactly(fd, struct.unpack(">I", head)[0]) if head else None
    return json.loads(body) if body else None


def _read_exactly(fd: int, size: int) -> bytes | None:
    data = bytearray()
    while len(data) < size:
        chunk = os.read(fd, size - len(data))
        if not chunk:
            return None
        data += chunk
    return bytes(data)


def _send(fd: int, result: dict) -> None:
    body = json.dumps(result).encode()
    frame = memoryview(struct.pack(">I", len(body)) + body)
    while frame:
        frame = frame[_write(fd, frame) :]


def main(root: str, workers: str, cpu_s: str, wall_s: str, memory_bytes: str) -> None:
    for name in PREIMPORTED:
        __import__(name)
    requests_fd, results_fd = os.dup(0), os.dup(1)
    os.dup2(2, 1)  # stray prints must not reach the protocol
    gc.freeze()  # children never walk, and so never copy, what was there before them
    serve(requests_fd, results_fd, root, int(workers), Limits(int(cpu_s), float(wall_s), int(memory_bytes)))


# What the benchmark's setup code imports: each check would load it again.
PREIMPORTED = (
    *("bisect", "collections", "datetime", "functools", "heapq", "itertools", "json", "math", "operator", "random"),
    *("re", "string", "typing"),
)
