"""Histories of a box, found by Hypothesis and by seeded walks: whatever happens in whatever order, the laws hold.

The laws are in simulated_box.py: one valid lease per run, no write with an old token, done for ever, failed and
cancelled left only by a person's request, no submission beside a living worker or beyond the cap, no signal to a sound
one, back-off, constant number of runs; and at the end, when faults stop, every run ends and has exactly one result.

Mutants of the product that were killed: commits without the token check, a claim that is outranked or beside a living
run, a commit after the result; resubmitting what lives, is done, has failed for good, is unknown or unreachable, or
without back-off or end; cancel ignored, stalled never ended, SIGKILL never sent, the cap's stop left out; ages by the
wall clock, two hosts' clocks compared, engine never ensured, purse, gate and the hold on a full disk ignored; a lost
take-over that forgets its flag, an error before a retry that counts on. Half lines left open survive here and are
killed by tests/system/test_kills.py.
"""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from core.runs import durable
from core.runs.run_dir import RunDir
from orchestrator.backends.words import ENDED, RUNNING, UNKNOWN, WAITING
from orchestrator.planning import plan as planning
from orchestrator.queue import actions
from orchestrator.refusal import Refused
from orchestrator.state.decide import ALWAYS, THREE_TIMES
from orchestrator.store import amend
from orchestrator.store.snapshot import source_root
from support.simulated_box import CHAIN, ELSEWHERE, HERE, MONEY, NEVER_RETRIED, Box, Process, draft

Action = Callable[[Box, int], bool]  # returns whether there was something to act upon
LONGEST_CHAIN = 3  # extract, erase, its evaluation
LIES = (WAITING, RUNNING, ENDED, UNKNOWN, "Locked", "Stashed")


def one_of(things: Sequence[Any], pick: int) -> Any:
    return things[pick % len(things)] if things else None


# ---- people
def plan(box: Box, pick: int) -> bool:
    """Planning again adds nothing."""
    name, text = one_of((("chain", CHAIN), ("money", MONEY)), pick)

    wanted = draft(text, source_root())
    box.half_planned |= {spec.run_id for spec in wanted.specs}

    def write() -> None:
        box.plans[name] = planning.write_plan(box.home, wanted)[0]

    return box.act(write)


def submit(box: Box, pick: int) -> bool:
    """The first time or again, also to the other engine."""
    chosen = one_of(list(box.plans.values()), pick)
    if chosen is None:
        return False
    engine = ("simulated", "local", None)[pick // 4 % 3]
    if box.act(lambda: actions.submit(box.home, chosen, engine or (None if chosen.request() else "local"), None)):
        box.acknowledged.add(chosen.plan_id)
    return True


def resume(box: Box, pick: int) -> bool:
    return box.act(lambda: actions.resume(box.home))


def cancel(box: Box, pick: int) -> bool:
    """A living run rather than any."""
    living = [(p, r) for p, r in box.runs() if box.living(r)]
    found = one_of(living or box.runs(), pick)
    if found is None:
        return False
    if box.act(lambda: actions.cancel(box.home, *found)):
        box.laws.cancelled.add(found[1].run_id)
    return True


def retry(box: Box, pick: int) -> bool:
    """Of a run that has ended, rather than of any."""
    ended = [(p, r) for p, r in box.runs() if box.laws.ended.get(r.run_id) in ("failed", "cancelled")]
    found = one_of(ended, pick)
    if found is None:
        return False
    box.retrying = found[1].run_id
    box.revived.add(found[1].run_id)
    before = found[1].newest_number()
    box.act(lambda: actions.retry(box.home, *found))
    if found[1].newest_number() > before:
        box.laws.cancelled.discard(found[1].run_id)
    box.retrying = ""
    return True


def approve(box: Box, pick: int) -> bool:
    chosen = box.plans.get("chain")
    return chosen is not None and box.act(lambda: actions.approve(box.home, chosen, "separates"))


def raise_cap(box: Box, pick: int) -> bool:
    chosen = box.plans.get("money")
    if chosen is None:
        return False
    return box.act(lambda: amend.amend(box.home, chosen, "more", chosen.budget()["cap"] + 100.0, False))


def start_by_hand(box: Box, pick: int) -> bool:
    """python -m worker RUN_DIR, here or on another host."""
    found = one_of(box.runs(), pick)
    return found is not None and _starts(box, found[1], pick, take_over=False)


def overtake_by_hand(box: Box, pick: int) -> bool:
    """The same with --take-over, where another one lives."""
    process = one_of([p for p in box.living() if p.claim], pick)
    return process is not None and _starts(box, process.run, pick, take_over=True)


def _starts(box: Box, run: RunDir, pick: int, take_over: bool) -> bool:
    process = box.spawn(run, None, take_over, (HERE, ELSEWHERE)[pick // 8 % 2])
    box.revived.add(run.run_id)
    process.turn()
    return process.claim is not None


# ---- whoever reconciles
def one_pass(box: Box, pick: int) -> bool:
    return box.one_pass()


def start_watch(box: Box, pick: int) -> bool:
    started = box.watch is None and bool(box.acknowledged)
    if started:
        box.start_watch()
    return started


def watch_dies(box: Box, pick: int) -> bool:
    was = box.watch is not None
    box.stop_watch()
    return was


def orchestrator_is_killed_at_a_write(box: Box, pick: int) -> bool:
    """Of the next command or pass, whichever comes first."""
    box.writes_left, box.torn = pick % 5, pick // 8 % 2 == 0
    return True


# ---- the engine
def engine_starts(box: Box, pick: int) -> bool:
    waiting = [task for task in box.engine.tasks.values() if task.word == WAITING]
    task = one_of(waiting, pick)
    if task is None or not box.engine.up:
        return False
    box.engine.start(task)
    return True


def engine_delivers_twice(box: Box, pick: int) -> bool:
    ended = [task for task in box.engine.tasks.values() if task.word == ENDED]
    task = one_of(ended, pick)
    if task is None or not box.engine.up:
        return False
    box.engine.start(task)
    return True


def engine_dies(box: Box, pick: int) -> bool:
    box.engine.die()
    return bool(box.engine.tasks)


def engine_cannot_start(box: Box, pick: int) -> bool:
    box.engine.broken = pick % 3 == 0
    if box.engine.broken:
        box.engine.die()
    return box.engine.broken


def engine_drops_replies(box: Box, pick: int) -> bool:
    box.engine.drops_replies = pick % 3 == 0
    return box.engine.drops_replies


def engine_is_cleaned(box: Box, pick: int) -> bool:
    """Its numbers are given anew after this."""
    ended = [number for number, task in box.engine.tasks.items() if task.word == ENDED]
    for number in ended:
        del box.engine.tasks[number]
    return bool(ended)


def engine_forgets(box: Box, pick: int) -> bool:
    number = one_of(list(box.engine.tasks), pick)
    if number is None:
        return False
    del box.engine.tasks[number]
    return True


def engine_lies(box: Box, pick: int) -> bool:
    found = one_of(box.runs(), pick)
    if found is None:
        return False
    box.engine.lies[found[1].run_id] = LIES[pick // 8 % len(LIES)]
    return True


def engine_tells_the_truth(box: Box, pick: int) -> bool:
    lied = bool(box.engine.lies)
    box.engine.lies.clear()
    return lied


def label_collides(box: Box, pick: int) -> bool:
    """Somebody adds a task of the same name; it ended at once."""
    task = one_of(list(box.engine.tasks.values()), pick)
    if task is None:
        return False
    number = box.engine.add(task.label, task.take_over)
    box.engine.tasks[number].word = ENDED
    return True


# ---- workers
def _working(box: Box, pick: int) -> Process | None:
    return one_of([p for p in box.living() if p.claim and not p.stopped], pick)


def worker_turns(box: Box, pick: int) -> bool:
    """It claims, or steps and beats, or saves and leaves, or finishes."""
    process = one_of(box.living(), pick)
    if process is None:
        return False
    box.advance(1.0)
    process.turn()
    return True


def all_workers_turn(box: Box, pick: int) -> bool:
    box.advance(1.0)
    for process in box.living():
        process.turn()
    return bool(box.living())


def worker_saves(box: Box, pick: int) -> bool:
    """One that was overtaken, where there is one: it must be refused."""
    process = one_of([p for p in box.living() if p.is_outranked()], pick) or _working(box, pick)
    if process is None:
        return False
    process.commit_blindly()
    return True


def worker_dies(box: Box, pick: int) -> bool:
    process = one_of(box.living(), pick)
    if process is None:
        return False
    process.die()
    return True


def _unclaimed(box: Box, pick: int) -> Process | None:
    return one_of([p for p in box.living() if p.claim is None], pick)


def worker_dies_unclaimed(box: Box, pick: int) -> bool:
    """In its imports. Where none has just been started, what the engine or the watch starts next."""
    for starts in (engine_starts, one_pass):
        if _unclaimed(box, pick) is None:
            starts(box, pick)
    process = _unclaimed(box, pick)
    if process is None:
        return False
    process.die()
    return True


def worker_fails(box: Box, pick: int) -> bool:
    process = _working(box, pick)
    if process is None:
        return False
    kinds = ("gpu_busy",) if pick % 2 else (*ALWAYS, *THREE_TIMES, *NEVER_RETRIED)  # one class again and again, or any
    process.fail(one_of(kinds, pick // 8))
    return True


def a_run_keeps_failing(box: Box, pick: int) -> bool:
    """Whenever it starts, with the same class."""
    found = one_of([(p, r) for p, r in box.runs() if not r.has_result()], pick)
    before = len(found[1].attempts()) if found else 0
    for _ in range(12) if found else ():
        box.advance(5.0)
        box.one_pass()
        for task in [t for t in box.engine.tasks.values() if box.engine.up and t.word == WAITING]:
            box.engine.start(task)
        for process in box.living(found[1]):
            process.turn()
            if process.alive and process.claim and not process.stopped:
                process.fail("gpu_busy")
        box.look()
    return found is not None and len(found[1].attempts()) > before + 1


def worker_hangs(box: Box, pick: int) -> bool:
    process = _working(box, pick)
    if process is None:
        return False
    process.stopped = True
    return True


def stopped_worker_wakes_and_commits(box: Box, pick: int) -> bool:
    """Where it was stopped between its look and its commit."""
    process = one_of([p for p in box.living() if p.stopped], pick)
    if process is None:
        return False
    process.stopped = False
    if process.claim:
        process.commit_blindly()
    return True


def extraction_comes_out_badly(box: Box, pick: int) -> bool:
    box.separation = 0.5 if pick % 4 == 0 else 0.95
    return True


# ---- the box
def time_passes(box: Box, pick: int) -> bool:
    box.advance(one_of((2.0, 5.0, 20.0, 70.0, 130.0), pick))
    return True


def minutes_pass_under_the_watch(box: Box, pick: int) -> bool:
    """Long enough for it to end what is silent, and to overtake what is silent elsewhere."""
    for _ in range(8):
        box.advance(35.0)
        box.one_pass()
        for process in box.living() if pick % 4 == 0 else ():
            if process.claim is None:  # no launch gets as far as its claim in these minutes
                process.die()
        box.look()
    return box.watch is not None


def reboot(box: Box, pick: int) -> bool:
    for process in box.living():
        if process.host == HERE:
            process.die()
    box.stop_watch()
    box.engine.die()
    box.clock.boots[HERE] += "+"
    box.clock.booted_at[HERE] = box.clock.true
    return True


def other_host_is_lost(box: Box, pick: int) -> bool:
    far = [p for p in box.living() if p.host == ELSEWHERE]
    for process in far:
        process.die()
    return bool(far)


def wall_clock_jumps(box: Box, pick: int) -> bool:
    """An hour on or back, or to 1970; the other host's may too."""
    host = (HERE, HERE, HERE, ELSEWHERE)[pick // 4 % 4]
    seconds = one_of((3600.0, -3600.0, 86400.0, -box.clock.wall_at_0[host]), pick)
    box.clock.wall_at_0[host] += seconds
    box.laws.last_jump = box.clock.true
    box.laws.set_back |= seconds < 0 and any(p.claim for p in box.living())
    return True


def disk_fills(box: Box, pick: int) -> bool:
    box.disk_full = True
    return True


def disk_has_room(box: Box, pick: int) -> bool:
    was, box.disk_full = box.disk_full, False
    return was


WEIGHTS: dict[Action, int] = {
    plan: 1, submit: 3, resume: 3, cancel: 1, retry: 3, approve: 2, raise_cap: 1, start_by_hand: 2, overtake_by_hand: 2,
    one_pass: 36, start_watch: 10, watch_dies: 1, orchestrator_is_killed_at_a_write: 2,
    engine_starts: 16, engine_delivers_twice: 2, engine_dies: 1, engine_cannot_start: 2, engine_drops_replies: 2,
    engine_is_cleaned: 1, engine_forgets: 1, engine_lies: 1, engine_tells_the_truth: 2, label_collides: 1,
    worker_turns: 8, all_workers_turn: 8, worker_saves: 4, worker_dies: 3, worker_dies_unclaimed: 3,
    worker_fails: 2, a_run_keeps_failing: 2, worker_hangs: 4, stopped_worker_wakes_and_commits: 3,
    extraction_comes_out_badly: 1,
    time_passes: 8, minutes_pass_under_the_watch: 4,
    reboot: 1, other_host_is_lost: 2, wall_clock_jumps: 2, disk_fills: 1, disk_has_room: 3,
}  # fmt: skip
ESSENTIAL = (
    *(action.__name__ for action in WEIGHTS),
    *(f"state {s}" for s in ("planned", "blocked", "queued", "running", "preempted", "done", "failed", "cancelled")),
    *(f"due {d}" for d in ("nothing", "submit", "take_over", "withdraw", "stop", "end", "record_error")),
    *("SIGTERM", "SIGKILL", "write refused"),
)


def happen(box: Box, action: Action, pick: int) -> None:
    box.reached[action.__name__] += action(box, pick)
    box.look()


# ---- Hypothesis
class Machine(RuleBasedStateMachine):
    reached: Counter[str]  # by all histories together

    def __init__(self) -> None:
        super().__init__()
        self.box = Box()
        self.box.reached = self.reached
        happen(self.box, plan, 0)

    @initialize(pick=st.integers(0, 255))
    def begin(self, pick: int) -> None:
        happen(self.box, plan, 1)
        happen(self.box, submit, pick)

    @rule(pick=st.integers(0, 255))
    def the_other_host_takes_a_run_and_is_lost(self, pick: int) -> None:
        """Two rules that rarely meet by themselves: in 300 histories they did not once."""
        happen(self.box, overtake_by_hand, pick | 8)  # there, not here
        happen(self.box, other_host_is_lost, pick)

    def teardown(self) -> None:
        try:
            self.box.settle()
        finally:
            self.box.close()


def _as_rule(action: Action) -> Any:
    def method(self: Machine, pick: int, life_goes_on: bool) -> None:
        happen(self.box, action, pick)
        if life_goes_on:
            for usual in (one_pass, engine_starts, all_workers_turn):
                happen(self.box, usual, pick)

    method.__name__ = action.__name__
    return rule(pick=st.integers(0, 255), life_goes_on=st.booleans())(method)


for _action in WEIGHTS:
    setattr(Machine, _action.__name__, _as_rule(_action))


def explore(examples: int, steps: int) -> Counter[str]:
    Machine.reached = Counter()
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
    return Machine.reached


def test_any_history_keeps_every_law_and_every_run_ends() -> None:
    reached = explore(examples=25, steps=40)
    rules = [action.__name__ for action in WEIGHTS]
    assert sum(reached[name] > 0 for name in rules) > 0.75 * len(rules), reached


def test_many_histories_keep_every_law() -> None:
    """Which rare rules Hypothesis meets is its luck, and turns with every edit of a rule: ten walks meet the others."""
    reached = explore(examples=200, steps=80) + reached_in(10, 200)
    assert not [what for what in ESSENTIAL if not reached[what]], reached


# ---- walks
def walk(seed: int, length: int) -> Counter[str]:
    rng, box = random.Random(seed), Box()
    history: list[str] = []
    try:
        for action, pick in [(plan, 0), (plan, 1), (submit, seed)] + [
            (rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0], rng.randrange(256)) for _ in range(length)
        ]:
            history.append(f"{action.__name__} {pick}")
            happen(box, action, pick)
        history.append("settle")
        box.settle()
        box.separation = 0.95
        for plan_dir in box.plans.values():
            actions.submit(box.home, plan_dir, None if plan_dir.request() else "local", None)
            box.acknowledged.add(plan_dir.plan_id)
        for _ in range(LONGEST_CHAIN):  # each waits for the one before it, and may be cancelled itself
            history.append("retry all, settle")
            retry_all(box)
            found = box.settle()
        failed_gate = durable.read_json(box.plans["chain"].runs()[0].result_path)["metrics"]["separation"] < 0.9
        left = {i for i, d in found.items() if d.state != "done"}
        assert not left or (failed_gate and all("erase" in i for i in left)), {i: found[i] for i in left}
        return box.reached
    except BaseException as error:
        error.add_note(f"seed {seed}: " + ", ".join(history[-40:]))
        raise
    finally:
        box.close()


def retry_all(box: Box) -> None:
    """What failed or was cancelled goes on by one command; where a gate has failed it may not."""
    for plan_dir, run in box.runs():
        if box.laws.ended.get(run.run_id) in ("failed", "cancelled"):
            box.retrying = run.run_id
            box.revived.add(run.run_id)
            with contextlib.suppress(Refused):
                actions.retry(box.home, plan_dir, run)
                box.laws.cancelled.discard(run.run_id)
            box.retrying = ""


def test_a_chain_cancelled_before_it_began_comes_home_by_a_retry_after_each_end() -> None:
    """A retry is refused, and changes nothing, while what its run waits for is not done."""
    box = Box()
    try:
        happen(box, plan, 0)
        for plan_dir, run in box.runs():
            actions.cancel(box.home, plan_dir, run)
            box.laws.cancelled.add(run.run_id)
        happen(box, submit, 0)
        for cancelled in (["erase", "eval-erase"], ["eval-erase"], []):
            retry_all(box)
            found = box.settle()
            assert [i.partition("-s41")[0] for i, d in found.items() if d.state == "cancelled"] == cancelled
        assert all(d.state == "done" for d in found.values())
    finally:
        box.close()


def reached_in(seeds: int, actions: int) -> Counter[str]:
    return sum((walk(seed, actions) for seed in range(seeds)), Counter())


def test_long_walks_keep_every_law_and_every_run_comes_home() -> None:
    """And they meet every rule, state, due and signal: one that never fires proves nothing."""
    reached = reached_in(10, 200)
    assert not [what for what in ESSENTIAL if not reached[what]]


def test_many_long_walks_keep_every_law() -> None:
    reached = reached_in(80, 400)
    assert not [what for what in ESSENTIAL if reached[what] < 5], reached
