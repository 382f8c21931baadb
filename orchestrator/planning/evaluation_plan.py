"""`grpoq eval`: a plan of eval runs for the finished training runs of a plan that lack one by the protocol asked for.

The protocol is the plan's own eval job's, else PROTOCOLS'; flags change it. What is evaluated already, or will be by an
eval run that is planned, is not planned again. The evaluated plan stays as it is locked.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core.runs import versions
from core.runs.code_hash import content_hash
from core.runs.run_dir import RunDir
from core.spec import RunSpec, TrainConfig, parse_set, resolve_config, run_id
from core.statistics.evaluations import PROTOCOL, evaluations
from orchestrator.planning import sizes
from orchestrator.planning.matrix import BASE, BASE_SEED, Job, parse_matrix
from orchestrator.planning.plan import Draft
from orchestrator.planning.resolve import with_model
from orchestrator.refusal import FAILED, Refused
from orchestrator.state.observed_plan import ObservedPlan
from orchestrator.state.pace import shape
from orchestrator.state.run_inputs import missing_rows, rows_of
from orchestrator.store import snapshot
from orchestrator.store.home import Home
from orchestrator.store.plan_dir import SCHEMA, PlanDir, all_plans, evaluated_plan, find_run, read_spec
from orchestrator.store.plan_hash import hash_of

# Where a plan has no eval job: docs/protocol.md 1.8, with 5.4's names; nano's model knows training's alone.
PROTOCOLS: dict[str, dict[str, Any]] = {
    "rows": {"eval_problems": 113, "eval_samples": 10, "hint": "overwrite_tests", "markers": "held_out"},
    "nano": {"eval_problems": 64, "eval_samples": 4},
}
# Config fields by which two eval runs of the same weights are one evaluation.
ASKED = tuple(
    name
    for name in (*PROTOCOL, "held_out_share", "held_out_sha256", "eval_problems")
    if name in TrainConfig.__dataclass_fields__
)


@dataclass(frozen=True)
class Subject:
    """Whose weights: a finished training run's, or (run None) the model's own."""

    label: str
    arm: str
    seed: int
    run: RunDir | None
    config: TrainConfig  # of its evaluation
    preset: str
    rows: dict[str, Path]  # the training run's own copies of them, by their names there

    @property
    def name(self) -> str:
        return f"{self.label}-s{self.seed}" if self.run else "the base model"

    @property
    def of(self) -> str:
        return self.run.run_id if self.run else ""


@dataclass(frozen=True)
class Agenda:
    """What is to do about a plan's evaluations."""

    plan: PlanDir  # whose runs are evaluated
    draft: Draft | None  # None: nothing is to be planned
    open: tuple[PlanDir, ...]  # plans that evaluate it already and have not ended
    notes: tuple[str, ...]


def agenda(home: Home, plan: PlanDir, names: Sequence[str] = (), overrides: Sequence[str] = ()) -> Agenda:
    """`names`: training runs, or `base`; none: all. `overrides`: key=value of the eval runs' config. Writes nothing.

    Raises Refused, with exit code 1 where nothing is left to evaluate.
    """
    of = evaluated_plan(plan)
    problems = [read_spec(home.run(row["run_id"])).config.problems for row in of.content["runs"][:1]]
    protocol = _protocol(home, of, problems[0], overrides)
    subjects, notes = _subjects(home, of, protocol, names)
    subjects = _sized(home, of, protocol, subjects)
    known = list(_known(home, of))
    missing: list[Subject] = []
    lost: list[str] = []
    open_plans: dict[str, PlanDir] = {}
    for subject in subjects:
        mine = [(p, spec) for p, spec in known if spec.of == subject.of and _asks_the_same(spec.config, subject.config)]
        done = [spec.run_id for _, spec in mine if home.run(spec.run_id).has_result()]
        if _has_file(home, subject, done):
            continue
        planned = [(p, spec) for p, spec in mine if spec.run_id not in done]
        if not planned:
            missing.append(subject)
            lost += done
        for p, spec in planned[-1:]:
            note = _standing(of, p, spec, subject)
            notes += [note] if note else []
            open_plans |= {} if note else {p.plan_id: p}
    if not missing and not open_plans:
        why = "; ".join(notes) or f"all {len(subjects)} have an evaluation by this protocol"
        raise Refused(f"nothing to evaluate of {of.plan_id}: {why}", FAILED)
    draft = _draft(of, protocol.job, missing, sorted(lost)) if missing else None
    return Agenda(of, draft, tuple(open_plans.values()), tuple(notes))


def _standing(of: PlanDir, plan: PlanDir, spec: RunSpec, subject: Subject) -> str:
    """Why an eval run that is planned is left to others; empty: this command brings it on."""
    state = ObservedPlan(plan).state(spec.run_id)
    if state in ("failed", "cancelled"):
        return f"{spec.run_id} is {state}: `grpoq retry {spec.run_id} --plan {plan.plan_id}`"
    if plan.plan_id == of.plan_id:
        return f"{subject.name} will be evaluated by {spec.run_id} of {plan.plan_id}"
    return ""


def settings(samples: int | None, problems: int | None, overrides: Sequence[str]) -> tuple[str, ...]:
    """The flags of `grpoq eval` as key=value; --set wins."""
    short = {"eval_samples": samples, "eval_problems": problems}
    return (*(f"{name}={value}" for name, value in short.items() if value is not None), *overrides)


# ---- who is to be evaluated, and how


@dataclass(frozen=True)
class Protocol:
    """What turns a training run's config into that of its evaluation."""

    job: Job  # the plan's first eval job, or one by PROTOCOLS
    announced: dict[str, TrainConfig]  # of the plan's own eval runs, by whose weights they measure
    overrides: tuple[str, ...]

    @property
    def settings(self) -> set[str]:
        """Fields that the job or the command line gives."""
        return {*self.job.config, *(parse_set(text)[0] for text in self.overrides)}

    def config(self, of: str, spec: RunSpec) -> TrainConfig:
        """The announced one, else the training run's with the job's over it; then the command line's."""
        start = self.announced.get(of)
        settings = dataclasses.asdict(start or spec.config) | ({} if start else self.job.config)
        try:
            changed = dict(parse_set(text) for text in self.overrides)
            own = ("problems", "held_out_sha256", "model")
            given = sorted(name for name in changed if name.startswith(own))
            if given:
                raise ValueError(f"{given[0]} cannot be set; an evaluation takes the training run's own rows and model")
            config = resolve_config(spec.preset, settings | changed)
            return config if config.model_sha256 else with_model(config)  # older plans had the directory's path alone
        except (ValueError, OSError) as error:
            raise Refused(f"evaluation of {spec.run_id}: {error}") from None


def _protocol(home: Home, plan: PlanDir, problems: str, overrides: Sequence[str]) -> Protocol:
    source = plan.content.get("source", {})
    jobs = parse_matrix(source["matrix"], f"{plan.plan_id}'s matrix").jobs if source.get("matrix") else ()
    job = next((job for job in jobs if job.kind == "eval"), None)
    if job is None:
        return Protocol(Job("eval", "eval", PROTOCOLS[problems]), {}, tuple(overrides))
    set_by_hand = {name: value for name, value in source["choices"]["overrides"] if name in job.config}
    trained = {row["run_id"]: row["label"] for row in plan.content["runs"] if row["kind"] == "train"}
    evals = [read_spec(home.run(row["run_id"])) for row in plan.content["runs"] if row["kind"] == "eval"]
    announced = {s.of: s.config for s in evals if s.label == f"{job.name}-{trained.get(s.of, BASE)}"}
    return Protocol(replace(job, config=job.config | set_by_hand), announced, tuple(overrides))


def _subjects(home: Home, plan: PlanDir, protocol: Protocol, names: Sequence[str]) -> tuple[list[Subject], list[str]]:
    """With a sentence for each training run that has no final weights."""
    rows = [row for row in plan.content["runs"] if row["kind"] == "train"]
    chosen = _chosen(home, plan, names)
    finished, notes = [], []
    for row in rows:
        run = home.run(row["run_id"])
        if chosen is not None and run.run_id not in chosen:
            continue
        if run.has_result():
            finished.append(_subject(run, protocol))
        else:
            notes.append(f"{row['label']}-s{row['seed']} has not finished")
    with_base = BASE in chosen if chosen is not None else bool(finished)
    base = [_base(home.run(rows[0]["run_id"]), protocol)] if with_base else []
    return [*base, *finished], notes


def _sized(home: Home, plan: PlanDir, protocol: Protocol, subjects: list[Subject]) -> list[Subject]:
    """One number of rows for all of a plan's evaluations, whichever of them are asked for now: as its own eval job has
    it, else by the bytes of all its training runs. Raises Refused where they cannot fit."""
    if not subjects or not sizes.is_asked(subjects[0].config) or "decode_rows" in protocol.settings:
        return subjects
    announced = {config.decode_rows for config in protocol.announced.values()}
    runs = [home.run(row["run_id"]) for row in plan.content["runs"] if row["kind"] == "train"]
    asked = {run.run_id: protocol.config(run.run_id, read_spec(run)) for run in runs}
    wanted = [sizes.Wanted(run_id, protocol.job.name, config, frozenset()) for run_id, config in asked.items()]
    shared = min(announced or {config.decode_rows for config in sizes.sized(wanted)[0].values()})
    return [replace(s, config=replace(s.config, decode_rows=shared)) for s in subjects]


def _subject(run: RunDir, protocol: Protocol) -> Subject:
    spec = read_spec(run)
    config = protocol.config(run.run_id, spec)
    return Subject(spec.label, spec.arm, spec.seed, run, config, spec.preset, _rows(run, config))


def _base(first: RunDir, protocol: Protocol) -> Subject:
    """On the problems of the plan's first training run."""
    spec, seed = read_spec(first), protocol.job.seed
    config = protocol.config("", spec)
    return Subject(BASE, "", BASE_SEED if seed is None else seed, None, config, spec.preset, _rows(first, config))


def _rows(run: RunDir, config: TrainConfig) -> dict[str, Path]:
    if config.problems != "rows":
        return {}
    missing = missing_rows(run, config)
    if missing:
        raise Refused(f"{missing[0]} is missing, so there are no problems to evaluate on; plan its plan again")
    return {path.name: path for path in rows_of(run, config)}


def _chosen(home: Home, plan: PlanDir, names: Sequence[str]) -> set[str] | None:
    """Run ids and `base`; None: all."""
    found = {BASE} & set(names)
    for name in names:
        if name == BASE:
            continue
        of, run = find_run(home, name, plan.plan_id)
        if of.rows()[run.run_id]["kind"] != "train":
            raise Refused(f"{run.run_id} is no training run; give a training run of {plan.plan_id}, or {BASE}")
        found.add(run.run_id)
    return found if names else None


# ---- what is there already


def plans_that_evaluate(home: Home, plan: PlanDir) -> list[PlanDir]:
    return [p for p in all_plans(home) if p.content.get("evaluates") == plan.content["hash"]]


def _known(home: Home, plan: PlanDir) -> Iterator[tuple[PlanDir, RunSpec]]:
    """Eval runs of this plan and of those made for it."""
    for p in (plan, *plans_that_evaluate(home, plan)):
        for run, row in zip(p.runs(), p.content["runs"], strict=True):
            if row["kind"] == "eval":
                with contextlib.suppress(Refused):  # a torn spec is doctor's to name
                    yield p, read_spec(run)


def _asks_the_same(one: TrainConfig, other: TrainConfig) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in ASKED)


def _has_file(home: Home, subject: Subject, done: Sequence[str]) -> bool:
    """Whether one of these eval runs has left an evaluation that can be read."""
    places = [subject.run] if subject.run else [home.run(name) for name in done]
    return any(set(done) & set(e.published_by) for place in places for e in evaluations(place))


# ---- the plan


def _draft(of: PlanDir, job: Job, subjects: Sequence[Subject], lost: Sequence[str]) -> Draft:
    """`lost`: eval runs that are done and whose files are gone; named, so that this is another plan than theirs."""
    head = {
        "schema": SCHEMA,
        "name": f"{of.content['name']}-eval",
        "preset": of.content["preset"],
        "why": f"evaluations of {of.plan_id}",
        "resolve": of.content.get("resolve", ""),
        "preregistered": False,
        "slots": of.slots,
        "budget": {key: value for key, value in of.content["budget"].items() if key != "cap"},
        "rules": of.content.get("rules", {}),
        "fallback_of": "",
        "evaluates": of.content["hash"],
        "instead_of": list(lost),
    }
    labels = {subject.of: f"{job.name}-{subject.label}" for subject in subjects}
    runs = [["eval", labels[s.of], s.arm, s.seed, s.of, dataclasses.asdict(s.config)] for s in subjects]
    plan_hash = hash_of(head, runs, [])
    source = snapshot.source_root()
    frozen = content_hash(source)
    specs = [_spec(head, s, labels[s.of], plan_hash, frozen) for s in subjects]
    rows = [
        {"run_id": spec.run_id, "kind": "eval", "label": spec.label, "arm": spec.arm, "seed": spec.seed}
        | {"shape": shape(spec.config), "of": spec.of}
        for spec in specs
    ]
    content = head | {"hash": plan_hash, "snapshot": frozen, "runs": rows, "gates": []}
    files = {labels[s.of]: s.rows for s in subjects}
    return Draft(content, specs, files, source)


def _spec(head: dict[str, Any], s: Subject, label: str, plan_hash: str, frozen: str) -> RunSpec:
    return RunSpec(
        run_id=run_id(label, s.seed, plan_hash, "eval", s.arm, dataclasses.asdict(s.config)),
        kind="eval",
        label=label,
        arm=s.arm,
        seed=s.seed,
        plan_name=head["name"],
        plan_hash=plan_hash,
        preset=s.preset,
        config=s.config,
        why=head["why"],
        resolve=head["resolve"],
        of=s.of,
        snapshot=frozen,
        versions=versions.here(),
    )


# ---- the command
