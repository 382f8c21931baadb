"""`grpoq chaos`: see on your own box, in a minute or two, that what is killed comes back and ends as if untouched.

One plan of equal runs under different names, trained by the real worker on a small random model: the twin is left in
peace, the victims, the watch and pueue's daemon are killed at random instants. At the end the victims' weights and
rows must equal the twin's, and an offline check of what is on disk must find nothing.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from core.runs.compare import compare
from core.runs.run_dir import RunDir
from orchestrator.backends import default_backend, require_known
from orchestrator.planning.matrix import parse_matrix
from orchestrator.planning.plan import draft_plan
from orchestrator.planning.resolve import Choices
from orchestrator.queue import actions
from orchestrator.queue.processes import pueued_pid, watch_pid
from orchestrator.queue.signals import signal_worker
from orchestrator.refusal import FAILED, Refused
from orchestrator.state.observed_plan import ObservedPlan
from orchestrator.store.home import Home
from orchestrator.store.plan_dir import PlanDir
from orchestrator.tools import scratch_home
from orchestrator.tools.audit import audit

VICTIMS = 2
MATRIX = """
name = "chaos"
preset = "smoke"
seeds = [41]
why = "does what is killed come back, and end as the run that was not?"
[config]
steps = 24
checkpoint_every = 4
eval_every = 12
eval_problems = 2
disk_floor_gb = 0.05
[[arm]]
name = "vanilla"
label = "twin"
"""
VICTIM = '[[arm]]\nname = "vanilla"\nlabel = "victim{number}"\n'
DEADLINE_S = 600.0


@dataclass
class Chaos:
    home: Home
    plan: PlanDir
    dice: random.Random
    say: Callable[[str], None]
    kills: int
    began: float = field(default_factory=time.monotonic)
    done: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Kill until enough was killed or nothing is left to kill; then wait for the end."""
        while self._open() and time.monotonic() - self.began < DEADLINE_S:
            time.sleep(self.dice.uniform(0.3, 1.2))
            if len(self.done) < self.kills:
                self._strike()
            if watch_pid(self.home) is None:  # what a service or cron would do
                actions.resume(self.home)

    def _open(self) -> bool:
        observed = ObservedPlan(self.plan)
        return any(observed.progresses(run_id) for run_id in self.plan.run_ids)

    def _strike(self) -> None:
        strikes = (self._kill_worker, self._kill_worker, self._preempt, self._kill_watch, self._kill_daemon)
        what = self.dice.choice(strikes)()
        if what:
            self.done.append(what)
            self.say(what)

    def _victim(self) -> tuple[RunDir, int] | None:
        """A living attempt that may be struck: the first at any moment, later ones once they have written a row.

        Three deaths in a row before the first row would be `no_progress`, and rightly so.
        """
        living = []
        for run in self.plan.runs():
            newest = max(run.attempts(), default=0)
            struck_before = newest > 1 and not (run.attempt(newest) / "metrics.jsonl").exists()
            if "victim" in run.run_id and newest and run.is_alive(newest) and not struck_before:
                living.append((run, newest))
        return self.dice.choice(living) if living else None

    def _kill_worker(self) -> str:
        return self._signal(signal.SIGKILL, "kill -9 of {run} at step {step}")

    def _preempt(self) -> str:
        return self._signal(signal.SIGTERM, "SIGTERM, as a preempted box sends it, to {run} at step {step}")

    def _signal(self, which: signal.Signals, words: str) -> str:
        found = self._victim()
        if found is None:
            return ""
        run, attempt = found
        step = (run.heartbeat(attempt) or {}).get("step", 0)
        return words.format(run=run.run_id, step=step) if signal_worker(run, attempt, which) else ""

    def _kill_watch(self) -> str:
        return _kill(watch_pid(self.home), "kill -9 of the watch, pid {pid}")

    def _kill_daemon(self) -> str:
        return _kill(pueued_pid(self.home), "kill -9 of pueued, pid {pid}; its tasks live on as orphans")


def _kill(pid: int | None, words: str) -> str:
    """What was done, or nothing where there is no such process."""
    if pid is None:
        return ""
    os.kill(pid, signal.SIGKILL)
    return words.format(pid=pid)


def chaos(home: Home, backend: str | None, seed: int, kills: int, say: Callable[[str], None]) -> bool:
    """Whether everything held. The chaos home is removed then, and kept otherwise."""
    name = backend or default_backend()
    require_known(name)
    place = Home(home.path / "chaos")
    if place.path.exists():
        raise Refused(f"{place.path} is left from a chaos that found something; look at it, then remove it")
    home.require_writable()
    matrix = parse_matrix(MATRIX + "".join(VICTIM.format(number=n + 1) for n in range(VICTIMS)), "chaos")
    draft = draft_plan(matrix, Choices(slots=min(2, len(os.sched_getaffinity(0)))))
    plan = scratch_home.planned(place, draft)
    say(f"{len(plan.run_ids)} equal runs in {place.path}, seed {seed}; the twin is left in peace")
    actions.submit(place, plan, name, None)
    storm = Chaos(place, plan, random.Random(seed), say, kills)
    try:
        storm.run()
    finally:
        scratch_home.stop(place)
    wrong = _verdict(storm)
    for sentence in wrong:
        say(f"WRONG: {sentence}")
    attempts = sum(len(run.attempts()) for run in plan.runs())
    say(f"{len(storm.done)} strikes, {attempts} attempts of {len(plan.run_ids)} runs, {len(wrong)} things wrong")
    if not storm.done:
        raise Refused("nothing lived long enough to be struck: nothing is shown; try again", FAILED)
    if not wrong:
        scratch_home.remove(place.path)
    return not wrong


def _verdict(storm: Chaos) -> list[str]:
    twin, *victims = storm.plan.runs()
    wrong = list(audit(storm.home))
    for run in victims:
        for what, equal in compare(run, twin).items():
            if not equal:
                wrong.append(f"{run.run_id}: {what} differ from the twin's")
            else:
                storm.say(f"{run.run_id}: {what} equal the twin's")
    return wrong
