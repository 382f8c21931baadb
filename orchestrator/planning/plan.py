"""From a matrix to a locked plan: every field resolved, checked, hashed; then written, all or nothing.

Everything that can be wrong is found before the first write. plan.json is written last, so its existence means
that the run directories behind it are whole.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.runs import durable, versions
from core.runs.code_hash import content_hash
from core.spec import RunSpec, TrainConfig, run_id
from orchestrator.planning import reach, sizes
from orchestrator.planning.expand import Entry, expand, family, gate_entries, gate_row
from orchestrator.planning.matrix import Gate, Matrix, parse_matrix
from orchestrator.planning.problem_files import ProblemFiles, read_problem_files
from orchestrator.planning.readiness import missing_here, threads_beyond_cores
from orchestrator.planning.resolve import (
    Choices,
    chosen_arms,
    inputs,
    resolve,
    slots_of,
)
from orchestrator.refusal import Refused
from orchestrator.state.gates import fallback_is_left
from orchestrator.state.pace import shape
from orchestrator.store import snapshot
from orchestrator.store.home import Home
from orchestrator.store.plan_dir import SCHEMA, PlanDir, point_at, read_spec
from orchestrator.store.plan_hash import hash_of
from orchestrator.store.preregistration import Registered

PROBE_STEPS = 5


@dataclass(frozen=True)
class Draft:
    """A plan before it is written."""

    content: dict[str, Any]
    specs: list[RunSpec]
    inputs: dict[str, dict[str, Path]]  # by label: files that are copied into its run directories, by name there
    source: Path
    notes: tuple[str, ...] = ()

    @property
    def plan_id(self) -> str:
        return f"{self.content['name']}-{self.content['hash'][:6]}"


def draft_plan(matrix: Matrix, choices: Choices, fallback_of: str = "") -> Draft:
    """Resolve and check everything; writes nothing. Raises Refused."""
    arms = chosen_arms(matrix, choices.arms)
    cores = len(os.sched_getaffinity(0))
    slots = slots_of(choices.slots, cores, resolve(matrix, arms[0], choices, {}).device)
    rows = read_problem_files(choices.problems, choices.held_out)
    given: dict[str, Any] = dict(rows.given) if rows else {}
    entries = expand(matrix, arms, choices.seeds)
    resolved = {e.label: resolve(matrix, e.source, choices, given) for e in entries}
    configs, tables = sizes.sized(_wanted(matrix, entries, choices, resolved))
    configs = _with_evaluations_rows(entries, configs)
    files = {e.label: inputs(matrix, e.source, choices) for e in entries}
    for arm in arms:
        if rows:
            rows.require_enough(arm.label, configs[arm.label])
    gates = gate_entries(matrix, entries)
    for gate, _, _ in gates:
        _require_fallback(matrix, gate, entries, choices, given, rows)
    head = {
        "schema": SCHEMA,
        "name": matrix.name,
        "preset": matrix.preset,
        "why": matrix.why,
        "resolve": matrix.resolve,
        "preregistered": matrix.preregistered,
        "slots": slots,
        "budget": matrix.budget,
        "rules": matrix.rules,
        "fallback_of": fallback_of,
        **matrix.registered.to_json(),
    }
    runs = [_identity(entry, configs[entry.label]) for entry in entries]
    plan_hash = hash_of(head, runs, [gate_row(gate) for gate, _, _ in gates])
    source = snapshot.source_root()
    frozen = content_hash(source)
    ids = {e.name: run_id(e.label, e.seed, plan_hash, e.kind, e.arm, _fields(configs[e.label])) for e in entries}
    specs = [_spec(matrix, entry, ids, configs[entry.label], plan_hash, frozen) for entry in entries]
    content = {
        **head,
        "hash": plan_hash,
        "snapshot": frozen,
        "runs": [_row(entry, ids, configs[entry.label]) for entry in entries],
        "gates": [
            gate_row(gate) | {"run_id": ids[read.name], "before_runs": [ids[e.name] for e in behind]}
            for gate, read, behind in gates
        ],
        "gpu_memory": [table.to_json() for table in tables],
        "source": {"matrix": matrix.text, "choices": choices.to_json()},
    }
    if rows:
        content["rows"] = rows.content(configs[arms[0].label])
    content["reach"] = reach.to_json(reach.limits(content, specs))
    return Draft(content, specs, files, source, (*_notes(specs, slots), *(rows.notes if rows else ())))


def _with_evaluations_rows(entries: list[Entry], configs: dict[str, TrainConfig]) -> dict[str, TrainConfig]:
    """A fit tries its evaluation with as many rows at once as the plan's own evaluations will have."""
    rows = next((configs[e.label].decode_rows for e in entries if e.kind == "eval"), 0)
    fits = {e.label for e in entries if e.kind == "fit"}
    return {
        label: dataclasses.replace(config, eval_decode_rows=rows) if label in fits else config
        for label, config in configs.items()
    }


def _wanted(
    matrix: Matrix, entries: list[Entry], choices: Choices, configs: dict[str, TrainConfig]
) -> list[sizes.Wanted]:
    """Each label once, training runs first: sizes follow from configs and not from seeds."""
    found = {}
    for e in sorted(entries, key=lambda entry: entry.kind != "train"):
        given = frozenset(sizes.SIZES) & {*matrix.config, *e.source.config, *dict(choices.overrides)}
        compared = family(e) if e.kind == "eval" else sizes.TRAINING
        found[e.label] = sizes.Wanted(e.label, compared, configs[e.label], given)
    return list(found.values())


def draft_fallback(plan: PlanDir, name: str) -> Draft:
    """The same matrix with what its gate `name` names instead: another model, G, batch."""
    gates = {gate["name"]: gate for gate in plan.gates}
    if name not in gates:
        raise Refused(f"plan {plan.plan_id} has no gate {name!r}; it has {', '.join(gates) or 'none'}")
    if not gates[name]["fallback"]:
        raise Refused(f"gate {name} of {plan.plan_id} names no fallback")
    if not fallback_is_left(plan, gates[name]):
        raise Refused(f"{plan.plan_id} is gate {name}'s fallback already; what else may be tried is another plan")
    source = plan.content["source"]
    matrix = parse_matrix(source["matrix"], f"{plan.plan_id}'s matrix")
    choices = _with_own_copies(plan, Choices.from_json(source["choices"]))
    return draft_plan(matrix, _with_fallback(choices, gates[name]["fallback"]), plan.content["hash"])


def _with_own_copies(plan: PlanDir, choices: Choices) -> Choices:
    """The files of the command line as its runs have them: the user's may have been edited or moved since."""
    run = plan.runs()[-1]
    copies = {"pairs": run.pairs_path, "teacher": run.teacher_path}
    overrides = tuple(
        (name, str(copies[name])) if name in copies and copies[name].is_file() else (name, value)
        for name, value in choices.overrides
    )
    problems = run.problems_path if choices.problems is not None else None
    held_out = run.held_out_path if choices.held_out is not None else None
    return dataclasses.replace(choices, problems=problems, held_out=held_out, overrides=overrides)


def draft_probe(matrix: Matrix, choices: Choices) -> Draft:
    """A few steps of the first arm and seed, in the matrix's own shape: the whole of it is priced from them."""
    arm = chosen_arms(matrix, choices.arms)[0]
    small = dict(choices.overrides) | {"steps": str(PROBE_STEPS), "eval_every": str(PROBE_STEPS)}
    probe = dataclasses.replace(
        matrix,
        name=f"{matrix.name}-probe",
        jobs=(),
        gates=(),
        registered=Registered(),
        preregistered=False,
        budget={key: value for key, value in matrix.budget.items() if key != "cap"},
        why=f"seconds per step of {matrix.name}",
        resolve="prices the matrix; no outcome is read from it",
    )
    seeds = choices.seeds or arm.seeds or matrix.seeds
    picked = dataclasses.replace(choices, arms=(arm.label,), seeds=seeds[:1], overrides=tuple(small.items()))
    return draft_plan(probe, picked)


def require_room(home: Home, draft: Draft) -> None:
    home.require_writable()
    home.require_free_disk(max(spec.config.disk_floor_gb for spec in draft.specs))


def write_plan(home: Home, draft: Draft) -> tuple[PlanDir, bool]:
    """Returns the locked plan and whether it is new. A second call adds nothing and keeps the first snapshot."""
    home.runs.mkdir(parents=True, exist_ok=True)
    with home.applying():
        snapshot.discard_leftovers(home.snapshots)
        for leftover in home.runs.glob(".planning-*"):  # of a `plan` that died
            shutil.rmtree(leftover)
        path = home.plans / draft.plan_id
        old = durable.read_json(path / "plan.json")
        if old is not None:
            if draft.content["source"]["choices"]["slots"] and old["slots"] != draft.content["slots"]:
                old["slots"] = draft.content["slots"]  # asked for by --slots; the hash does not know of it
                durable.write_json(path / "plan.json", old)
            os.utime(path / "plan.json")  # commands mean the plan that was planned last
            for spec in draft.specs:  # one that was lost is written again
                _write_run_dir(home, dataclasses.replace(spec, snapshot=old["snapshot"]), draft.inputs[spec.label])
            _index(home, old, draft)
            point_at(home, draft.plan_id)
            return PlanDir(home, path, old), False
        _require_registry(home)
        try:
            snapshot.freeze(draft.source, home.snapshots, draft.content["snapshot"])
        except RuntimeError as error:
            raise Refused(str(error)) from None
        for spec in draft.specs:
            _write_run_dir(home, spec, draft.inputs[spec.label])
        durable.fsync_dir(home.runs)
        content = draft.content | {"created": time.time()}
        _index(home, content, draft)
        path.mkdir(parents=True, exist_ok=True)
        durable.fsync_dir(home.plans)
        durable.write_json(path / "plan.json", content)
        point_at(home, draft.plan_id)
        return PlanDir(home, path, content), True


def _identity(entry: Entry, config: TrainConfig) -> list[Any]:
    of = entry.of.name if entry.of else ""
    return [entry.kind, entry.label, entry.arm, entry.seed, of, _fields(config)]


def _fields(config: TrainConfig) -> dict[str, Any]:
    return dataclasses.asdict(config)


def _row(entry: Entry, ids: dict[str, str], config: TrainConfig) -> dict[str, Any]:
    row = {"run_id": ids[entry.name], "kind": entry.kind, "label": entry.label, "arm": entry.arm, "seed": entry.seed}
    row["shape"] = shape(config)  # of a step's cost: what measured times are looked up by
    return row | ({"after": [ids[entry.of.name]]} if entry.of else {})


def _spec(
    matrix: Matrix, entry: Entry, ids: dict[str, str], config: TrainConfig, plan_hash: str, frozen: str
) -> RunSpec:
    return RunSpec(
        run_id=ids[entry.name],
        kind=entry.kind,
        label=entry.label,
        arm=entry.arm,
        seed=entry.seed,
        plan_name=matrix.name,
        plan_hash=plan_hash,
        preset=matrix.preset,
        config=config,
        why=matrix.why,
        resolve=matrix.resolve,
        of=ids[entry.of.name] if entry.of else "",
        snapshot=frozen,
        versions=versions.here(),
    )


def _require_fallback(
    matrix: Matrix, gate: Gate, entries: list[Entry], choices: Choices, given: dict[str, Any], rows: ProblemFiles | None
) -> None:
    """A fallback that could not be planned is found now, not when the gate has failed at night."""
    if gate.fallback:
        try:
            changed = _with_fallback(choices, gate.fallback)
            configs = {entry.label: resolve(matrix, entry.source, changed, given) for entry in entries}
            sizes.sized(_wanted(matrix, entries, changed, configs))
            for entry in entries:
                if rows and entry.kind == "train":
                    rows.require_enough(entry.label, configs[entry.label])
        except Refused as refusal:
            raise Refused(f"gate {gate.name}, fallback: {refusal}") from None


def _with_fallback(choices: Choices, fallback: dict[str, Any]) -> Choices:
    """What a gate names overrides all else, as --set does."""
    merged = dict(choices.overrides) | fallback
    return dataclasses.replace(choices, overrides=tuple(merged.items()))


def _require_registry(home: Home) -> None:
    """Before the first write. Raises Refused where it is damaged."""
    from orchestrator.store.registry import Registry

    Registry(home.registry).log([])


def _index(home: Home, content: dict[str, Any], draft: Draft) -> None:
    from orchestrator.store.registry import Registry  # a second of imports that `status` shall not pay

    Registry(home.registry).add_plan(draft.plan_id, content, draft.specs)


def _notes(specs: list[RunSpec], slots: int) -> list[str]:
    notes = []
    if any(s.config.problems == "rows" and not s.config.problems_sha256 for s in specs):
        notes.append(
            "it trains on benchmark rows that are not here yet: plan again with --problems FILE.jsonl to run it"
        )
    configs = [spec.config for spec in specs]
    return [*notes, *threads_beyond_cores(slots, configs), *missing_here(configs)]


def _write_run_dir(home: Home, spec: RunSpec, files: dict[str, Path]) -> None:
    """Whole or absent, by one rename. An existing one is kept: its name fixes its content."""
    run = home.run(spec.run_id)
    if run.path.is_dir():
        with contextlib.suppress(Refused):
            read_spec(run)
            return
        for name, source in files.items():  # lost or torn, beside what its attempts have left
            durable.write_atomic(run.path / name, source.read_bytes())
        durable.write_json(run.spec_path, spec.to_json())
        return
    temporary = Path(tempfile.mkdtemp(dir=home.runs, prefix=".planning-"))
    temporary.chmod(0o755)
    for name, source in files.items():
        durable.write_atomic(temporary / name, source.read_bytes())
    durable.write_json(temporary / run.spec_path.name, spec.to_json())
    temporary.rename(run.path)
