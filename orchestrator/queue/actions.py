"""What a user may ask of planned runs: submit, resume, cancel, retry. Each records the request and makes one pass."""

from __future__ import annotations

import contextlib
import getpass
import sys
from collections.abc import Callable

from core.runs.run_dir import RunDir
from orchestrator.backends import BACKENDS, Order, Unreachable, default_backend, require_known
from orchestrator.planning.readiness import missing_here, threads_beyond_cores
from orchestrator.queue.reconcile import Reconciler
from orchestrator.queue.watch import start_detached
from orchestrator.refusal import UNREACHABLE, Refused
from orchestrator.state import gates
from orchestrator.state.blinding import record_reopening
from orchestrator.state.observed_plan import ObservedPlan
from orchestrator.state.observed_run import record_retry
from orchestrator.state.run_inputs import missing_rows
from orchestrator.store import snapshot
from orchestrator.store.home import Home
from orchestrator.store.plan_dir import PlanDir, all_plans, read_spec


def submit(home: Home, plan: PlanDir, backend: str | None, slots: int | None) -> tuple[str, int]:
    """All or nothing: the request is one file; every pass queues what may run. Returns the backend and its slots."""
    old = plan.request()
    name = backend or (old["backend"] if old else default_backend())
    count = slots or (old["slots"] if old else plan.slots)
    require_known(name)
    _require_slots(plan, slots)
    _require_runnable(home, plan)
    with home.applying():
        try:
            BACKENDS[name](home).ensure(min([count, *_slots_of_others(home, plan, name)]))
        except Unreachable as error:
            raise Refused(f"backend {name}: {error}; nothing was submitted", UNREACHABLE) from None
        if old and old["backend"] != name:
            _take_back(home, plan, old["backend"])
        plan.record_request(name, count)
        reconciler = Reconciler(home, say=lambda line: None)
        reconciler.ensured(plan)
        reconciler.one_pass()
    start_detached(home)
    return name, count


def warnings(plan: PlanDir, slots: int) -> list[str]:
    """What makes it slower here than it could be, and stops nothing."""
    return threads_beyond_cores(slots, [read_spec(run).config for run in plan.runs()])


def _slots_of_others(home: Home, plan: PlanDir, backend: str) -> list[int]:
    """Of open plans on the same engine, whose group is the home's."""
    others = [(p, p.request()) for p in all_plans(home) if p.plan_id != plan.plan_id]
    return [
        request["slots"]
        for other, request in others
        if request is not None
        and request["backend"] == backend
        and any(map(ObservedPlan(other).progresses, other.run_ids))
    ]


def _take_back(home: Home, plan: PlanDir, backend: str) -> None:
    """What waits in the engine that is left; what runs there runs on."""
    if backend not in BACKENDS:
        return  # of another version of grpoq: whatever it still starts is refused, its number is taken
    for run in plan.runs():
        if run.newest_number() and run.newest_number() not in run.attempts():
            with contextlib.suppress(Unreachable):  # then its task comes too late and is refused: the number is taken
                BACKENDS[backend](home).cancel(run)


def resume(home: Home) -> int:
    """One pass now. Returns how many submitted runs can still be brought on."""
    home.require_writable()
    with home.applying():
        left = _pass(home, say=lambda line: print(line, file=sys.stderr))
    if left:
        start_detached(home)
    return left


def cancel(home: Home, plan: PlanDir, run: RunDir) -> None:
    home.require_writable()
    with home.applying():
        state = ObservedPlan(plan).state(run.run_id)
        if state in ("done", "failed"):
            raise Refused(f"{run.run_id} is {state}; there is nothing to stop")
        if state != "cancelled":
            run.cancel()
            _pass(home)
    if plan.request() is not None:
        start_detached(home)  # the watch repeats the request until the worker is gone


def retry(home: Home, plan: PlanDir, run: RunDir) -> int:
    """A new submission after a failure or a cancel. Returns its number."""
    request = plan.request()
    home.require_writable()
    with home.applying():
        observed = ObservedPlan(plan)
        state = observed.state(run.run_id)
        if state not in ("failed", "cancelled"):
            if request is not None and state != "done":
                start_detached(home)  # a retry that died after its submission left nobody to bring it on
            raise Refused(f"{run.run_id} is {state}; only a failed or cancelled run can be retried")
        if request is None:
            raise Refused(f"plan {plan.plan_id} was never submitted; `grpoq submit` first")
        require_known(request["backend"])
        _require_runnable(home, plan)
        held = observed.held(run.run_id)
        if held:
            raise Refused(f"{run.run_id} cannot go on: {held}")
        record_reopening(observed, run.run_id)
        away = bool(observed.look(run.run_id)[0].away)  # cancelled on a host that is out of reach
        order = Order(run, read_spec(run).config.threads, plan.run_ids.index(run.run_id), away)
        backend = BACKENDS[request["backend"]](home)
        try:
            backend.ensure(request["slots"])
            record_retry(run)
            number = backend.submit(order)
        except Unreachable as error:
            raise Refused(f"backend {request['backend']}: {error}; try again once it answers", UNREACHABLE) from None
    start_detached(home)
    return number


def approve(home: Home, plan: PlanDir, name: str) -> str:
    """Returns the sentence for the user. Raises Refused where there is nothing to approve."""
    home.require_writable()
    with home.applying():
        verdicts = {verdict.gate["name"]: verdict for verdict in ObservedPlan(plan).verdicts()}
        if name not in verdicts:
            raise Refused(f"plan {plan.plan_id} has no gate {name!r}; it has {', '.join(verdicts) or 'none'}")
        verdict = verdicts[name]
        passed = verdict.state == "passed"
        if not passed:
            if verdict.state != "needs approval":
                raise Refused(f"gate {name} {verdict.state}, approval cannot change that: {verdict.note}")
            gates.approve(plan, name, getpass.getuser())
    go_on(home, plan)  # also where it had passed: an approval that died may have left no watch
    return f"gate {name} has passed already" if passed else f"gate {name} passed"


def go_on(home: Home, plan: PlanDir) -> None:
    """What stood still may move again."""
    if plan.request() is not None:
        with home.applying():
            _pass(home)
        start_detached(home)


def _pass(home: Home, say: Callable[[str], None] = lambda line: None) -> int:
    return Reconciler(home, say=say).one_pass()


def _require_slots(plan: PlanDir, slots: int | None) -> None:
    if slots is not None and slots < 1:
        raise Refused(f"--slots {slots}; it must be at least 1")
    if slots is not None and slots > plan.slots:
        raise Refused(
            f"--slots {slots}, but {plan.plan_id} was planned for {plan.slots}; plan again with --slots {slots}: "
            "it stays the same plan"
        )


def _require_runnable(home: Home, plan: PlanDir) -> None:
    """Whatever can be known to be missing now, rather than in every run an hour later."""
    home.require_writable()
    floor = 0.0
    open_configs = []
    for run in plan.runs():
        spec = read_spec(run)
        open_configs += [] if run.has_result() else [spec.config]
        floor = max(floor, spec.config.disk_floor_gb)
        for path in missing_rows(run, spec.config):
            flags = "--problems FILE.jsonl" + (" --held-out FILE.jsonl" if spec.config.held_out_sha256 else "")
            raise Refused(f"{path} is missing: {plan.plan_id} takes benchmark rows; plan again with {flags}")
    missing = missing_here(open_configs)
    if missing:
        raise Refused("; ".join(missing))
    home.require_free_disk(floor)
    for name in sorted({run.snapshot() for run in plan.runs() if not run.has_result()}):
        wrong = snapshot.mismatch(home.snapshots, name)
        if wrong:
            raise Refused(f"{wrong}; put it back, or `grpoq amend --code --reason WHY` for runs that have not begun")
