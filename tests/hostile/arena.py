"""Every hostile case by name, a sandbox among canaries to judge them in, and what is to be true after each."""

import contextlib
import ctypes
import importlib
import os
import secrets
import select
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from core.environment.problems import fenced
from core.environment.rewards import GradeItem, grade
from core.sandbox.pool import Sandbox
from hostile.case import RIGHT, SOURCE_MARK, TWICE, WRONG
from support.paths import REPO

GROUPS = (
    *("exits", "operators", "patching", "inspection", "forgery", "outliving", "bombs", "filesystem", "network"),
    *("processes", "output", "recursion", "pickles", "encodings", "grader_import", "traces"),
)
CASES = {
    f"{group}: {case.name}": case for group in GROUPS for case in importlib.import_module(f"hostile.{group}").CASES
}
AT_EACH_COMMIT = list(CASES)[::6]  # of every group; all the others: tests/system/test_hostile_all.py
CPU_LIMIT_S, WALL_LIMIT_S = 1, 4.0
FORBIDDEN = (
    "root:x:0:0",
    SOURCE_MARK,
    "SOLVES_REWARD",
)  # lines of /etc/passwd, of these tests, of core/environment/rewards.py
PR_SET_CHILD_SUBREAPER, IPC_RMID = 36, 0


class RecordingSandbox(Sandbox):
    """Keeps what came back from the children, which a Grade tells only in part."""

    def __init__(self, **options):
        super().__init__(**options)
        self.results = []

    def run(self, checks):
        results = super().run(checks)
        self.results += results
        return results


class Canaries:
    """Things outside that judged code must leave alone. Nothing runs here: what came is looked up afterwards."""

    def __init__(self, root: Path) -> None:
        root.chmod(0o755)
        self.token, self.escaped = f"SECRET-{secrets.token_hex(12)}", f"ESCAPED-{secrets.token_hex(12)}"
        self.tag = secrets.token_hex(4)
        self.home, self.outside = root / "home", root / "outside"
        self.home.mkdir(mode=0o755)
        self.outside.mkdir()
        self.outside.chmod(0o777)
        (self.home / "secret.txt").write_text(f"{self.token} PASS\n")
        self.registry = self.home / "jobs.sqlite"
        with sqlite3.connect(self.registry) as database:
            database.execute("create table jobs (name text)")
            database.execute("insert into jobs values (?)", (self.token,))
        database.close()
        self._home_before = self._home_now()
        self.abstract = f"grpoq-hostile-{os.getpid()}-{secrets.token_hex(4)}"
        self.listeners = [socket.create_server(("127.0.0.1", 0), backlog=128)]
        self.port = self.listeners[0].getsockname()[1]
        for address in (str(root / "listening.sock"), f"\0{self.abstract}"):
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(address)
            listener.listen(128)
            self.listeners.append(listener)
        (root / "listening.sock").chmod(0o777)
        self.datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.datagrams.bind(("127.0.0.1", self.port))
        self.victim = subprocess.Popen(
            [sys.executable, "-c", "import signal; signal.pause()", self.token], env={"SECRET": self.token}
        )
        self.placeholders = {
            "{secret_file}": self.home / "secret.txt",
            "{registry}": self.registry,
            "{outside_dir}": self.outside,
            "{tcp_port}": self.port,
            "{unix_socket}": root / "listening.sock",
            "{abstract_socket}": self.abstract,
            "{parent_pid}": os.getpid(),
            "{victim_pid}": self.victim.pid,
            "{repo}": REPO,
            "{tag}": self.tag,
            "{escaped}": self.escaped,
        }

    def filled(self, code: str) -> str:
        for placeholder, value in self.placeholders.items():
            code = code.replace(placeholder, str(value))
        return code

    def _home_now(self) -> dict:
        """Contents, and what can be changed of a file that cannot be opened."""
        return {path: self._state(path) for path in (self.home, *sorted(self.home.rglob("*")))}

    def _state(self, path: Path) -> tuple:
        s = path.stat()
        marks = (s.st_mode, s.st_uid, s.st_gid, s.st_mtime_ns, os.listxattr(path))
        return (*marks, path.read_bytes() if path.is_file() else b"")

    def touched(self) -> list[str]:
        """What has happened since the last look; looking puts all back in order."""
        found = []
        while ready := select.select([*self.listeners, self.datagrams], [], [], 0)[0]:
            for canary in ready:
                if canary is self.datagrams:
                    canary.recv(100)
                    found.append("a datagram was received")
                else:
                    canary.accept()[0].close()
                    found.append(f"a connection was made to {canary.getsockname()!r}")
        for path in sorted(self.outside.rglob("*"), reverse=True):
            found.append(f"written outside: {path}")
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        if not self.outside.is_dir():
            found.append("the outside folder is gone")
        if self._home_now() != self._home_before:
            found.append("the home folder was changed")
        if self.victim.poll() is not None:
            found.append(f"the victim died of {self.victim.returncode}")
        return found

    def close(self) -> None:
        self.victim.kill()
        self.victim.wait()
        for canary in (*self.listeners, self.datagrams):
            canary.close()
        self._remove_leftovers()

    def _remove_leftovers(self) -> None:
        """What a sandbox that is not closed lets a case leave behind. The tag keeps runs apart even so."""
        for folder in ("/tmp", "/var/tmp", "/dev/shm", "/tmp/__pycache__"):
            for path in Path(folder).glob(f"hostile?{self.tag}*"):
                path.unlink(missing_ok=True)
        libc, key = ctypes.CDLL(None), int(self.tag, 16) >> 1
        libc.shmctl(libc.shmget(key, 0, 0), IPC_RMID, None)
        libc.msgctl(libc.msgget(key, 0), IPC_RMID, None)
        libc.mq_unlink(f"/hostile-{self.tag}".encode())


@contextlib.contextmanager
def canaries_listening() -> Iterator[Canaries]:
    with tempfile.TemporaryDirectory(prefix="hostile-", ignore_cleanup_errors=True) as root:
        canaries = Canaries(Path(root))
        yield canaries
        canaries.close()


def descendants() -> dict[int, str]:
    """Living processes below this one, by pid. As subreaper it inherits whatever is orphaned below it."""
    parents, names = {}, {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            name, _, rest = (folder / "stat").read_text().rpartition(") ")
        except OSError:
            continue
        state, parent = rest.split()[:2]
        if state not in "ZX":
            pid = int(folder.name)
            parents[pid], names[pid] = int(parent), name.partition("(")[2]
    below, found = {os.getpid()}, {}
    while more := {pid for pid, parent in parents.items() if parent in below and pid not in below}:
        below |= more
        found |= {pid: names[pid] for pid in more}
    return found


class Arena:
    """A sandbox among canaries, and what is to be true after every case."""

    def __init__(self, canaries: Canaries) -> None:
        self.canaries = canaries
        self.sandbox = RecordingSandbox(workers=1, cpu_limit_s=CPU_LIMIT_S, wall_limit_s=WALL_LIMIT_S)
        modes = ("gt_only", "exit_code", "run_tests")
        grade([GradeItem(TWICE, mode, fenced(WRONG + "\ndef run_tests(): pass")) for mode in modes], self.sandbox)
        self.at_rest = len(descendants())

    def item(self, case, code=None):
        code = self.canaries.filled(case.code if code is None else code)
        return GradeItem(case.problem, case.mode, fenced(code) if case.fenced else code)

    def verdict(self, case):
        self.sandbox.results.clear()
        if case.sibling is not None:
            assert grade([self.item(case, case.sibling)], self.sandbox)[0].gt_correct
            self.sandbox.results.clear()
        witnesses = [GradeItem(TWICE, "gt_only", fenced(code)) for code in (RIGHT, WRONG)]
        for _ in range(case.rounds):
            verdict, right, wrong = grade([self.item(case), *witnesses], self.sandbox)
        assert right.gt_correct and right.label == "Correct" and right.reward == 3.5
        assert not wrong.gt_correct and wrong.label == "Incorrect" and wrong.reward == 0.5
        return verdict

    def assert_nothing_got_out(self, grades):
        told = repr(grades) + repr(self.sandbox.results)
        assert self.canaries.token not in told, "the secret was read"
        assert self.canaries.escaped not in told, "something was done that must be impossible"
        assert [text for text in FORBIDDEN if text in told] == []
        assert self.canaries.touched() == []
        deadline = time.monotonic() + 5
        while len(left := descendants()) > self.at_rest and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(left) <= self.at_rest, f"{self.at_rest} processes at rest, now {left}"


@contextlib.contextmanager
def arena_among(canaries: Canaries) -> Iterator[Arena]:
    """What judged code leaves behind becomes this process's child, and is counted."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    arena = Arena(canaries)
    yield arena
    arena.sandbox.close()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def gets_what_it_deserves(name, arena):
    verdict = arena.verdict(CASES[name])
    arena.assert_nothing_got_out(verdict)
    assert_deserved(verdict, CASES[name])
    assert verdict.seconds < 6 * (WALL_LIMIT_S + 1)


def assert_deserved(g, case):
    passed = case.passed
    if passed is None and case.mode == "run_tests" and not g.gt_correct:
        passed = g.label == "Reward Hack"
    wanted = {
        "gt_correct": case.gt_correct,
        "label": case.label,
        "compiles": case.compiles,
        "gt_naive": case.gt_naive,
        "passed": passed,
    }
    wanted = {name: value for name, value in wanted.items() if value is not None}
    assert {name: getattr(g, name) for name in wanted} == wanted
    assert g.exploited is (g.passed and not g.gt_correct)
    assert g.reward == 0.5 * g.compiles + 3.0 * (g.gt_correct or g.passed)
    assert g.error is None or len(g.error) <= 80
