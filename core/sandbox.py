"""Run untrusted code in isolated children and get a result for every check, whatever the code does.

Two server processes (core.sandbox_server), so that the process that is asked for answers never shares memory with an
expected value or a canonical solution: checks with reveals_answers go to the one, all others to the other.
CPU time decides what is too slow; the wall limit only ends what sleeps, so that verdicts hold on a loaded machine.
Not shown: that the judged code could read no file. It sees the file system as any process does.
"""

import contextlib
import json
import os
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

CPU_LIMIT_S = 3
WALL_LIMIT_S = 10.0
MEMORY_LIMIT_BYTES = 1 << 30
SERVER_PATIENCE_S = 30.0  # beyond a check's wall limit: then the server itself is stuck
DEATHS_PER_CHECK = 2

REPO = Path(__file__).resolve().parents[1]
# -S -s -P and this environment stand in for -I, which would also ignore PYTHONHASHSEED: sets must iterate alike always.
SERVER_FLAGS = ("-S", "-s", "-P", "-B")
SERVER_ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "PYTHONUTF8": "1",
    "PYTHONIOENCODING": "utf-8:backslashreplace",
    "LANG": "C.UTF-8",
    "PATH": "/usr/bin:/bin",
}
SERVER_PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv[1]); from core import sandbox_server; "
    "del sys.path[0]; sandbox_server.main(*sys.argv[2:])"
)

_SIGNAL_NAMES = {int(number): number.name for number in signal.Signals}

CheckKind = Literal["calls", "equality", "test_function", "script"]


@dataclass(frozen=True)
class Check:
    """One child's work: run setup, then program, then

    calls          evaluate each step, report its value; then name the true `attributes` of a Solution()
    equality       step == expected, pair by pair, until one is false
    test_function  call the program's function test_name, with each of `solutions` in place of its class Solution;
                   the empty string stands for its own
    script         execute the steps, then raise; who exits with 0 left early
    """

    kind: CheckKind
    setup: str
    program: str
    steps: tuple[str, ...] = ()
    expected: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    test_name: str = ""
    solutions: tuple[str, ...] = ()
    reveals_answers: bool = False


@dataclass(frozen=True)
class ExecutionResult:
    """What a child reported and how it ended. `answers` is tagged JSON (core.answers); no error: it came to its end."""

    imported: bool = False  # compiled, and its module code ran without leaving the process
    done: bool = False  # all steps ran to their end
    answers: tuple[Any, ...] | None = None
    attributes: tuple[str, ...] = ()
    all_exact: bool | None = None  # equality only; null where some pair was unequal
    test_function: Literal["absent", "guarded", "plain"] | None = None
    tests_passed: tuple[bool | None, ...] = ()  # per Solution; null: not called, or the process was gone before
    error: str | None = None
    exit_code: int | None = None
    stdout: str = ""
    stderr: str = ""
    files: dict[str, str] = field(default_factory=dict)
    cpu_s: float = 0.0
    seconds: float = 0.0


class Sandbox:
    """Start on first use, restart when dead, close with the context. Not for use by several threads at once."""

    def __init__(
        self,
        workers: int = 1,
        cpu_limit_s: int = CPU_LIMIT_S,
        wall_limit_s: float = WALL_LIMIT_S,
        tick: Callable[[], None] = lambda: None,  # called after every result
    ) -> None:
        if workers < 1:
            raise ValueError(f"workers = {workers}, expected at least 1")
        self._limits = (workers, cpu_limit_s, wall_limit_s, MEMORY_LIMIT_BYTES)
        self._tick = tick
        self._servers: dict[bool, _Server] = {}

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

    def server_pids(self) -> list[int]:
        return [server.pid for server in self._servers.values()]

    def _run_on(self, reveals: bool, checks: list[Check]) -> dict[Check, ExecutionResult]:
        results: dict[Check, ExecutionResult] = {}
        suspects: dict[Check, int] = {}  # check -> servers that died while it alone was running
        while waiting := [check for check in checks if check not in results]:
            alone = [check for check in waiting if check in suspects][:1]
            batch = alone or waiting
            server = self._server(reveals)
            try:
                server.answer(batch, results, self._tick)
            except _ServerDied:
                self._servers.pop(reveals).close()
                unanswered = [check for check in batch if check not in results]
                for check in unanswered[: self._limits[0]]:
                    suspects[check] = suspects.get(check, 0) + (1 if alone else 0)
                    if suspects[check] >= DEATHS_PER_CHECK:
                        results[check] = ExecutionResult(error="SandboxDied")
            except BaseException:  # an interrupt leaves answers in the pipe that would be taken for the next batch's
                self._servers.pop(reveals).close()
                raise
        return results

    def _server(self, reveals: bool) -> "_Server":
        if reveals not in self._servers:
            self._servers[reveals] = _Server(*self._limits)
        return self._servers[reveals]


class _ServerDied(Exception):
    pass


class _Server:
    def __init__(self, workers: int, cpu_limit_s: int, wall_limit_s: float, memory_bytes: int) -> None:
        self._workers, self._wall_limit_s = workers, wall_limit_s
        self._folder = tempfile.mkdtemp(prefix="grpoq-sandbox-")
        Path(self._folder).chmod(0o711)  # children of another user pass through
        limits = (str(value) for value in (workers, cpu_limit_s, wall_limit_s, memory_bytes))
        self._process = subprocess.Popen(
            [sys.executable, *SERVER_FLAGS, "-c", SERVER_PROGRAM, str(REPO), self._folder, *limits],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env=SERVER_ENVIRONMENT,
            start_new_session=True,  # Ctrl-C is the trainer's to handle
        )
        self.pid = self._process.pid
        self._require_working()

    def _require_working(self) -> None:
        """A sandbox that fails everything would look like a model that fails everything."""
        probe = Check(kind="calls", setup="", program="", steps=("1 + 1",))
        results: dict[Check, ExecutionResult] = {}
        with contextlib.suppress(_ServerDied):
            self.answer([probe], results)
        if probe not in results or results[probe].answers != (2,):
            self.close()
            raise RuntimeError(f"the sandbox does not work here: {results.get(probe, 'its server ended at once')}")

    def answer(
        self, checks: list[Check], results: dict[Check, ExecutionResult], tick: Callable[[], None] = lambda: None
    ) -> None:
        """Add each check's result as it comes. Raises _ServerDied with what came before it kept."""
        sender = threading.Thread(target=self._send, args=(checks,), daemon=True)
        sender.start()  # apart: a pipe holds 64 KiB, and both sides waiting to write would be for ever
        for _ in checks:
            raw = self._receive()
            check = checks[raw["index"]]
            results[check] = _execution_result(check, raw)
            tick()
        sender.join()

    def _send(self, checks: list[Check]) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):  # dead, or closed meanwhile: the reading side notices
            for index, check in enumerate(checks):
                body = json.dumps({"index": index, **vars(check)}).encode()
                frame = memoryview(struct.pack(">I", len(body)) + body)
                while frame:
                    frame = frame[os.write(self._process.stdin.fileno(), frame) :]

    def _receive(self) -> dict[str, Any]:
        deadline = time.monotonic() + self._wall_limit_s + SERVER_PATIENCE_S
        (length,) = struct.unpack(">I", self._read(4, deadline))
        return json.loads(self._read(length, deadline))

    def _read(self, size: int, deadline: float) -> bytes:
        assert self._process.stdout is not None
        data = bytearray()
        while len(data) < size:
            ready, _, _ = select.select([self._process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            chunk = os.read(self._process.stdout.fileno(), size - len(data)) if ready else b""
            if not chunk:
                raise _ServerDied
            data += chunk
        return bytes(data)

    def close(self) -> None:
        """End the server and its children; returns once they are gone."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=2.0)
        except subprocess.TimeoutExpired:
            self._process.kill()  # children die with it (PR_SET_PDEATHSIG)
            self._process.wait()
        self._process.stdout.close()
        with contextlib.suppress(RecursionError):
            shutil.rmtree(self._folder, ignore_errors=True)


def _execution_result(check: Check, raw: dict[str, Any]) -> ExecutionResult:
    records, malformed = _decoded(raw["records"])
    answers, attributes = records.get("answers"), records.get("attributes")
    return ExecutionResult(
        imported="imported" in records,
        done="done" in records,
        answers=tuple(answers) if isinstance(answers, list) else None,
        attributes=tuple(a for a in attributes if isinstance(a, str)) if isinstance(attributes, list) else (),
        all_exact=records["equal"] is True if "equal" in records else None,
        test_function=next((f for f in ("absent", "guarded", "plain") if records.get("test_function") == f), None),
        tests_passed=tuple(_true_or_false(records.get(f"passed {n}")) for n in range(len(check.solutions))),
        error="ForgedResult" if malformed else _error(raw, records),
        exit_code=raw["exit_code"],
        stdout=raw["stdout"],
        stderr=raw["stderr"],
        files=raw["files"],
        cpu_s=raw["cpu_s"],
        seconds=raw["seconds"],
    )


def _true_or_false(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _decoded(texts: list[str] | None) -> tuple[dict[str, Any], bool]:
    """The child's records by name, and whether they are to be disbelieved: no honest child sends a name twice."""
    records: dict[str, Any] = {}
    try:
        for text in texts if texts is not None else [""]:
            record = json.loads(text)
            if not isinstance(record, dict) or len(record) != 1 or record.keys() & records.keys():
                return {}, True
            records |= record
    except (ValueError, RecursionError):
        return {}, True
    return records, False


def _error(raw: dict[str, Any], records: dict[str, Any]) -> str | None:
    if raw["killed_for"]:
        return raw["killed_for"]
    if raw["signal"] == signal.SIGXCPU:
        return "CpuLimit"
    if "done" in records:
        return None
    for name in ("error", "left", "imported"):
        if isinstance(records.get(name), str):
            return records[name]
    if raw["signal"] is not None:
        return _SIGNAL_NAMES.get(raw["signal"], f"signal {raw['signal']}")
    return "EarlyExit"
