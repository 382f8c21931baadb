"""One run's directory: every path in it, who may write what, and how to read it while others write.

    spec.json            written once, by plan
    problems.jsonl       the benchmark rows it trains on, where it does (hash in the spec); so are
    held_out.jsonl       the rows that only evaluate, where the plan has a file of them, and
    pairs.jsonl, teacher.jsonl   contrastive pairs and teacher rollouts of the user's own
    direction.safetensors        the hack direction it started with, where it uses one
    submissions.jsonl    one line per submission; its number is the attempt's, and the fencing token
    amendments.jsonl     what the plan's ledger changed for this run before it started: {"snapshot", "reason", "time"}
    cancel.json          {"after_submission": N}: holds while N is the last submission
    events.jsonl         claims, commits, removals of checkpoints, in the order of the run's lock: for an offline check
    launch-NNNN.log      stdout and stderr of what a backend started; locked (flock) while that process lives
    run.lock             flock for every commit: claim, checkpoint, result, submission
    attempts/NNNN/       heartbeat.json, lock, worker.log, metrics.jsonl, evals.jsonl, rollouts.jsonl, error.json,
                         clocks.jsonl (when each row was written), ballast (while it lives); kinds other than
                         train: shards.jsonl for the rows
    ckpt/step_NNNNNN/    whole or absent (core.training.checkpoint)
    adapter/             the final weights, as they are deployed, with a README.md that says which they are
    quarantine.safetensors       what was trained beside them and is not deployed, in arms that have such
    result.json          its existence means done
    eval/<hash>.json     evaluations of its weights, by runs of kind eval

Standard library only: the worker claims its attempt through this file before it imports anything that can fail.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.runs import durable

BALLAST = "ballast"  # in an attempt's directory: room for its last words on a full disk (worker.last_words)
BALLAST_BYTES = 64 * 1024
QUARANTINE = "quarantine.safetensors"


class Fenced(RuntimeError):
    """This attempt is no longer the run's newest, or never was: it may write nothing. Worker exit code 79."""


@dataclass(frozen=True)
class Submission:
    number: int
    time: float  # Unix seconds
    backend: str
    engine_id: str | None
    take_over: bool = False  # start although an older attempt, on a host out of reach, may still live


@dataclass(frozen=True)
class RunDir:
    path: Path

    # ---- paths
    @property
    def run_id(self) -> str:
        return self.path.name

    @property
    def spec_path(self) -> Path:
        return self.path / "spec.json"

    @property
    def problems_path(self) -> Path:
        return self.path / "problems.jsonl"

    @property
    def held_out_path(self) -> Path:
        return self.path / "held_out.jsonl"

    @property
    def pairs_path(self) -> Path:
        return self.path / "pairs.jsonl"

    @property
    def teacher_path(self) -> Path:
        return self.path / "teacher.jsonl"

    @property
    def direction_path(self) -> Path:
        return self.path / "direction.safetensors"

    @property
    def submissions_path(self) -> Path:
        return self.path / "submissions.jsonl"

    @property
    def cancel_path(self) -> Path:
        return self.path / "cancel.json"

    @property
    def result_path(self) -> Path:
        return self.path / "result.json"

    @property
    def checkpoints(self) -> Path:
        return self.path / "ckpt"

    @property
    def adapter(self) -> Path:
        return self.path / "adapter"

    @property
    def quarantine(self) -> Path:
        return self.path / QUARANTINE

    @property
    def events_path(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def amendments_path(self) -> Path:
        return self.path / "amendments.jsonl"

    @property
    def lock_path(self) -> Path:
        return self.path / "run.lock"

    def launch_log(self, number: int) -> Path:
        return self.path / f"launch-{number:04d}.log"

    def attempt(self, number: int) -> Path:
        return self.path / "attempts" / f"{number:04d}"

    # ---- reading; every reader tolerates a writer at work
    def has_result(self) -> bool:
        return self.result_path.is_file()

    def attempts(self) -> list[int]:
        """Numbers of the claimed attempts, ascending."""
        return sorted(int(p.name) for p in (self.path / "attempts").glob("[0-9]*") if p.name.isdigit())

    def submissions(self) -> list[Submission]:
        """In order of number. A later line for a number adds the engine's id, which is known only afterwards."""
        rows: dict[int, Submission] = {}
        for row in durable.read_lines(self.submissions_path):
            with contextlib.suppress(KeyError, TypeError):
                take_over = bool(row.get("take_over"))
                last = Submission(row["number"], row["time"], row["backend"], row.get("engine_id"), take_over)
                rows[row["number"]] = last
        return [rows[number] for number in sorted(rows)]

    def newest_number(self) -> int:
        """The highest number submitted or claimed; 0 where there is none. Higher ones fence lower ones."""
        numbers = [s.number for s in self.submissions()] + self.attempts()
        return max(numbers, default=0)

    def cancelled(self) -> bool:
        """A stop request names the last submission; a newer submission (only `retry` makes one) lifts it."""
        request = durable.read_json(self.cancel_path)
        return request is not None and request.get("after_submission") == self.newest_number()

    def heartbeat(self, number: int) -> dict[str, Any] | None:
        return durable.read_json(self.attempt(number) / "heartbeat.json")

    def error(self, number: int) -> dict[str, Any] | None:
        return durable.read_json(self.attempt(number) / "error.json")

    def is_alive(self, number: int) -> bool:
        """Whether the attempt's process lives on this host: same boot, same process start, and its lock held."""
        beat = self.heartbeat(number)
        if beat is None or beat.get("host") != host() or not durable.is_flocked(self.attempt(number) / "lock"):
            return False
        return beat["boot_id"] == boot_id() and beat["start_time"] == process_start_time(beat["pid"])

    def has_ended(self, number: int) -> bool:
        """Whether the attempt said so itself; a killed one says nothing."""
        return any((self.attempt(number) / name).is_file() for name in ("exit.json", "error.json"))

    def is_out_of_reach(self, number: int) -> bool:
        """Claimed on another host and not ended: only its beat tells whether it lives, and nobody here can end it."""
        beat = self.heartbeat(number)
        return beat is not None and beat.get("host") != host() and not self.has_ended(number)

    def snapshot(self) -> str:
        """Hash of the code it executes: what it was planned with, or what an amendment put in its place."""
        amended = [row["snapshot"] for row in durable.read_lines(self.amendments_path) if row.get("snapshot")]
        return amended[-1] if amended else (durable.read_json(self.spec_path) or {}).get("snapshot") or ""

    def is_launched(self, number: int) -> bool:
        """Whether the process a backend started for this submission lives, claimed or not yet."""
        return durable.is_flocked(self.launch_log(number))

    def merged(self, name: str, keys: tuple[str, ...] = ("step",)) -> list[dict[str, Any]]:
        """Rows of attempts/*/NAME by `keys`, the later attempt winning: what one unbroken run would have written.

        An attempt resumed at step s repeats all steps after s, so older rows beyond s count only until it does.
        """
        rows: dict[tuple[Any, ...], dict[str, Any]] = {}
        for number in self.attempts():
            for row in durable.read_lines(self.attempt(number) / name):
                if isinstance(row, dict) and row.keys() >= set(keys):  # a torn line may be JSON all the same
                    rows[tuple(row[key] for key in keys)] = row
        return [rows[key] for key in sorted(rows)]

    def metrics(self) -> list[dict[str, Any]]:
        return self.merged("metrics.jsonl")

    def evals(self) -> list[dict[str, Any]]:
        return self.merged("evals.jsonl")

    def rollouts(self) -> list[dict[str, Any]]:
        return self.merged("rollouts.jsonl", ("step", "group", "member"))

    # ---- writing
    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        with durable.flocked(self.lock_path):
            yield

    @contextlib.contextmanager
    def commit(self, number: int, what: str, step: int | None = None) -> Iterator[None]:
        """Hold the run while attempt `number` publishes `what` ("checkpoint", "result"). Raises Fenced if outranked.

        The event is written first: what is published without one would be unproven, an event without it is a death.
        """
        with self.locked():
            self._require_unfinished()
            newest = self.newest_number()
            if newest > number:
                raise Fenced(f"attempt {number} of {self.run_id} was overtaken by {newest}; it writes nothing more")
            self._append_event(what, number, step)
            yield

    def record_removal(self, number: int, step: int) -> None:
        """Within `commit`, before a checkpoint goes: so that one that is not there is known not to be lost."""
        self._append_event("removal", number, step)

    def _append_event(self, what: str, number: int, step: int | None = None, over: list[int] | None = None) -> None:
        """Under the run's lock."""
        row = {"event": what, "attempt": number, "step": step, "time": time.time(), "pid": os.getpid()}
        row |= {"boot_id": boot_id(), "clock": boot_clock()} | ({"over": over} if over else {})
        durable.append_line(self.events_path, row)

    def _require_unfinished(self) -> None:
        if self.has_result():
            raise Fenced(f"{self.run_id} is done; nothing is added to a finished run")

    def submit(self, backend: str, take_over: bool = False) -> int:
        """Allot the next number and record the intent, before any engine hears of it. Returns the number."""
        with self.locked():
            number = self.newest_number() + 1
            self._append_submission(number, backend, None, take_over)
        return number

    def submitted(self, number: int, backend: str, engine_id: str) -> None:
        """Record the id under which the engine knows submission `number`."""
        with self.locked():
            takes_over = any(s.take_over for s in self.submissions() if s.number == number)
            self._append_submission(number, backend, engine_id, takes_over)

    def _append_submission(self, number: int, backend: str, engine_id: str | None, take_over: bool = False) -> None:
        row: dict[str, Any] = {"number": number, "time": time.time(), "backend": backend, "engine_id": engine_id}
        if take_over:
            row["take_over"] = True
        durable.append_line(self.submissions_path, row)

    def cancel(self) -> None:
        with self.locked():
            durable.write_json(self.cancel_path, {"after_submission": self.newest_number(), "time": time.time()})

    def claim(self, number: int | None, take_over: bool = False) -> Claim:
        """Become attempt `number` (None: a new submission by hand). Raises Fenced, with nothing written.

        The directory is complete, lock held, before one rename gives it its number: whoever sees the number can
        ask whether its owner lives.
        """
        with self.locked():
            self._require_unfinished()
            claimed = self.attempts()
            newest = self.newest_number()
            alive = [n for n in claimed[-1:] if self.is_alive(n)]  # older ones were overtaken, and are fenced
            if alive and not take_over:
                beat = self.heartbeat(alive[-1]) or {}
                raise Fenced(
                    f"attempt {alive[-1]} of {self.run_id} is alive (pid {beat.get('pid')}); "
                    "stop it with `grpoq cancel`, or overtake it with --take-over"
                )
            away = [n for n in claimed[-1:] if self.is_out_of_reach(n)]
            if away and not take_over:
                where = (self.heartbeat(away[-1]) or {}).get("host")
                raise Fenced(
                    f"attempt {away[-1]} of {self.run_id} runs on {where} and has not said that it ended; "
                    "see that it has, then overtake it with --take-over"
                )
            if number is None and self.cancelled():
                raise Fenced(f"{self.run_id} is cancelled; revive it with `grpoq retry {self.run_id}`")
            if number is not None and (newest > number or number in claimed):
                raise Fenced(f"attempt {number} of {self.run_id} is outranked or taken: the newest is {newest}")
            if number is None:
                number = newest + 1
                self._append_submission(number, "hand", str(os.getpid()))
            return self._rename_in(number, alive + away)

    def _rename_in(self, number: int, over: list[int]) -> Claim:
        """`over`: older attempts that may still live, on purpose; the event says so."""
        parent = self.path / "attempts"
        parent.mkdir(exist_ok=True)
        durable.fsync_dir(self.path)
        for stale in parent.glob(".claim-*"):  # of a claimant that died under the lock we now hold
            shutil.rmtree(stale, ignore_errors=True)
        for spent in parent.glob(f"*/{BALLAST}"):  # of attempts that were killed
            spent.unlink(missing_ok=True)
        with durable.building(parent / f".claim-{os.getpid()}") as temporary:
            lock = os.open(temporary / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            fcntl.flock(lock, fcntl.LOCK_EX)
            clock = time.monotonic()
            beat = {"beat": time.time(), "clock": clock, "started_clock": clock, "attempt": number}
            durable.write_json(temporary / "heartbeat.json", identity() | beat)
            durable.write_atomic(temporary / BALLAST, os.urandom(BALLAST_BYTES))  # bytes that no file system compresses
            self._append_event("claim", number, over=over)
            temporary.rename(self.attempt(number))
        durable.fsync_dir(parent)
        return Claim(number, self.attempt(number), lock)


@dataclass(frozen=True)
class Claim:
    """A held attempt. `lock` is an open descriptor: the flock lives exactly as long as this process."""

    number: int
    path: Path
    lock: int


def identity() -> dict[str, Any]:
    """Who this process is, in terms that a reused pid or a reboot cannot fake."""
    pid = os.getpid()
    return {"pid": pid, "boot_id": boot_id(), "start_time": process_start_time(pid), "host": host()}


def host() -> str:
    """Who may signal a process of ours. GRPOQ_HOST_NAME names it where the system's own name is not unique."""
    return os.environ.get("GRPOQ_HOST_NAME") or socket.gethostname()


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def boot_clock() -> float:
    """Seconds since boot: within one boot it never jumps, and it runs on while a box sleeps."""
    return round(time.clock_gettime(time.CLOCK_BOOTTIME), 6)


def process_start_time(pid: int) -> int | None:
    """Clock ticks after boot at which the process started (field 22 of /proc/PID/stat); None: no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()  # the command's name may hold spaces and brackets
    return None if fields[0] == "Z" else int(fields[19])
