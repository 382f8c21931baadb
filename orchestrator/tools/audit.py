"""python -m orchestrator.tools.audit HOME: proof from the files left that nothing was lost, doubled or trained twice.

It believes no state and no log line: each law compares records that different processes wrote at different moments.
Times are compared by CLOCK_BOOTTIME within one boot only; across boots and hosts, the order of events.jsonl decides,
which is written under the run's lock. For homes at rest: of one at work it may see half of a pass.

It cannot see what left no record: a worker that trained and died before its first row, or a checkpoint's tensors.
"""

from __future__ import annotations

import itertools
import re
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from core.runs import durable
from core.runs.run_dir import RunDir
from orchestrator.refusal import Refused
from orchestrator.state.decide import TERMINAL
from orchestrator.state.observed_plan import ObservedPlan
from orchestrator.store import snapshot
from orchestrator.store.home import Home
from orchestrator.store.plan_dir import PlanDir, all_plans, read_spec
from orchestrator.store.plan_hash import difference

COMMITS = ("checkpoint", "result")
STEADY_S = 1.0  # two clocks that drift less than this between two claims: nobody set the wall clock


@dataclass
class Audit:
    findings: list[str] = field(default_factory=list)
    runs: int = 0
    attempts: int = 0
    commits: int = 0

    def summary(self) -> str:
        counted = f"{self.runs} runs, {self.attempts} attempts, {self.commits} commits checked"
        return f"{counted}: nothing wrong" if not self.findings else f"{counted}: {len(self.findings)} findings"


def audit(home: Home) -> list[str]:
    """Sentences that name run, attempt and event; empty: every law holds."""
    return examine(home).findings


def examine(home: Home) -> Audit:
    done = Audit()
    for plan in all_plans(home):
        done.findings += [*_acknowledged(plan), *_locked(plan)]
    paths = sorted(home.runs.iterdir()) if home.runs.is_dir() else []
    for path in (p for p in paths if p.is_dir() and not p.name.startswith(".")):
        evidence = Evidence(RunDir(path))
        done.runs += 1
        done.attempts += len(evidence.attempts)
        done.commits += sum(event["event"] in COMMITS for event in evidence.events)
        done.findings += [f"{path.name}: {finding}" for law in LAWS for finding in law(evidence)]
    done.findings += _registry(home)
    return done


class Evidence:
    """One run's records, each read once."""

    def __init__(self, run: RunDir) -> None:
        self.run = run
        self.attempts = run.attempts()
        rows = durable.read_lines(run.events_path)
        self.events = [row for row in rows if isinstance(row, dict) and {"event", "attempt", "clock"} <= row.keys()]
        self.submissions = [row for row in durable.read_lines(run.submissions_path) if isinstance(row, dict)]
        self.spec = durable.read_json(run.spec_path) or {}
        self.claims: dict[int, int] = {}  # attempt: place in events of the claim that counts
        for place, event in enumerate(self.events):
            if event["event"] == "claim":
                self.claims[event["attempt"]] = place

    @cached_property
    def rows(self) -> dict[int, list[dict[str, Any]]]:
        """Metrics rows by attempt, each with the clock at which it was written."""
        return {number: self._timed(number) for number in self.attempts}

    def _timed(self, number: int) -> list[dict[str, Any]]:
        files = [durable.read_lines(self.run.attempt(number) / name) for name in ("metrics.jsonl", "clocks.jsonl")]
        rows, clocks = ([row for row in file if isinstance(row, dict) and "step" in row] for file in files)
        written = {row["step"]: row.get("clock", 0.0) for row in clocks}
        return [row | {"clock": written.get(row["step"], 0.0)} for row in rows]

    @cached_property
    def numbers(self) -> list[int]:
        return [s.number for s in self.run.submissions()]

    def place(self, attempt: int, what: str, step: int | None) -> int | None:
        """Of the attempt's last such event."""
        wanted = (attempt, what, step)
        found = [i for i, e in enumerate(self.events) if (e["attempt"], e["event"], e.get("step")) == wanted]
        return found[-1] if found else None

    def is_last_of(self, place: int) -> bool:
        """The attempt left nothing after this event: it may have died before the deed that the event announces."""
        attempt = self.events[place]["attempt"]
        return all(event["attempt"] != attempt for event in self.events[place + 1 :])


# ---- 1: nothing acknowledged is lost
def _acknowledged(plan: PlanDir) -> Iterator[str]:
    observed = ObservedPlan(plan)
    for run_id in plan.run_ids:
        run = plan.home.run(run_id)
        try:
            read_spec(run)
        except Refused as refusal:
            yield f"{run_id}: planned in {plan.plan_id} and lost: {refusal}"
            continue
        decision = observed.decision(run_id)
        if decision.state in TERMINAL:
            continue
        if wrong := snapshot.mismatch(plan.home.snapshots, run.snapshot()):
            yield f"{run_id}: {decision.state}, and cannot go on: {wrong}"
        held = decision.state == "blocked" or decision.held == "budget"
        if observed.request is not None and not (observed.progresses(run_id) or held):
            yield f"{run_id}: submitted with {plan.plan_id}, is {decision.state}, and nothing brings it on"


def _locked(plan: PlanDir) -> Iterator[str]:
    """What is stored is what the hash was taken over; a spec that is lost is told of above."""
    changed = difference(plan)
    if changed and "missing or torn" not in changed:
        yield changed


def _submissions(e: Evidence) -> Iterator[str]:
    """Numbers are allotted one by one under the run's lock, so a gap is a line that was lost."""
    for number in range(1, max(e.numbers, default=0)):
        if number not in e.numbers:
            yield f"submission {number} is lost: submissions.jsonl goes on to {max(e.numbers)}"
    for number in e.numbers:
        of_number = [row.get("engine_id") for row in e.submissions if row.get("number") == number]
        engines = {engine for engine in of_number if engine}
        if of_number.count(None) > 1:
            yield f"submission {number} was allotted {of_number.count(None)} times"
        if len(engines) > 1:
            yield f"submission {number} was launched {len(engines)} times: {', '.join(sorted(engines))}"
    launched = [int(path.stem[7:]) for path in e.run.path.glob("launch-*.log")]
    for number in sorted({*launched, *e.attempts, *e.claims} - set(e.numbers)):
        what = "attempt" if number in e.attempts else "launch"
        yield f"{what} {number} has no submission: its line in submissions.jsonl is lost"
    yield from _wishes(e)


def _wishes(e: Evidence) -> Iterator[str]:
    newest = max(e.numbers, default=0)
    after = {}
    for name in ("cancel", "retry"):
        row = durable.read_json(e.run.path / f"{name}.json")
        if row is not None:
            after[name] = row["after_submission"]
            if after[name] > newest:
                yield f"{name}.json follows submission {after[name]}, the last one on disk is {newest}"
    if "cancel" in after and after["cancel"] < newest and after.get("retry", -1) < after["cancel"]:
        yield f"submission {after['cancel'] + 1} revived a cancelled run, and nobody asked for a retry"


# ---- 2: one attempt at a time
def _claims(e: Evidence) -> Iterator[str]:
    newest, clocks = 0, dict[str, float]()
    for place, event in enumerate(e.events):
        number, boot = event["attempt"], event["boot_id"]
        if event["clock"] < clocks.get(boot, 0.0):
            yield f"event {place + 1} ({_name(event)}) is older than the one before it"
        clocks[boot] = event["clock"]
        if event["event"] == "claim":
            if number < newest or (number == newest and not _never_arrived(e, place, number)):
                yield f"event {place + 1}: attempt {number} was claimed after attempt {newest}"
            newest = max(newest, number)
        elif number != newest:
            yield f"event {place + 1}: attempt {number} committed a {_name(event)} after the claim of {newest}"
    for number in e.attempts:
        if number not in e.claims:
            yield f"attempt {number} has no claim in events.jsonl"
        elif (beat := e.run.heartbeat(number)) and beat["pid"] != e.events[e.claims[number]]["pid"]:
            yield f"attempt {number} beats as pid {beat['pid']}, claimed by {e.events[e.claims[number]]['pid']}"


def _never_arrived(e: Evidence, place: int, number: int) -> bool:
    """Its first claimant died between the event and the rename: it wrote nothing, and the second one's claim counts."""
    return all(event["attempt"] != number or event["event"] == "claim" for event in e.events[:place])


def _overlaps(e: Evidence) -> Iterator[str]:
    """Where the newer one did not take over on purpose, the older had fallen silent before it began."""
    claimed = sorted(n for n in e.claims if n in e.attempts)
    for older, newer in itertools.pairwise(claimed):
        first, second = e.events[e.claims[older]], e.events[e.claims[newer]]
        if older in second.get("over", ()) or first["boot_id"] != second["boot_id"]:
            continue  # fenced, or ended with its boot: its commits are judged by the order of events
        for row in e.rows[older]:
            if row.get("clock", 0.0) > second["clock"]:
                yield (
                    f"attempt {older} wrote step {row['step']} {row['clock'] - second['clock']:.3f} s after "
                    f"the claim of {newer}: two attempts at once"
                )
                break
        passed = second["clock"] - first["clock"]
        steady = abs(second["time"] - first["time"] - passed) < STEADY_S
        beat = (e.run.heartbeat(older) or {}).get("beat", 0.0)
        if steady and beat > second["time"] + STEADY_S:
            yield f"attempt {older} beat {beat - second['time']:.1f} s after the claim of {newer}: two attempts at once"


# ---- 3: one result, the last word
def _result(e: Evidence) -> Iterator[str]:
    for place, event in enumerate(e.events[:-1]):
        if event["event"] == "result":
            after, left = e.events[place + 1], durable.read_json(e.run.attempt(event["attempt"]) / "exit.json") or {}
            # A death between event and publication is no result, and a newer attempt may claim and give another.
            if after["event"] != "claim" or left.get("exit_code") == 0:
                yield f"event {place + 2} ({_name(after)}, attempt {after['attempt']}) follows a result"
    for path in sorted(e.run.path.glob("result*.json")):
        if path != e.run.result_path:
            yield f"a second result: {path.name}"
    if not e.run.has_result():
        return
    if not e.events or e.events[-1]["event"] != "result":
        yield "result.json is there, and the last event is no result"
    elif e.events[-1]["attempt"] != max(e.claims, default=0):
        yield f"the result is by attempt {e.events[-1]['attempt']}, the newest is {max(e.claims, default=0)}"
    result = durable.read_json(e.run.result_path)
    if result is None:
        yield "result.json is torn"
    elif result.get("attempts", len(e.attempts)) != len(e.attempts):
        yield f"result.json counts {result['attempts']} attempts, there are {len(e.attempts)}"


# ---- 4: the surviving lineage
def _lineage(e: Evidence) -> Iterator[str]:
    """Each attempt goes on right after a checkpoint that was there when it began; every step stands exactly once."""
    if e.spec.get("kind") != "train":
        return
    starts: dict[int, int] = {}
    for number, rows in e.rows.items():
        steps = [row["step"] for row in rows]
        if not steps:
            continue
        starts[number] = steps[0]
        if steps != list(range(steps[0], steps[0] + len(steps))):
            yield f"attempt {number} wrote steps {_short(steps)}: not one after the other"
        yield from _started_right(e, number, steps[0])
    found = []
    for number in starts:
        until = min((s for later, s in starts.items() if later > number), default=None)
        found += [row["step"] for row in e.rows[number] if until is None or row["step"] < until]
    wanted = e.spec["config"]["steps"] if e.run.has_result() else max(found, default=0)
    for step in sorted(set(range(1, wanted + 1)) - set(found)):
        yield f"step {step} of {wanted} stands nowhere"
    for step in sorted({s for s in found if found.count(s) > 1 or s > wanted}):
        yield f"step {step} of {wanted} stands {found.count(step)} times"


def _started_right(e: Evidence, number: int, first: int) -> Iterator[str]:
    if first == 1 or number not in e.claims:
        return
    before = e.events[: e.claims[number]]
    if not any(event["event"] == "checkpoint" and event["step"] == first - 1 for event in before):
        yield f"attempt {number} starts with step {first}, and no checkpoint of {first - 1} was there when it began"


# ---- 5: checkpoints and events tell the same
def _checkpoints(e: Evidence) -> Iterator[str]:
    standing: dict[int, int] = {}  # step: the attempt that it names
    for folder in sorted(e.run.checkpoints.glob("step_*")):
        if not re.fullmatch(r"step_\d{6,}", folder.name):
            continue
        step, state = int(folder.name[5:]), durable.read_json(folder / "state.json")
        if not isinstance(state, dict) or state.get("step") != step:
            yield f"checkpoint {folder.name}: state.json is torn, or of another step"
            continue
        standing[step] = state.get("attempt", 0)
        place = e.place(standing[step], "checkpoint", step)
        if place is None:
            yield f"checkpoint {folder.name} says attempt {standing[step]}, and no event tells of it"
            continue
        published = e.events[place]
        for row in e.rows.get(standing[step], ()):
            if row["step"] <= step and row.get("clock", 0.0) > published["clock"]:
                yield f"attempt {standing[step]} trained step {row['step']} after its checkpoint of step {step}"
                break
    for place, event in enumerate(e.events):
        if event["event"] != "checkpoint" or e.is_last_of(place):
            continue
        if any(after["event"] == "removal" and after.get("step") == event["step"] for after in e.events[place + 1 :]):
            continue
        newer = [n for n in e.claims if n > event["attempt"]]
        if standing.get(event["step"]) not in (event["attempt"], *newer):
            yield f"event {place + 1}: checkpoint of step {event['step']} by attempt {event['attempt']} is not there"


LAWS = (_submissions, _claims, _overlaps, _result, _lineage, _checkpoints)


# ---- 6: the registry's log
def _registry(home: Home) -> Iterator[str]:
    seen: dict[str, dict[str, int]] = {}
    for number, run_id, what, attempt in _log(home.registry):
        last = seen.setdefault(run_id, {"submitted": 0, "launched": 0})
        where = f"{run_id}: entry {number} of the registry's log"
        if what in last and attempt:
            if attempt <= last[what]:
                again = "twice" if attempt == last[what] else f"after {last[what]}"
                yield f"{where}: submission {attempt} was {what} {again}"
            if what == "submitted" and attempt <= last["launched"]:
                yield f"{where}: submission {attempt} was submitted after its launch"
            if attempt not in [s.number for s in home.run(run_id).submissions()]:
                yield f"{where}: submission {attempt} was {what}, its line in submissions.jsonl is lost"
            if "done" in last:
                yield f"{where}: submission {attempt} was {what} after the run was done"
            last[what] = max(last[what], attempt)
        elif what == "done":
            last["done"] = 1


def _log(path: Path) -> list[tuple[int, str, str, int | None]]:
    """By number. An index that cannot be read proves nothing and refutes nothing."""
    if not path.is_file():
        return []
    mode = "mode=ro" if path.with_name(path.name + "-wal").exists() else "immutable=1"
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True, timeout=10)
        try:
            return list(connection.execute("SELECT number, run_id, what, attempt FROM event ORDER BY number"))
        finally:
            connection.close()
    except sqlite3.DatabaseError:
        return []


def _name(event: dict[str, Any]) -> str:
    return event["event"] if event.get("step") is None else f"{event['event']} of step {event['step']}"


def _short(steps: list[int]) -> str:
    return ", ".join(map(str, steps)) if len(steps) <= 12 else f"{', '.join(map(str, steps[:11]))}, ..."


def main(argv: list[str]) -> int:
    if len(argv) != 1 or not Path(argv[0]).is_dir():
        print("usage: python -m orchestrator.tools.audit HOME (a directory with plans/ and runs/)", file=sys.stderr)
        return 2
    done = examine(Home(Path(argv[0]).absolute()))
    for finding in done.findings:
        print(finding)
    print(done.summary())
    return 1 if done.findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
