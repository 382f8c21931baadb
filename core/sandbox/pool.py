"""Run untrusted code in isolated children and get a result for every check, whatever the code does.

A pool of warm server processes (jail.server), each shut in once (core.sandbox.levels) and judging one piece of
code at a time. There are two kinds, so that the process that is asked for answers never shares memory, files or kernel
objects with an expected value or a canonical solution: checks with reveals_answers go to the one, all others to the
other. CPU time decides what is too slow; the wall limit only ends what sleeps: verdicts hold on a loaded machine. What
ended for reasons that may not be its own (its server died, it was killed, the machine gave it nothing) is tried again,
alone on a fresh server; what cannot be judged then either is `unjudged`, and no verdict.
"""

import contextlib
import json
import logging
import os
import select
import shutil
import signal
import struct
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from core.runs import host_memory
from core.sandbox.image import ASKED, CORE, TOLD, default_place, environment, image_of, require_hidden
from core.sandbox.levels import CHOICE_VARIABLE, INSIDE, KILLED_FIRST, WRITABLE_BYTES, Level, candidates
from core.sandbox.results import KILLED, SERVER_DIED, ExecutionResult, execution_result
from core.sandbox.users import ChildUser

CPU_LIMIT_S = 4  # the benchmark's is 3 s by the clock; one and the same solution takes 2.2 to 2.7 s of CPU, by load
WALL_LIMIT_S = 10.0  # without use of a CPU that was to be had
FAR_LIMIT_S = 600.0  # for what the machine gives next to no CPU
MEMORY_LIMIT_BYTES = 1 << 30
SERVER_PATIENCE_S = 60.0  # beyond the time in which it says that a check goes on: then the server itself is stuck
TRIES_ALONE = 2
IN_FLIGHT = 2  # per server: the next check is in the pipe while one runs

SERVER_ENVIRONMENT = {
    "PYTHONHASHSEED": "0",  # sets must iterate alike always
    "PYTHONUTF8": "1",
    "PYTHONIOENCODING": "utf-8:backslashreplace",
    "LANG": "C",  # no locale of the machine's is loaded; Python's texts are UTF-8 all the same
    "PYTHONCOERCECLOCALE": "0",
    "PATH": "/usr/bin:/bin",
}

log = logging.getLogger(__name__)

CheckKind = Literal["calls", "equality", "test_function", "script"]


@dataclass(frozen=True)
class Check:
    """One child's work: run setup, then program, then

    calls          evaluate each step, report its value; then name the true `attributes` of a Solution(). With a
                   test_name, say first what the program's function of that name is; shown_tests: the prompt's.
                   tests_after: a second part, in which that function is run, on its own Solution and on `solution`,
                   where the program keeps no state and the process can therefore be the same
    equality       step == expected, pair by pair, until one is false
    test_function  call the program's function test_name, with `solution` in place of its class Solution; the empty
                   string stands for its own
    script         execute the steps, then raise; who exits with 0 left early
    """

    kind: CheckKind
    setup: str
    program: str
    steps: tuple[str, ...] = ()
    expected: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    test_name: str = ""
    solution: str = ""
    shown_tests: tuple[str, ...] = ()  # jail.test_function.without_blanks
    tests_after: bool = False
    reveals_answers: bool = False
    records_cap: int = 1 << 16  # bytes that the child may report; beyond, it is ended, and what came before stands

    def request(self) -> bytes:
        """What a server reads: the trusted parts as JSON, then the program, which only the child reads."""
        trusted = {name: value for name, value in vars(self).items() if name != "program"}
        parts = (json.dumps(trusted).encode(), self.program.encode("utf-8", "surrogatepass"))
        return b"".join(struct.pack(">I", len(part)) + part for part in parts)


class GraderFault(RuntimeError):
    """The grader cannot give a verdict, for reasons of this machine and not of the code. Worker exit code 83."""


class Sandbox:
    """Starts on first use, restarts what died, closes with the context. Not for use by several threads at once.

    Raises GraderFault on first use where no level of isolation works, and ValueError for an unknown one.
    """

    def __init__(
        self,
        workers: int = 1,  # children at a time
        cpu_limit_s: int = CPU_LIMIT_S,
        wall_limit_s: float = WALL_LIMIT_S,
        far_limit_s: float = FAR_LIMIT_S,
        tick: Callable[[], None] = lambda: None,  # called after every result, and while one takes long
        level: str = "",  # of isolation; default: GRPOQ_SANDBOX, else the best that works
    ) -> None:
        if workers < 1:
            raise ValueError(f"workers = {workers}, expected at least 1")
        self._workers = workers
        self._limits = _limits(cpu_limit_s, wall_limit_s, far_limit_s)
        self._tick = tick
        self._level = level or os.environ.get(CHOICE_VARIABLE, "")
        self._servers: dict[tuple[bool, int], _Server] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, checks: Sequence[Check]) -> list[ExecutionResult]:
        """One result per check, in order. Equal checks run once. Never raises for what judged code does."""
        results: dict[Check, ExecutionResult] = {}
        for reveals in (False, True):
            distinct = list(dict.fromkeys(check for check in checks if check.reveals_answers is reveals))
            results |= self._run_on(reveals, distinct)
        return [results[check] for check in checks]

    def close(self) -> None:
        for server in self._servers.values():
            server.close()
        self._servers.clear()

    def _run_on(self, reveals: bool, checks: list[Check]) -> dict[Check, ExecutionResult]:
        results: dict[Check, ExecutionResult] = {}
        doubtful: dict[Check, str | None] = {}  # by what they ended with
        waiting = deque(checks)
        try:
            while len(results) + len(doubtful) < len(checks):
                lanes = [self._server(reveals, lane) for lane in range(min(self._workers, len(checks)))]
                for server in lanes:
                    server.take_from(waiting)
                for server in _ready(lanes):
                    try:
                        answered = server.exchange()
                    except _ServerDied:
                        for suspect in server.abandoned()[:1]:  # it was running
                            doubtful[suspect] = SERVER_DIED
                        waiting.extendleft(reversed(server.abandoned()[1:]))
                        self._forget(server)
                        continue
                    for check, result in answered:
                        if _is_doubtful(result):
                            doubtful[check] = result.error
                        else:
                            results[check] = result
                    self._tick()
            return results | {check: self._alone(reveals, check, ended) for check, ended in doubtful.items()}
        except BaseException:  # an interrupt leaves answers in the pipes that would be taken for the next batch's
            self.close()
            raise

    def _alone(self, reveals: bool, check: Check, earlier: str | None) -> ExecutionResult:
        """A check judged again with nothing beside it. A kill that comes again, not for memory, is its own doing."""
        for _ in range(TRIES_ALONE):
            if (reveals, 0) in self._servers:
                self._forget(self._servers[reveals, 0])
            kills_before = _memory_kills()
            result = self._once(self._server(reveals, 0), check)
            if not _is_doubtful(result):
                return result
            if result.error in KILLED and earlier in KILLED and _memory_kills() == kills_before:
                return result
            earlier = result.error
        return ExecutionResult(error=earlier, unjudged=True)

    def _once(self, server: "_Server", check: Check) -> ExecutionResult:
        waiting = deque([check])
        server.take_from(waiting)
        while True:
            _ready([server])
            try:
                answered = server.exchange()
            except _ServerDied:
                self._forget(server)
                return ExecutionResult(error=SERVER_DIED, unjudged=True)
            self._tick()
            for _, result in answered:
                return result

    def _server(self, reveals: bool, lane: int) -> "_Server":
        key = (reveals, lane)
        if key not in self._servers:
            self._servers[key] = _Server(active_level(self._level), self._limits, TOLD if reveals else ASKED)
        return self._servers[key]

    def _forget(self, server: "_Server") -> None:
        server.close()
        self._servers = {key: other for key, other in self._servers.items() if other is not server}


def _limits(cpu_s: int = CPU_LIMIT_S, wall_s: float = WALL_LIMIT_S, far_s: float = FAR_LIMIT_S) -> dict[str, Any]:
    return {"cpu_s": cpu_s, "wall_s": wall_s, "far_s": far_s, "memory_bytes": MEMORY_LIMIT_BYTES}


def _is_doubtful(result: ExecutionResult) -> bool:
    """Whether its end may have been this machine's doing: no verdict, or a kill that no limit of ours explains."""
    return result.unjudged or result.error in KILLED


def _memory_kills() -> int:
    """Processes that the kernel has killed for memory in this machine's part of the tree."""
    return int((host_memory.oom_kills() or {}).get("count", 0))


_active: dict[str, Level] = {}  # by choice; fixed once found, so that no run is graded at two levels


def active_level(chosen: str = "") -> Level:
    """The chosen level, else the best that works here; tried once per process. Raises GraderFault with the reasons."""
    if chosen in _active:
        return _active[chosen]
    reasons: list[str] = []
    for level in candidates(chosen):
        reason = why_not(level)
        if reason is None:
            _active[chosen] = level
            for sentence in reasons:
                log.warning("sandbox: %s", sentence)
            log.info("sandbox: level %s", level.name)
            return level
        reasons.append(f"level {level.name} does not work here: {reason}")
    raise GraderFault(
        f"the sandbox does not work here: {'; '.join(reasons)}. Install bubblewrap, or set {CHOICE_VARIABLE}=limits "
        "where judged code may read, write and send whatever your user may"
    )


def why_not(level: Level) -> str | None:
    """Start a server at this level and let it judge `1 + 1`. None: it works; else the reason in words.

    A sandbox that fails everything would look like a model that fails everything.
    """
    probe = Check(kind="calls", setup="", program="", steps=("1 + 1",))
    try:
        server = _Server(level, _limits(), ASKED, listen=True)
    except OSError as error:
        return str(error)
    try:
        server.take_from(deque([probe]))
        while True:
            _ready([server])
            for _, result in server.exchange():
                return None if result.answers == (2,) and result.done else f"1 + 1 came back as {result}"
    except _ServerDied:
        return server.last_words()
    finally:
        server.close()


class _ServerDied(Exception):
    pass


class _Server:
    """One server process and the checks that it has been sent. Neither reading nor writing ever waits here."""

    def __init__(self, level: Level, limits: dict[str, Any], kind: str, listen: bool = False) -> None:
        self._wall_limit_s = limits["wall_s"]
        visible = [str(image_of(kind, default_place()))] if level.hides_files else []
        require_hidden([Path(os.environ.get("GRPOQ_HOME") or "."), CORE.parent], visible)
        self._user = ChildUser() if os.geteuid() == 0 else None
        self._folder = INSIDE
        if not level.own_root:
            self._folder = tempfile.mkdtemp(prefix="grpoq-sandbox-")
            Path(self._folder).chmod(0o711)  # children of another user pass through
        pid_reader, pid_writer = os.pipe()
        last_pid = _last_pid() if level.own_root else -1
        settings = {
            "level": level.name,
            "root": self._folder,
            "visible": visible,
            "writable_bytes": WRITABLE_BYTES,
            "pid_fd": pid_writer if level.name == "namespaces" else -1,
            "last_pid_fd": last_pid,
            "uid": self._user.uid if self._user else -1,
            **limits,
        }
        try:
            self._process = subprocess.Popen(
                [*KILLED_FIRST, *level.command(settings, pid_writer)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE if listen else None,
                bufsize=0,
                env=SERVER_ENVIRONMENT | (environment(Path(visible[0])) if visible else {}),
                start_new_session=True,  # Ctrl-C is the trainer's to handle
                cwd="/",  # where the trainer was started is no business of judged code
                pass_fds=[fd for fd in (pid_writer, last_pid) if level.own_root and fd >= 0],
            )
        except OSError:
            os.close(pid_reader)
            if not level.own_root:
                Path(self._folder).rmdir()
            raise
        finally:
            os.close(pid_writer)
            if last_pid >= 0:
                os.close(last_pid)
        self.pid = _inner_pid(pid_reader) or self._process.pid
        assert self._process.stdin is not None and self._process.stdout is not None
        self._requests, self._results = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._requests, False)
        os.set_blocking(self._results, False)
        self._sent: deque[Check] = deque()
        self._outgoing, self._incoming = bytearray(), bytearray()
        self._patience_ends = 0.0

    def take_from(self, waiting: deque[Check]) -> None:
        while waiting and len(self._sent) < IN_FLIGHT:
            check = waiting.popleft()
            if not self._sent:
                self._restart_patience()
            self._sent.append(check)
            self._outgoing += check.request()

    def interests(self) -> dict[int, int]:
        """What to poll for, and nothing where nothing has been asked."""
        found = {self._results: select.POLLIN} if self._sent else {}
        return found | ({self._requests: select.POLLOUT} if self._outgoing else {})

    def seconds_left(self) -> float:
        return max(0.0, self._patience_ends - time.monotonic())

    def exchange(self) -> list[tuple[Check, ExecutionResult]]:
        """Write and read what can be, at once. Raises _ServerDied where the server is gone or stuck."""
        with contextlib.suppress(BlockingIOError):
            while self._outgoing:
                try:
                    del self._outgoing[: os.write(self._requests, self._outgoing[: 1 << 16])]
                except BrokenPipeError:
                    raise _ServerDied from None
        ended = False
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(self._results, 1 << 20):
                self._incoming += chunk
            ended = True  # of the stream, not a pause
        answered = []
        while (raw := self._next_answer()) is not None:
            self._restart_patience()
            if raw:
                answered.append((self._sent.popleft(), execution_result(raw)))
        if not answered and (ended or (self._sent and self.seconds_left() == 0)):
            raise _ServerDied
        return answered

    def abandoned(self) -> list[Check]:
        """The checks without an answer, the one that was running first."""
        return list(self._sent)

    def last_words(self) -> str:
        """What a server that was started to be listened to has said on stderr."""
        self._process.kill()
        assert self._process.stderr is not None
        said = self._process.stderr.read().decode(errors="replace").strip().splitlines()
        return said[-1] if said else "its server ended at once"

    def _restart_patience(self) -> None:
        self._patience_ends = time.monotonic() + self._wall_limit_s + SERVER_PATIENCE_S

    def _next_answer(self) -> dict[str, Any] | None:
        """One answer, where it has come whole: JSON, then the texts whose sizes it names; {}: it goes on."""
        if len(self._incoming) < 4:
            return None
        end = 4 + struct.unpack_from(">I", self._incoming)[0]
        if end == 4:
            del self._incoming[:4]
            return {}
        if len(self._incoming) < end:
            return None
        raw = json.loads(bytes(self._incoming[4:end]))
        spoken = [size for part in raw["parts"] for size in part["records"] or ()]
        sizes = [raw["stdout"], raw["stderr"], *spoken, *raw["files"].values()]
        if len(self._incoming) < end + sum(sizes):
            return None
        texts = []
        for size in sizes:
            texts.append(self._incoming[end : end + size].decode(errors="replace"))
            end += size
        del self._incoming[:end]
        raw["stdout"], raw["stderr"] = texts[:2]
        said = iter(texts[2 : 2 + len(spoken)])
        for part in raw["parts"]:
            part["records"] = None if part["records"] is None else [next(said) for _ in part["records"]]
        raw["files"] = dict(zip(raw["files"], texts[2 + len(spoken) :], strict=True))
        return raw

    def close(self) -> None:
        """End the server and its children; returns once they are gone."""
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        try:
            self._process.wait(timeout=2.0)
        except subprocess.TimeoutExpired:
            for pid in (
                self.pid,
                self._process.pid,
            ):  # children die with the first of their namespace, or by their wish
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.wait()
        if self._folder != INSIDE:  # what a server that was killed has left
            shutil.rmtree(self._folder, ignore_errors=True)
        if self._user:
            self._user.close()


def _last_pid() -> int:
    """The kernel's last process number, to be set by a server in its own namespace; -1 where it cannot be."""
    try:
        return os.open("/proc/sys/kernel/ns_last_pid", os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return -1


def _inner_pid(reader: int) -> int:
    """The pid that the first process of a new PID namespace has outside; 0 where it never came to be."""
    said = b""
    while chunk := os.read(reader, 4096):
        said += chunk
    os.close(reader)
    return json.loads(said)["child-pid"] if said else 0


def _ready(servers: list[_Server]) -> list[_Server]:
    """Wait until some server can be written to or read from, or has run out of time; these servers."""
    poll = select.poll()
    places: dict[int, _Server] = {}
    for server in servers:
        for fd, events in server.interests().items():
            places[fd] = server
            poll.register(fd, events)
    patience = min((server.seconds_left() for server in places.values()), default=0.0)
    found = {id(places[fd]): places[fd] for fd, _ in poll.poll(patience * 1000 + 1)}
    return list(found.values()) or [server for server in places.values() if server.seconds_left() == 0]
