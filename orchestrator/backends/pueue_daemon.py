"""Our own pueued: where its files are, how it is started, how it is asked. A user's own pueue is never touched.

Its directory holds the state of a queue that can be made again from the run directories, and must not share a disk with
checkpoints if that can be helped: a pueued that cannot write its state kills every task (GRPOQ_PUEUE_DIR).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import time
from pathlib import Path
from typing import Any

from core.runs import durable
from orchestrator.backends import Unreachable
from orchestrator.backends.worker_process import scrubbed
from orchestrator.store.home import Home

CALL_S = 10.0  # an answer takes 3 ms
START_S = 10.0
LONGEST_SOCKET = 100  # bytes; the kernel takes 107
COPIES = 5
LONGEST_SENTENCE = 300


class Daemon:
    def __init__(self, home: Home) -> None:
        self.home = home
        self.place = home.path / "pueue"  # always: whoever has the home finds the daemon
        self.config = self.place / "pueue.yml"
        self._children: list[subprocess.Popen[bytes]] = []

    # ---- asking
    def ask(self, *arguments: str, env: dict[str, str] | None = None) -> str:
        """What `pueue ARGUMENTS` prints. Raises Unreachable also where the daemon answers and refuses."""
        done = self._call(arguments, env)
        if done.returncode != 0:
            raise Unreachable(f"pueue {arguments[0]}: {sentence(done.stderr or done.stdout)}")
        return done.stdout

    def try_to(self, *arguments: str) -> bool:
        """Whether it was done; False: the daemon answers and refuses. Raises Unreachable where it does not answer."""
        done = self._call(arguments)
        if done.returncode not in (0, 1) or done.stderr.startswith("Error:"):
            raise Unreachable(f"pueue {arguments[0]}: {sentence(done.stderr)}")
        return done.returncode == 0

    def _call(self, arguments: tuple[str, ...], env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        command = [binary("pueue"), "-c", str(self.config), "--color", "never", *arguments]
        try:
            return subprocess.run(
                command,
                env=scrubbed(dict(os.environ)) if env is None else env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=CALL_S,
            )
        except subprocess.TimeoutExpired:
            raise Unreachable(f"pueue {arguments[0]}: no answer within {CALL_S:g} s") from None
        except OSError as error:
            raise Unreachable(f"{command[0]} cannot be executed: {error.strerror}") from error

    # ---- starting
    def start(self) -> None:
        """A daemon answers when this returns. Two callers at once start one."""
        self._children = [child for child in self._children if child.poll() is None]
        program = binary("pueued")
        try:
            self.place.mkdir(mode=0o700, parents=True, exist_ok=True)
            with durable.flocked(self.place / "start.lock"):
                if not self._answers():
                    directory = self._configure()
                    self._forget_dead_daemon(directory)
                    _keep_copy(directory / "state.json")
                    self._launch(program, directory)
        except OSError as error:
            raise Unreachable(f"pueued cannot be started for {self.home.path}: {error}") from error

    def _answers(self) -> bool:
        try:
            self.ask("group", "--json")
        except Unreachable:
            return False
        return True

    def _launch(self, program: str, directory: Path) -> None:
        log_path = directory / "pueued.log"
        with log_path.open("ab") as log:  # a file, no pipe: pueued keeps it open for ever
            child = subprocess.Popen(
                [program, "-c", str(self.config)],
                cwd=directory,
                env=scrubbed(dict(os.environ)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._children.append(child)
        deadline = time.monotonic() + START_S
        while not self._answers():
            if child.poll() is not None:
                raise Unreachable(f"pueued could not start: {sentence(_tail(log_path))}; see {log_path}")
            if time.monotonic() > deadline:
                raise Unreachable(f"pueued (pid {child.pid}) does not answer after {START_S:g} s; see {log_path}")
            time.sleep(0.02)

    def _configure(self) -> Path:
        """Write the configuration where it is new; returns the directory of the daemon's state."""
        directory = self._directory()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        wanted = self._configuration(directory)
        if durable.read_json(self.config) != wanted:
            durable.write_atomic(self.config, json.dumps(wanted, indent=1, ensure_ascii=False))  # JSON is YAML
        return directory

    def _directory(self) -> Path:
        """GRPOQ_PUEUE_DIR counts from the next start on, and stays: not every shell that comes later sets it."""
        given = os.environ.get("GRPOQ_PUEUE_DIR")
        if given:
            return Path(given).expanduser().absolute() / f"{self.home.path.name}-{self._key()}"
        known = (durable.read_json(self.config) or {}).get("shared", {}).get("pueue_directory")
        return Path(known) if known else self.place

    def _configuration(self, directory: Path) -> dict[str, Any]:
        return {
            "shared": {
                "pueue_directory": str(directory),
                "runtime_directory": str(directory),  # XDG_RUNTIME_DIR goes when its user logs out
                "alias_file": str(directory / "aliases.yml"),  # none: a user's own would rewrite our commands
                "use_unix_socket": True,
                "unix_socket_path": str(self._socket(directory)),
                "unix_socket_permissions": 0o700,
            },
            "client": {"show_confirmation_questions": False},
            "daemon": {"pause_group_on_failure": False, "pause_all_on_failure": False},
        }

    def _socket(self, directory: Path) -> Path:
        near = directory / "pueue.socket"
        if len(os.fsencode(near)) <= LONGEST_SOCKET:
            return near
        short = self.short_socket_directory()
        short.mkdir(mode=0o700, exist_ok=True)
        found = short.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise Unreachable(f"{short} is not ours alone (mode 0700); remove it, or choose a shorter --home")
        return short / "pueue.socket"

    def short_socket_directory(self) -> Path:
        """Where the socket is if its path in our own directory were too long for the kernel."""
        return Path("/tmp") / f"grpoq-{os.getuid()}-{self._key()}"

    def _forget_dead_daemon(self, directory: Path) -> None:
        """pueued refuses to start beside a pid file that is torn, or whose pid somebody else has got since."""
        path = directory / "pueue.pid"
        try:
            text = path.read_text()
        except FileNotFoundError:
            return
        if text.isdecimal() and self._is_ours(int(text)):
            raise Unreachable(
                f"pueued (pid {text}) runs and does not answer; if that stays so, `kill -9 {text}`: "
                "its workers live on and are adopted"
            )
        path.unlink(missing_ok=True)

    def _is_ours(self, pid: int) -> bool:
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return os.fsencode(self.config) in words

    def _key(self) -> str:
        return hashlib.sha256(os.fsencode(self.home.path.resolve())).hexdigest()[:12]


def binary(name: str) -> str:
    """Path of pueue or pueued: in GRPOQ_PUEUE_BIN (a directory, or pueue itself), else on PATH."""
    found = _find(name)
    if found is None:
        where = f"GRPOQ_PUEUE_BIN={given}" if (given := os.environ.get("GRPOQ_PUEUE_BIN")) else "PATH"
        raise Unreachable(f"{name} is not on {where}; `just tools pueue` installs it, or take --backend local")
    return found


def is_installed() -> bool:
    return _find("pueue") is not None and _find("pueued") is not None


def _find(name: str) -> str | None:
    given = os.environ.get("GRPOQ_PUEUE_BIN")
    if not given:
        return shutil.which(name)
    place = Path(given).expanduser().absolute()
    return shutil.which(name, path=str(place if place.is_dir() else place.parent))


def sentence(text: str) -> str:
    """What pueue complains of: its last cause, without colours, source lines and backtrace."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    report = plain.rpartition("Error:")[2].partition("\nLocation:")[0]
    causes = re.split(r"\n\s*\d+: ", report)
    return " ".join(causes[-1].split())[-LONGEST_SENTENCE:] or "no word of why"


def _tail(path: Path) -> str:
    return path.read_bytes()[-20_000:].decode(errors="replace")


def _keep_copy(state: Path) -> None:
    """pueued replaces a state that it cannot read by an empty one, at once. The last few stay beside it."""
    with contextlib.suppress(OSError):  # a full disk; the copy is for people, the run directories are the truth
        content = state.read_bytes()
        copies = sorted(state.parent.glob("state-*.json"))
        if copies and copies[-1].read_bytes() == content:
            return
        (state.parent / f"state-{time.time_ns()}.json").write_bytes(content)
        for old in copies[: len(copies) + 1 - COPIES]:
            old.unlink()
