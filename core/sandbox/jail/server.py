"""A small process that forks one child per check, so that the trainer, gigabytes large, never has to.

It lives inside the sandbox (core.sandbox.pool says how it gets there) and runs one child at a time, so that no two
pieces of judged code ever meet: when a child has ended, whatever it started is killed and what it wrote is removed. A
child is a copy of this memory, freed parts included, so nothing of one check may pass through it that another could
profit from: the program is read by the child itself, and what a child says lies in buffers that a fork does not copy,
and is passed on unread.

Requests: 4 bytes of length and JSON (the trusted parts of a check), then 4 bytes of length and the program. Answers: 4
bytes of length and JSON, then the texts whose sizes it names: stdout, stderr, records, files. An answer of length 0
says that the check goes on.
Between child and server, over one socket: 1 byte of kind, 4 bytes of length, content.
    R  the program has been read      r  a record      F  finished, nothing more to say      D  the nonce
The nonce is drawn when the child has finished and cannot change its records any more, and a check counts as done only
if it comes back: a child that left early has none to give, and there was none to be found while judged code ran.
Where a check has a second part (own tests after the asserts), r, F and D come once more, with a nonce of their own, and
whatever happens then leaves the first part as it was.
It imports little, since a fork costs in proportion to the memory it copies. Linux only (pidfd, prctl).
"""

import contextlib
import ctypes
import gc
import itertools
import json
import mmap
import os
import resource
import select
import signal
import stat
import struct
import sys
import time
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple, NoReturn

from core.sandbox.jail import judge, landlock, namespaces, seccomp

TALK_FD = 3
OUTPUT_CAP, SCRAP = 1 << 16, 1 << 16
FILE_CAP, FILES_CAP = 4096, 64
FILE_SIZE_LIMIT, OPEN_FILES_LIMIT, TASKS_LIMIT = 1 << 20, 64, 64
HAS_OWN_ROOT = ("bubblewrap", "namespaces")
CAP_DAC_READ_SEARCH = 2
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_KEEPCAPS, PR_SET_NO_NEW_PRIVS, CAPSET_VERSION = 1, 4, 8, 38, 0x20080522
NONCE_BYTES = 16
STILL_HERE = struct.pack(">I", 0)  # an answer of no length, while a child takes long
CPUCLOCK_OF_PROCESS = 2  # CPUCLOCK_SCHED, in the kernel's clock ids of other processes
# How a child that does not end is looked at: Patience.
LOOKS = 4  # in wall_s
PROBE_CPU_S, PROBE_WALL_S = 0.01, 0.2
SCARCE, IDLE_SHARE = 0.05, 0.1
SHORTEST_LOOK_S = 0.02
PULSE_S = 1.0
LONGEST_PATH = 2048  # of the 4,096 bytes that a path may have
STANDS_STILL_S, STILL_FACTOR = 5e-5, 3
AF_UNIX, SOCK_STREAM = 1, 1

_libc = ctypes.CDLL(None, use_errno=True)
_exit = os._exit
_read, _write = os.read, os.write


class Settings(NamedTuple):
    """How this server confines, and how long it waits; made by core.sandbox.pool, passed as JSON."""

    level: str
    root: str  # where children's directories are made
    visible: list[str]
    writable_bytes: int
    pid_fd: int  # level `namespaces` writes the first inner process's pid there
    last_pid_fd: int  # where the last process number of a namespace is set; -1: it cannot be
    uid: int  # of children, where we are root; no other server on this machine has it
    cpu_s: int
    wall_s: float  # that a child may spend idle
    far_s: float  # that a child may take in all, where the machine gives it next to nothing
    memory_bytes: int
    filtered: bool  # system calls, by core.sandbox.jail.seccomp


class Buffer:
    """Bytes that came through a pipe, in memory that children do not have: a fork leaves it out."""

    def __init__(self, size: int) -> None:
        memory = mmap.mmap(-1, size + SCRAP, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        memory.madvise(mmap.MADV_DONTFORK)
        self.view, self.beyond = memoryview(memory)[:size], memoryview(memory)[size:]
        self.cap = self.length = 0
        self.overflowed = False

    def empty(self, cap: int) -> None:
        self.cap, self.length, self.overflowed = min(cap, len(self.view)), 0, False

    def drain(self, fd: int, reads: int) -> bool:
        """Read what is there; past the cap it is thrown away, and the writer goes on. False at the stream's end."""
        for _ in range(reads):
            full = self.length == self.cap
            place = self.beyond if full else self.view[self.length : self.cap]
            try:
                count = os.readv(fd, [place])
            except BlockingIOError:
                return True
            except ConnectionResetError:  # the child has left without reading its nonce
                return False
            if count == 0:
                return False
            self.length += 0 if full else count
            self.overflowed |= full
        return True

    def written(self) -> memoryview:
        return self.view[: self.length]


class Buffers:
    """One set, because there is one child at a time; to be made by the process that forks, since forks lose them.

    Sizes are address space, not memory: only what is written takes any.
    """

    def __init__(self) -> None:
        self.stdout, self.stderr, self.records, self.files = map(Buffer, (1 << 16, 1 << 16, 1 << 24, 1 << 18))

    def empty(self, records_cap: int) -> None:
        self.stdout.empty(OUTPUT_CAP)
        self.stderr.empty(OUTPUT_CAP)
        self.records.empty(records_cap)


class Child:
    """One running check, as its server sees it."""

    def __init__(self, pid: int, folder: str, started: float, readers: tuple, buffers: Buffers, parts: int) -> None:
        self.pid, self.folder, self.started = pid, folder, started
        self.pidfd = os.pidfd_open(pid)
        self.buffers = buffers
        self.received = dict(zip(readers, (buffers.stdout, buffers.stderr, buffers.records), strict=True))
        self.talk_fd = readers[2]
        self.conversation = Conversation(parts)

    def cpu_s(self) -> float:
        """Used so far, by its own clock. Raises OSError where it is gone."""
        return time.clock_gettime(~self.pid << 3 | CPUCLOCK_OF_PROCESS)

    def end(self, reason: str) -> None:
        """Kill it; the reason is that of the part that it was at. What is done stays so."""
        part = self.conversation.part
        if not part.done:
            part.killed_for = part.killed_for or reason
        _kill(self.pid)


class Patience:
    """When a child that does not end is ended: by the CPU time that it took, and where it takes none, by the clock.

    The CPU time is its clock's, exact; what RLIMIT_CPU counts is sampled, and off by a third at load.
    A child is idle where it took far less of the CPU than it could have had, by what this process just got of it. Where
    that is next to nothing, a clock that stands still for long is the only sign, and a far cap comes in the end.
    """

    def __init__(self, child: Child, settings: Settings) -> None:
        self._child, self._settings = child, settings
        self._interval = settings.wall_s / LOOKS
        self._looked, self._cpu = child.started, 0.0
        self._idle_s = self._still_s = 0.0

    def seconds_left(self) -> float:
        """Until the next look: no sooner than its CPU time can be up."""
        wait = min(self._interval, max(self._settings.cpu_s - self._cpu, SHORTEST_LOOK_S))
        return max(0.0, self._looked + wait - time.monotonic())

    def verdict(self) -> str | None:
        """Look at the child; what it is to be ended for, or null. Starved: not by a fault of its own."""
        used = self._used()
        if self._cpu > self._settings.cpu_s:
            return "CpuLimit"
        seems_idle = used < IDLE_SHARE * (time.monotonic() - self._looked)
        available = _share_of_cpu() if seems_idle else 1.0
        now = time.monotonic()
        passed, self._looked = now - self._looked, now
        self._still_s = self._still_s + passed if used < STANDS_STILL_S else 0.0
        if available > SCARCE and used < IDLE_SHARE * available * passed:
            self._idle_s += passed
        if self._idle_s >= self._settings.wall_s or self._still_s >= self._settings.wall_s * STILL_FACTOR:
            return "WallLimit"
        return "Starved" if now - self._child.started > self._settings.far_s else None

    def _used(self) -> float:
        """CPU time since the last look."""
        before = self._cpu
        with contextlib.suppress(OSError):  # it has ended meanwhile
            self._cpu = self._child.cpu_s()
        return self._cpu - before


def _share_of_cpu() -> float:
    """What a process that wants a CPU gets of it now, in (0, 1]; asked for longer than a slice, which any load has."""
    began, spent = time.monotonic(), time.process_time()
    while time.process_time() - spent < PROBE_CPU_S and time.monotonic() - began < PROBE_WALL_S:
        pass
    return min(1.0, (time.process_time() - spent) / (time.monotonic() - began))


class Part:
    """What a child has said of one part of its check."""

    def __init__(self) -> None:
        self.finished = self.done = self.malformed = False
        self.records: list[tuple[int, int]] = []  # start and end of each record's text
        self.nonce = b""
        self.killed_for: str | None = None


class Conversation:
    """What a child may say, in the only order in which it is believed: R, then of each part r (any), F and D."""

    def __init__(self, parts: int) -> None:
        self.read = False
        self.parts = [Part() for _ in range(parts)]
        self._parsed = 0

    @property
    def part(self) -> Part:
        """The first that is not done, or the last."""
        return next((part for part in self.parts if not part.done), self.parts[-1])

    @property
    def malformed(self) -> bool:
        return any(part.malformed for part in self.parts)

    def take_in(self, stream: memoryview) -> bool:
        """Parse what has come; True where a nonce is due."""
        due = False
        while not self.malformed and len(stream) - self._parsed >= 5:
            kind, length = struct.unpack_from(">cI", stream, self._parsed)
            start, end = self._parsed + 5, self._parsed + 5 + length
            if end > len(stream):
                break
            self._parsed = end
            part = self.part
            if kind == b"R" and not self.read:
                self.read = True
            elif kind == b"r" and self.read and not part.finished:
                part.records.append((start, end))
            elif kind == b"F" and self.read and not part.finished and not length:
                part.finished = due = True
            elif kind == b"D" and part.nonce and not part.done and stream[start:end] == part.nonce:
                part.done = True
            else:
                part.malformed = True
        return due

    def ended(self, stream: memoryview, overflowed: bool) -> None:
        """Nothing more will come: half a frame is no honest child's, unless it was cut off."""
        self.part.malformed |= len(stream) > self._parsed and not overflowed


def serve(requests_fd: int, results_fd: int, settings: Settings) -> None:
    """Until the requests end or the asker is gone: read a check, judge it, answer."""
    buffers, nothing = Buffers(), os.open(os.devnull, os.O_RDONLY)
    folder = f"{settings.root}/check"  # always the same: a name that counts would tell what has gone before
    while True:
        check = _read_frame(requests_fd)
        if check is None:
            return
        child = _start(check, requests_fd, nothing, folder, settings, buffers)
        if not _attend(child, requests_fd, results_fd, settings):
            return
        result, texts = _result(child, settings)
        is_clean = _clear(settings.root, Pulse(results_fd).beat)
        if not child.conversation.read:  # its program may still be in the pipe: start anew rather than misread it
            return
        _send(results_fd, result, texts)
        if not is_clean:  # nor may anything be found by the next
            return


def _start(check: dict, requests_fd: int, nothing: int, folder: str, settings: Settings, buffers: Buffers) -> Child:
    with contextlib.suppress(Exception):  # what is wrong with a trusted part shows up in the child as well
        judge.warm(check)
    gc.freeze()  # children never walk, and so never copy, what was there before them
    os.mkdir(folder, mode=0o700)
    buffers.empty(check["records_cap"])
    readers, writers = zip(os.pipe(), os.pipe(), _socket_pair(), strict=True)
    started, server = time.monotonic(), os.getpid()
    if settings.last_pid_fd >= 0:
        _draw_pid(settings.last_pid_fd)
    pid = os.fork()
    if pid == 0:
        _become_child(check, requests_fd, folder, (nothing, *writers), settings, server)
    for fd in writers:
        os.close(fd)
    for fd in readers:
        os.set_blocking(fd, False)
    return Child(pid, folder, started, readers, buffers, parts=2 if check["tests_after"] else 1)


def _attend(child: Child, requests_fd: int, results_fd: int, settings: Settings) -> bool:
    """Take in what the child sends until it has ended. False: the asker is gone, and so is the child."""
    poll = select.poll()
    poll.register(requests_fd, 0)  # 0 still reports a hang-up
    for fd in (child.pidfd, *child.received):
        poll.register(fd, select.POLLIN)
    patience = Patience(child, settings)
    while True:
        events = dict(poll.poll(patience.seconds_left() * 1000 + 1))
        for fd, buffer in child.received.items():
            if fd in events and not buffer.drain(fd, reads=4):
                poll.unregister(fd)
        if child.talk_fd in events:
            _converse(child, settings)
            if child.conversation.malformed:  # it is believed nothing any more, and may wait for a nonce for ever
                _kill(child.pid)
            elif child.buffers.records.overflowed:
                child.end("RecordsLimit")
        if child.pidfd in events:
            return True
        if requests_fd in events:
            _kill(child.pid)
            return False
        if patience.seconds_left() == 0:
            _write(results_fd, STILL_HERE)
            if verdict := patience.verdict():
                child.end(verdict)


def _converse(child: Child, settings: Settings) -> None:
    """Take in what it has said, and draw the nonce of a part that it has finished in time."""
    while child.conversation.take_in(child.buffers.records.written()):
        with contextlib.suppress(OSError):
            if child.cpu_s() > settings.cpu_s:
                child.end("CpuLimit")
        child.conversation.part.nonce = os.urandom(NONCE_BYTES)
        with contextlib.suppress(OSError):
            _write(child.talk_fd, child.conversation.part.nonce)


def _become_child(check: dict, requests_fd: int, folder: str, ends: tuple, settings: Settings, server: int) -> NoReturn:
    try:
        os.setsid()
        program = _read_bytes(requests_fd)
        for target, source in enumerate(ends):  # in this order: none is below 3, which is the last to be taken
            os.dup2(source, target)
        os.closerange(TALK_FD + 1, 1 << 16)
        _confine(folder, settings)
        if os.getppid() != server:
            _exit(1)
        speaker = Speaker()
        speaker.add(b"R")
        speaker.flush()  # at once: whatever ends this process from now on is the program's doing
        check["program"] = (program or b"").decode("utf-8", "surrogatepass")
        if check["reveals_answers"]:
            _parsed.cache_clear()  # it holds the sources that `judge` wipes from the check
        second = judge.judge(check, speaker)
        speaker.seal()
        if second is not None:
            judge.judge_on(second, speaker)
            speaker.seal()
        for stream in (sys.stdout, sys.stderr):  # last: they are the judged code's, and may be anything by now
            stream.flush()
    except BaseException as error:
        _write(2, f"{type(error).__name__} in the sandbox: {error}".encode(errors="replace"))
    finally:
        _exit(0)


def _draw_pid(last_pid_fd: int) -> None:
    """The next process gets a number that tells nothing: counted up, it would tell what earlier checks have started."""
    number = 300 + int.from_bytes(os.urandom(2), "big") % 16_384
    os.pwrite(last_pid_fd, b"%d" % number, 0)


def _socket_pair() -> tuple[int, int]:
    """What socket.socketpair makes, without that module's weight."""
    pair = (ctypes.c_int * 2)()
    if _libc.socketpair(AF_UNIX, SOCK_STREAM, 0, pair):
        raise OSError(ctypes.get_errno(), "socketpair")
    return pair[0], pair[1]


class Speaker:
    """The child's end of the conversation; what is added goes out at the next flush, as every word wakes the server."""

    def __init__(self) -> None:
        self.pending = b""

    def report(self, name: str, text: str) -> None:
        self.add(b"r", f'{{"{name}": {text}}}'.encode())

    def add(self, kind: bytes, content: bytes = b"") -> None:
        self.pending += struct.pack(">cI", kind, content.__len__()) + content  # `len` is the judged code's to replace

    def flush(self) -> None:
        while self.pending:
            self.pending = self.pending[_write(TALK_FD, self.pending) :]

    def seal(self) -> None:
        """Nothing more is said of this part."""
        self.add(b"F")
        self.flush()
        self.add(b"D", _read(TALK_FD, NONCE_BYTES))
        self.flush()


def _confine(folder: str, settings: Settings) -> None:
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
        _set_capabilities(keep)


def _capabilities() -> int:
    """Those that this process may use."""
    data = ctypes.create_string_buffer(24)
    if _libc.capget(struct.pack("Ii", CAPSET_VERSION, 0), data) != 0:
        raise OSError(ctypes.get_errno(), "capget")
    _, low, _, _, high, _ = struct.unpack("6I", data.raw)
    return high << 32 | low


def _set_capabilities(mask: int) -> None:
    low, high = mask & 0xFFFFFFFF, mask >> 32
    header = struct.pack("Ii", CAPSET_VERSION, 0)
    if _libc.capset(header, struct.pack("6I", low, low, 0, high, high, 0)) != 0:
        raise OSError(ctypes.get_errno(), "capset")


# Asked before privileges are gone, which may include the power to ask.
_parts = os.path.dirname(os.__file__).split("/")
STDLIB_IS_PUBLIC = all(os.stat("/".join(_parts[:n]) or "/").st_mode & stat.S_IXOTH for n in range(1, len(_parts) + 1))


def _result(child: Child, settings: Settings) -> tuple[dict, list[memoryview]]:
    """How the check ended, with the sizes of its texts, and the texts."""
    _, status, usage = os.wait4(child.pid, 0)
    _sweep(child.pid)
    for fd, buffer in child.received.items():
        buffer.drain(fd, reads=64)
        os.close(fd)
    _converse(child, settings)
    stdout, stderr, said = child.buffers.stdout, child.buffers.stderr, child.buffers.records
    child.conversation.ended(said.written(), said.overflowed)
    os.close(child.pidfd)
    cpu_s = usage.ru_utime + usage.ru_stime
    parts = child.conversation.parts
    if cpu_s > settings.cpu_s and not child.conversation.part.done:  # also where it ended between two looks
        child.conversation.part.killed_for = child.conversation.part.killed_for or "CpuLimit"
    spoken = [[] if part.malformed else [said.view[a:b] for a, b in part.records] for part in parts]
    files = _files(child.folder, child.buffers.files)
    result = {
        "stdout": stdout.length,
        "stderr": stderr.length,
        "parts": [
            {
                "records": None if part.malformed else [len(record) for record in records],
                "done": part.done,
                "killed_for": part.killed_for,
            }
            for part, records in zip(parts, spoken, strict=True)
        ],
        "files": {name: len(content) for name, content in files.items()},
        "exit_code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
        "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
        "cpu_s": cpu_s,
        "seconds": time.monotonic() - child.started,
    }
    return result, [stdout.written(), stderr.written(), *(text for texts in spoken for text in texts), *files.values()]


def _sweep(pid: int) -> None:
    """Nothing that a check started outlives it, whatever group or session it has put itself into."""
    if os.getpid() == 1:  # the first of a PID namespace, and -1 means all others in it
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)
    else:
        _kill(pid)


def _files(folder: str, buffer: Buffer) -> dict[str, memoryview]:
    found: dict[str, memoryview] = {}
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for number, entry in enumerate(itertools.islice(entries, FILES_CAP)):
            if not entry.is_file(follow_symlinks=False):  # a link could name any file that this process may read
                continue
            with contextlib.suppress(OSError):
                fd = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
                place = buffer.view[number * FILE_CAP : (number + 1) * FILE_CAP]
                name = os.fsencode(entry.name).decode(errors="replace")
                found[name] = place[: os.readv(fd, [place])]
                os.close(fd)
    return found


class Pulse:
    """Tells the asker once a second that a check still goes on, where asked to often enough."""

    def __init__(self, results_fd: int) -> None:
        self._fd, self._next = results_fd, time.monotonic() + PULSE_S

    def beat(self) -> None:
        if time.monotonic() >= self._next:
            _write(self._fd, STILL_HERE)
            self._next = time.monotonic() + PULSE_S


def _clear(root: str, beat: Callable[[], None] = lambda: None) -> bool:
    """Remove the child's directory and, where it has our user, whatever it put beside it. Whether nothing is left."""
    while names := os.listdir(root):
        if sum(_removed(root, f"{root}/{name}", beat) for name in names) == 0:
            return False
    return True


def _removed(root: str, path: str, beat: Callable[[], None]) -> bool:
    """Whether it is gone, with all that is in it. What lies too deep for a path moves up to `root` first."""
    pending, opened = [path], set()
    while pending:
        beat()
        place = pending[-1]
        if _gone(place):
            pending.pop()
        elif place in opened:
            return False
        else:
            opened.add(place)
            pending += _opened(root, place)
    return True


def _gone(path: str) -> bool:
    for remove in (os.rmdir, os.unlink):
        with contextlib.suppress(OSError):
            remove(path)
            return True
    return False


def _opened(root: str, folder: str) -> list[str]:
    """Folders in this one; other files are removed, and what a longer path could not name is moved to `root`."""
    found = []
    with contextlib.suppress(OSError):
        os.chmod(folder, 0o700)
        with os.scandir(folder) as entries:
            inside = [(entry.path, entry.is_dir(follow_symlinks=False)) for entry in entries]
        for path, is_folder in inside:
            if not is_folder:
                os.unlink(path)
            elif len(path) < LONGEST_PATH:
                found.append(path)
            else:
                os.chmod(path, 0o700)
                os.rename(path, f"{root}/{os.urandom(8).hex()}")
    return found


def _kill(pid: int) -> None:
    for kill in (os.killpg, os.kill):  # the group for what the child started; the child, if it has no group yet
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)


@lru_cache(maxsize=16)  # small: every page held is a page that every fork must copy
def _parsed(body: bytes) -> dict:
    """The trusted parts of a check; completions of one problem share them, and so what is compiled of them."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in json.loads(body).items()}


def _read_frame(fd: int) -> dict | None:
    body = _read_bytes(fd)
    return _parsed(body) if body else None


def _read_bytes(fd: int) -> bytes | None:
    head = _read_exactly(fd, 4)
    return _read_exactly(fd, struct.unpack(">I", head)[0]) if head else None


def _read_exactly(fd: int, size: int) -> bytes | None:
    data = bytearray()
    while len(data) < size:
        chunk = os.read(fd, size - len(data))
        if not chunk:
            return None
        data += chunk
    return bytes(data)


def _send(fd: int, result: dict, texts: list[memoryview]) -> None:
    body = json.dumps(result).encode()
    for text in (memoryview(struct.pack(">I", len(body)) + body), *texts):
        while text:
            text = text[_write(fd, text) :]


def _require_copies(visible: list[str]) -> None:
    """Every library of this process is the copy's: one that the other kind of server also maps would be a channel."""
    if not visible or not os.path.exists("/proc/self/maps"):  # without /proc there is nothing here but the copy
        return
    with open("/proc/self/maps") as file:
        mapped = {line.split(maxsplit=5)[5].rstrip() for line in file if "/" in line}
    foreign = sorted(path for path in mapped if path[0] == "/" and not path.startswith(f"{visible[0]}/"))
    if foreign:
        raise SystemExit(f"{foreign[0]} was loaded from outside of this sandbox's copy of Python, {visible[0]}")


def _in_own_root(settings: Settings) -> Settings:
    """Mount the box, try whether children's numbers can be drawn, and give up what both have needed."""
    if os.getpid() != 1:
        raise SystemExit(
            f"level {settings.level}, but this is process {os.getpid()} and not the first of its namespace"
        )
    namespaces.finish_root(settings.root, settings.writable_bytes, namespaces.INODES_LIMIT)
    _set_capabilities(sum(1 << number for number in namespaces.KEPT.values()) & _capabilities())
    try:
        _draw_pid(settings.last_pid_fd)
    except OSError:
        return settings._replace(last_pid_fd=-1)
    return settings


def main(settings_json: str) -> None:
    settings = Settings(**json.loads(settings_json), filtered=seccomp.is_available())
    for name in judge.KNOWN_MODULES:
        __import__(name)
    judge.give_site_builtins()
    requests_fd, results_fd = os.dup(0), os.dup(1)
    os.dup2(2, 1)  # stray prints must not reach the protocol
    _require_copies(settings.visible)
    if settings.level == "namespaces":
        namespaces.enter(settings.visible, settings.root, settings.pid_fd)
        os.close(settings.pid_fd)
    if settings.level in HAS_OWN_ROOT:
        settings = _in_own_root(settings)
    _libc.prctl(PR_SET_DUMPABLE, 0)  # nobody of the same user traces it or reads its memory
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the trainer's to handle
    for what, limit in (  # children inherit them; these the server can live with as well
        (resource.RLIMIT_AS, settings.memory_bytes),
        (resource.RLIMIT_FSIZE, FILE_SIZE_LIMIT),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (limit, limit))
    if settings.filtered:
        seccomp.install_for_all(shared_user=os.geteuid() != 0)
    try:
        serve(requests_fd, results_fd, settings)
    finally:  # also where the asker was killed and cannot tidy up
        _clear(settings.root)
        with contextlib.suppress(OSError):
            os.rmdir(settings.root)
