"""The pueue backend: a daemon of our own that holds the submissions of one home in one group.

pueue never restarts anything, calls an orphan of its killed daemon dead, and hands out ids anew. So only its word on
what waits and runs is taken; a task is found by its label (run and number), and who lives is asked of the lease.
"""

from __future__ import annotations

import shlex

from core.runs.run_dir import RunDir
from orchestrator.backends import Order, Unreachable
from orchestrator.backends.pueue_daemon import Daemon, binary
from orchestrator.backends.pueue_status import PREFIX, Status, Task, label_of, parse_status, submission_of
from orchestrator.backends.words import ENDED, RUNNING, UNKNOWN, WAITING
from orchestrator.backends.worker_process import worker_command, worker_environment
from orchestrator.store.home import Home

GROUP = "grpoq"
STAND_IN = "grpoq-orphan"
OURS = (PREFIX, STAND_IN)
STAND_IN_PRIORITY = 1_000_000  # it only says what is so
KEPT = 35  # tasks of ours; every `add` rewrites them all


class PueueQueue:
    name = "pueue"

    def __init__(self, home: Home) -> None:
        self.home = home
        self.daemon = Daemon(home)

    # ---- the four verbs
    def ensure(self, slots: int) -> None:
        status = self._status_of_a_started_daemon()
        group = status.groups.get(GROUP)
        if group is None:
            self.daemon.try_to("group", "add", GROUP, "-p", str(slots))  # refused: somebody was faster
        elif group.slots != slots:
            self.daemon.ask("parallel", str(slots), "-g", GROUP)
        self._fill_slots_of_orphans(status)
        if group is not None and group.status != "Running":  # every daemon pauses groups with a queue when it starts
            self.daemon.ask("start", "-g", GROUP)
        ours = [task for task in status.tasks if task.group == GROUP and task.label.partition(":")[0] in OURS]
        held = [str(task.id) for task in ours if task.held]
        if held:  # being edited when the daemon died
            self.daemon.try_to("enqueue", *held)
        self._tidy(ours)

    def submit(self, order: Order) -> int:
        binary("pueue")  # before a number is spent
        run = order.run
        number = run.submit(self.name, order.take_over)
        code = self.home.snapshots / run.snapshot()
        answer = self.daemon.ask(
            "add",
            "--print-task-id",
            f"--group={GROUP}",
            f"--priority={-order.place}",  # the highest goes first
            f"--label={label_of(run.run_id, number)}",
            f"--working-directory={code}",
            "--",
            _shell_line(run, number, order.take_over),
            env=worker_environment(code, order.threads),  # pueue keeps the caller's, shows it, and gives it to the task
        )
        run.submitted(number, self.name, answer.strip())
        return number

    def states(self, runs: list[RunDir]) -> dict[str, str]:
        status = self._status()
        words = {run.run_id: self._word(run, status) for run in runs}
        group = status.groups.get(GROUP)
        if group is not None and group.status != "Running" and WAITING in words.values():
            raise Unreachable(f"pueue's group {GROUP} is {group.status.lower()}; `grpoq resume` sets it going")
        return words

    def cancel(self, run: RunDir) -> None:
        submissions = run.submissions()
        status = self._status()
        for submission in submissions:  # outranked ones as well: they would only end with 79
            task = status.labelled(label_of(run.run_id, submission.number))
            if task is not None and task.word != ENDED:
                self._cancel(task)

    # ---- pueue only
    def _status(self) -> Status:
        try:
            return parse_status(self.daemon.ask("status", "--json"))
        except ValueError as error:
            raise Unreachable(f"pueue status is not understood: {error}") from error

    def _status_of_a_started_daemon(self) -> Status:
        try:
            return self._status()
        except Unreachable:
            self.daemon.start()
        return self._status()

    def _fill_slots_of_orphans(self, status: Status) -> None:
        """A worker that lives without a task (its daemon was killed, a hand started it) keeps a slot until it ends."""
        for path in sorted(self.home.runs.glob("*/")):
            run = RunDir(path)
            number = max(run.attempts(), default=0)
            labels = (label_of(run.run_id, number), f"{STAND_IN}:{run.run_id}:{number}")
            tasks = [status.labelled(label) for label in labels]
            if not number or any(task and task.word != ENDED for task in tasks) or not run.is_alive(number):
                continue
            self.daemon.ask(
                "add",
                f"--group={GROUP}",
                f"--priority={STAND_IN_PRIORITY}",
                f"--label={labels[1]}",
                f"--working-directory={self.home.path}",
                "--",
                f"exec flock --shared {shlex.quote(str(run.attempt(number) / 'lock'))} true",  # waits for its lease
            )

    def _word(self, run: RunDir, status: Status) -> str:
        submissions = run.submissions()
        if not submissions:
            return UNKNOWN
        number = submissions[-1].number
        task = status.labelled(label_of(run.run_id, number))
        word = task.word if task else UNKNOWN
        if word in (ENDED, UNKNOWN) and not run.attempt(number).is_dir() and run.is_launched(number):
            return RUNNING  # an orphan that has not claimed yet; from the claim on its lease speaks
        return word

    def _cancel(self, task: Task) -> None:
        if task.word == WAITING and self.daemon.try_to("remove", str(task.id)):
            return
        self.daemon.try_to("kill", "--signal", "sigterm", str(task.id))  # refused: it has ended meanwhile
        if task.status == "Paused":  # a stopped process takes no signal before it goes on
            self.daemon.try_to("start", str(task.id))

    def _tidy(self, ours: list[Task]) -> None:
        if len(ours) > KEPT:
            settled = [str(task.id) for task in ours if task.word == ENDED and self._is_settled(task.label)]
            if settled:
                self.daemon.try_to("remove", *settled)

    def _is_settled(self, label: str) -> bool:
        """Whether the run directory tells all that the task could, or is gone."""
        submission = submission_of(label)
        if submission is None:
            return True  # it stood for an orphan
        run, number = self.home.run(submission[0]), submission[1]
        return run.attempt(number).is_dir() or run.newest_number() != number


def _shell_line(run: RunDir, number: int, take_over: bool) -> str:
    """One process, the worker; its launch log is locked for as long as it lives (core.runs.run_dir)."""
    log = shlex.quote(str(run.launch_log(number)))
    return f"exec </dev/null >>{log} 2>&1; flock -n 1; exec {shlex.join(worker_command(run, number, take_over))}"
