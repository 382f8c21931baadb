"""A small process that forks one child per check, so that the trainer, gigabytes large, never has to.

It lives inside the sandbox (core.sandbox.pool says how it gets there) and runs one child at a time, so that no two
pieces of judged code ever meet: when a child has ended, whatever it started is killed and what it wrote is removed. A
child is a copy of this memory, freed parts included, so nothing of one check may pass through it that another could
profit from: the program is read by the child itself, and what a child says lies in buffers that a fork does not copy,
and is passed on unread.

Requests: 4 bytes of length and JSON (the trusted parts of a check), then 4 bytes of length and the program. Answers: 4
bytes of length and JSON, then the texts whose sizes it names: stdout, stderr, records, files. An answer of length 0
says that the check goes on.
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
import struct
import sys
import time
from functools import lru_cache
from typing import NoReturn

from core.sandbox.jail import judge, namespaces, seccomp
from core.sandbox.jail.confinement import FILE_SIZE_LIMIT, capabilities, confine, set_capabilities
from core.sandbox.jail.conversation import NONCE_BYTES, TALK_FD, Conversation, Speaker
from core.sandbox.jail.leftovers import clear
from core.sandbox.jail.patience import Patience
from core.sandbox.jail.settings import HAS_OWN_ROOT, Settings

OUTPUT_CAP, SCRAP = 1 << 16, 1 << 16
FILE_CAP, FILES_CAP = 4096, 64
STILL_HERE = struct.pack(">I", 0)  # an answer of no length, while a child takes long
PR_SET_DUMPABLE = 4
CPUCLOCK_OF_PROCESS = 2  # CPUCLOCK_SCHED, in the kernel's clock ids of other processes
PULSE_S = 1.0
AF_UNIX, SOCK_STREAM = 1, 1

_libc = ctypes.CDLL(None, use_errno=True)
_exit = os._exit
_write = os.write


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
        is_clean = clear(settings.root, Pulse(results_fd).beat)
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
    patience = Patience(child.started, child.cpu_s, settings)
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
        confine(folder, settings)
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
    set_capabilities(sum(1 << number for number in namespaces.KEPT.values()) & capabilities())
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
        clear(settings.root)
        with contextlib.suppress(OSError):
            os.rmdir(settings.root)
