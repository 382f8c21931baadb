"""A matrix spelled out: every run in the order in which it may start, and what each gate stands before.

Jobs first, then one seed of every arm before the second seed, then evaluations: a lost box leaves a balanced matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.planning.matrix import BASE, BASE_SEED, Arm, Gate, Job, Matrix
from orchestrator.refusal import Refused


@dataclass(frozen=True)
class Entry:
    """A run before it has an id."""

    kind: str
    label: str
    arm: str
    seed: int
    source: Arm | Job  # whose config it takes
    of: Entry | None = None  # eval: the training run that must be done first; none: the base model

    @property
    def name(self) -> str:
        return f"{self.label}-s{self.seed}"


def expand(matrix: Matrix, arms: Sequence[Arm], wanted: tuple[int, ...] | None) -> list[Entry]:
    """`arms`: those that are chosen; `wanted`: the seeds that replace the matrix's."""
    seeds = {arm.label: wanted or arm.seeds or matrix.seeds for arm in arms}
    order = list(dict.fromkeys(seed for arm in arms for seed in seeds[arm.label]))
    trained = [Entry("train", a.label, a.name, seed, a) for seed in order for a in arms if seed in seeds[a.label]]
    first: list[Entry] = []
    last: list[Entry] = []
    for job in matrix.jobs:
        if job.kind == "fit":
            first.append(_fit(matrix, job, arms, order[0] if job.seed is None else job.seed))
        elif job.kind == "eval":
            of = job.of or (BASE, *(arm.label for arm in arms))
            last += [_of_base(job)] if BASE in of else []
            last += [_evaluation(job, t) for t in trained if t.label in of]
        else:
            first.append(Entry(job.kind, job.name, "", order[0] if job.seed is None else job.seed, job))
    entries = first + trained + last
    names = [entry.name for entry in entries]
    for name in names:
        if names.count(name) > 1:
            raise Refused(f"plan {matrix.name}: two runs would be called {name}; give a job or an arm another name")
    families: dict[str, tuple[str, str]] = {}
    for entry in entries:
        if families.setdefault(entry.label, (entry.kind, family(entry))) != (entry.kind, family(entry)):
            raise Refused(f"plan {matrix.name}: {entry.label} names two sorts of runs; give a job or arm another name")
    return entries


def _evaluation(job: Job, of: Entry) -> Entry:
    """Its config is its arm's, because the weights are, then its job's."""
    source = replace(job, config=of.source.config | job.config)
    return Entry("eval", f"{job.name}-{of.label}", of.arm, of.seed, source, of)


def _fit(matrix: Matrix, job: Job, arms: Sequence[Arm], seed: int) -> Entry:
    """A step of one arm, at its own numbers, and a shard of the evaluation that the matrix plans."""
    arm = next((arm for arm in arms if arm.label in (job.of or ())), arms[0])
    evaluation = next((other.config for other in matrix.jobs if other.kind == "eval"), {})
    shape = {name: evaluation[name] for name in ("eval_problems", "eval_samples") if name in evaluation}
    return Entry("fit", job.name, arm.name, seed, replace(job, config=arm.config | shape | job.config))


def _of_base(job: Job) -> Entry:
    """Once for the whole matrix, by the matrix's and the job's config: what an arm has of its own does not count."""
    return Entry("eval", f"{job.name}-{BASE}", "", BASE_SEED if job.seed is None else job.seed, job)


def gate_entries(matrix: Matrix, entries: Sequence[Entry]) -> list[tuple[Gate, Entry, list[Entry]]]:
    """Of each gate: the run that it reads, and the runs that wait for it. Raises Refused."""
    found = []
    for gate in matrix.gates:
        read = _read_by(gate, entries)
        if read is None:
            names = ", ".join(e.name for e in entries if e.kind != "eval")
            raise Refused(
                f"plan {matrix.name}, gate {gate.name}: run = {gate.run!r} is not among the planned runs ({names}); "
                "plan that arm and seed too, or write a plan file without the gate"
            )
        behind = [e for e in entries if e is not read and family(e) in gate.before]
        found.append((gate, read, behind))
    _require_no_circle(matrix, found, entries)
    return found


def _read_by(gate: Gate, entries: Sequence[Entry]) -> Entry | None:
    exact = [e for e in entries if e.name == gate.run]
    return next(iter(exact or [e for e in entries if e.label == gate.run]), None)


def family(entry: Entry) -> str:
    """The name in the plan file: of an eval run its job's."""
    return entry.source.name if isinstance(entry.source, Job) else entry.label


def _require_no_circle(
    matrix: Matrix, gates: Sequence[tuple[Gate, Entry, list[Entry]]], entries: Sequence[Entry]
) -> None:
    in_front: dict[str, set[str]] = {entry.name: {entry.of.name} for entry in entries if entry.of is not None}
    for _, read, behind in gates:
        for entry in behind:
            in_front.setdefault(entry.name, set()).add(read.name)

    def walk(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            circle = " -> ".join([*path[path.index(name) :], name])
            raise Refused(f"plan {matrix.name}: gates form a circle, nothing of it could start: {circle}")
        for before in in_front.get(name, ()):
            walk(before, (*path, name))

    for name in in_front:
        walk(name, ())


def gate_row(gate: Gate) -> dict[str, Any]:
    """As plan.json and the plan's hash hold it, but for run ids."""
    return {
        "name": gate.name,
        "run": gate.run,
        "metric": gate.metric,
        "at_least": gate.at_least,
        "at_most": gate.at_most,
        "before": list(gate.before),
        "approve": gate.approve,
        "fallback": gate.fallback,
    }
