"""From a matrix to a locked plan: every field resolved, checked, hashed; then written, all or nothing.

Everything that can be wrong is found before the first write. plan.json is written last, so its existence means
that the run directories behind it are whole.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core import durable
from core.arm_rules import ARM_NAMES, arm_problem
from core.pairs import load_pairs
from core.spec import (
    BUILT_IN_MODELS,
    CHOICES,
    RunSpec,
    TrainConfig,
    digest,
    parse_set,
    resolve_config,
    run_id,
)
from core.teacher_pool import read_rows as read_teacher_rows
from orchestrator import snapshot
from orchestrator.home import Home
from orchestrator.matrix import Arm, Matrix, seeds_problem
from orchestrator.plan_dir import SCHEMA, PlanDir
from orchestrator.refusal import Refused

ARITHMETIC = ("torch", "transformers", "peft", "numpy")


@dataclass(frozen=True)
class Choices:
    """What the command line adds to the matrix."""

    arms: tuple[str, ...] | None = None
    seeds: tuple[int, ...] | None = None
    slots: int | None = None
    problems: Path | None = None
    overrides: tuple[tuple[str, str], ...] = ()


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


def read_choices(
    arms: str | None, seeds: str | None, slots: int | None, problems: str | None, overrides: Sequence[str]
) -> Choices:
    """The flags of `grpoq plan`, checked as far as they can be alone."""
    numbers = None
    if seeds is not None:
        try:
            numbers = tuple(int(part) for part in seeds.split(","))
        except ValueError:
            raise Refused(f"--seeds {seeds!r}: write whole numbers with commas between, e.g. 41,42") from None
        problem = seeds_problem(list(numbers))
        if problem:
            raise Refused(f"--seeds {seeds}: {problem}")
    names = tuple(part.strip() for part in arms.split(",")) if arms is not None else None
    try:
        pairs = tuple(parse_set(text) for text in overrides)
    except ValueError as error:
        raise Refused(str(error)) from None
    return Choices(names, numbers, slots, Path(problems).expanduser() if problems else None, pairs)


def draft_plan(matrix: Matrix, choices: Choices) -> Draft:
    """Resolve and check everything; writes nothing. Raises Refused."""
    arms = _chosen_arms(matrix, choices.arms)
    cores = len(os.sched_getaffinity(0))
    device = _resolve(matrix, arms[0], choices, {}).device
    slots = _slots(choices.slots, cores, device)
    given: dict[str, Any] = {"threads": max(1, cores // slots)}
    if choices.problems is not None:
        given |= {"problems": "rows", "problems_sha256": _problems_sha256(choices.problems)}
    configs = {arm.label: _resolve(matrix, arm, choices, given) for arm in arms}
    inputs = {arm.label: _inputs(matrix, arm, choices) for arm in arms}
    if choices.problems is not None:
        for label, config in configs.items():
            _require_enough_rows(choices.problems, label, config)
    order = _seed_blocks(arms, matrix, choices.seeds)
    identity = {
        "schema": SCHEMA,
        "name": matrix.name,
        "preset": matrix.preset,
        "why": matrix.why,
        "resolve": matrix.resolve,
        "preregistered": matrix.preregistered,
        "slots": slots,
        "budget": matrix.budget,
        "runs": [[arm.label, arm.name, seed, dataclasses.asdict(configs[arm.label])] for arm, seed in order],
    }
    plan_hash = digest(identity)
    source = snapshot.source_root()
    frozen = snapshot.content_hash(source)
    versions = {name: importlib.metadata.version(name) for name in ARITHMETIC}
    specs = [
        RunSpec(
            run_id=run_id(arm.label, seed, plan_hash, "train", arm.name, configs[arm.label]),
            kind="train",
            label=arm.label,
            arm=arm.name,
            seed=seed,
            plan_name=matrix.name,
            plan_hash=plan_hash,
            preset=matrix.preset,
            config=configs[arm.label],
            why=matrix.why,
            resolve=matrix.resolve,
            snapshot=frozen,
            versions=versions,
        )
        for arm, seed in order
    ]
    content = {
        **{key: identity[key] for key in _KEPT},
        "hash": plan_hash,
        "snapshot": frozen,
        "runs": [{"run_id": s.run_id, "kind": s.kind, "label": s.label, "arm": s.arm, "seed": s.seed} for s in specs],
    }
    return Draft(content, specs, inputs, source, tuple(_notes(specs)))


_KEPT = ("schema", "name", "preset", "why", "resolve", "preregistered", "slots", "budget")


def require_room(home: Home, draft: Draft) -> None:
    home.require_writable()
    home.require_free_disk(max(spec.config.disk_floor_gb for spec in draft.specs))


def write_plan(home: Home, draft: Draft) -> tuple[PlanDir, bool]:
    """Returns the locked plan and whether it is new. A second call adds nothing and keeps the first snapshot."""
    home.runs.mkdir(parents=True, exist_ok=True)
    with home.applying():
        path = home.plans / draft.plan_id
        old = durable.read_json(path / "plan.json")
        if old is not None:
            os.utime(path / "plan.json")  # commands mean the plan that was planned last
            for spec in draft.specs:  # one that was lost is written again
                _write_run_dir(home, dataclasses.replace(spec, snapshot=old["snapshot"]), draft.inputs[spec.label])
            _index(home, old, draft)
            return PlanDir(home, path, old), False
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
        return PlanDir(home, path, content), True


def _index(home: Home, content: dict[str, Any], draft: Draft) -> None:
    from orchestrator.registry import Registry  # a second of imports that `status` shall not pay

    Registry(home.registry).add_plan(draft.plan_id, content, draft.specs)


def _chosen_arms(matrix: Matrix, wanted: tuple[str, ...] | None) -> list[Arm]:
    if wanted is None:
        return list(matrix.arms)
    for name in wanted:
        if not any(name in (arm.label, arm.name) for arm in matrix.arms):
            labels = ", ".join(arm.label for arm in matrix.arms)
            if name not in ARM_NAMES:
                raise Refused(f"unknown arm {name!r}; this version has {', '.join(ARM_NAMES)}")
            raise Refused(f"arm {name!r} is not in plan {matrix.name}; it has {labels}")
    return [arm for arm in matrix.arms if arm.label in wanted or arm.name in wanted]


OWN_FILES = ("pairs", "teacher")  # config fields that may name a file of the user's


def _resolve(matrix: Matrix, arm: Arm, choices: Choices, given: dict[str, Any]) -> TrainConfig:
    """Preset, then what grpoq computes, then the matrix, then the arm, then --set: the later wins."""
    overrides = given | matrix.config | arm.config | dict(choices.overrides)
    flags = {"problems": "--problems FILE.jsonl", **{name: f"--set {name}=FILE.jsonl" for name in OWN_FILES}}
    for name, flag in flags.items():
        if f"{name}_sha256" in overrides and f"{name}_sha256" not in given:
            raise Refused(f"{name}_sha256 cannot be set by hand; give the rows with {flag}")
    overrides |= {name: value for name, value in given.items() if name.startswith("problems")}
    for name, path in _own_files(matrix, arm, choices).items():
        overrides |= {name: "file", f"{name}_sha256": _checked_sha256(name, path)}
    try:
        config = resolve_config(matrix.preset, overrides)
    except ValueError as error:
        raise Refused(f"plan {matrix.name}, arm {arm.label}: {error}") from None
    problem = arm_problem(arm.name, config)
    if problem:
        raise Refused(f"plan {matrix.name}, arm {arm.label}: {problem}")
    directory = Path(config.model).expanduser()
    # Runs start elsewhere, in the snapshot, where a relative directory would be another one.
    if config.model not in BUILT_IN_MODELS and (directory / "config.json").is_file():
        config = dataclasses.replace(config, model=str(directory.resolve()))
    return config


def _inputs(matrix: Matrix, arm: Arm, choices: Choices) -> dict[str, Path]:
    """The user's files that an arm's runs get copies of, by their names there."""
    found = {f"{name}.jsonl": path for name, path in _own_files(matrix, arm, choices).items()}
    return found | ({"problems.jsonl": choices.problems} if choices.problems is not None else {})


def _own_files(matrix: Matrix, arm: Arm, choices: Choices) -> dict[str, Path]:
    settings = matrix.config | arm.config | dict(choices.overrides)
    named = {name: settings[name] for name in OWN_FILES if isinstance(settings.get(name), str)}
    return {name: Path(value).expanduser() for name, value in named.items() if value not in CHOICES[name]}


def _checked_sha256(name: str, path: Path) -> str:
    try:
        if name == "pairs":
            load_pairs(path)
        elif not list(read_teacher_rows(path)):
            raise ValueError(f"{path}: no teacher rollouts in this file")
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except (OSError, ValueError) as error:
        choices = ", ".join(repr(choice) for choice in CHOICES[name])
        raise Refused(f"{name} = {str(path)!r}; choose from {choices}, or a readable file: {error}") from None


def _slots(wanted: int | None, cores: int, device: str) -> int:
    if wanted is not None and wanted < 1:
        raise Refused(f"--slots {wanted}; it must be at least 1")
    if wanted is not None and wanted > cores:
        raise Refused(f"--slots {wanted}, but this machine lends {cores} cores; use at most that many")
    default = max(1, _gpu_count()) if device == "cuda" else 2
    return wanted or min(default, cores)


def _gpu_count() -> int:
    if shutil.which("nvidia-smi") is None:
        return 0
    try:
        listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return sum(line.startswith("GPU ") for line in listing.stdout.splitlines())


def _require_enough_rows(path: Path, label: str, config: TrainConfig) -> None:
    """As core.pool splits them; here, so that a plan that cannot take its first step is never made."""
    rows = sum(bool(line.strip()) for line in path.read_text(encoding="utf-8").split("\n"))
    train = rows - max(1, round(config.held_out_share * rows))
    needed = config.batch // config.completions
    if train < needed:
        raise Refused(
            f"--problems {path}: {rows} rows leave {train} to train on, and a step of arm {label} asks {needed} "
            "(batch / completions); add rows, or lower batch with --set batch=N"
        )


def _problems_sha256(path: Path) -> str:
    from core.problems import load_problems

    try:
        problems = load_problems(path)
    except (OSError, ValueError) as error:
        raise Refused(f"--problems: {error}") from None
    if not problems:
        raise Refused(f"--problems {path}: no rows in it")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _seed_blocks(arms: list[Arm], matrix: Matrix, wanted: tuple[int, ...] | None) -> list[tuple[Arm, int]]:
    """One seed of every arm before the second seed, so that a lost box leaves a balanced matrix."""
    seeds = {arm.label: wanted or arm.seeds or matrix.seeds for arm in arms}
    order = list(dict.fromkeys(seed for arm in arms for seed in seeds[arm.label]))
    return [(arm, seed) for seed in order for arm in arms if seed in seeds[arm.label]]


def _notes(specs: list[RunSpec]) -> list[str]:
    if any(s.config.problems == "rows" and not s.config.problems_sha256 for s in specs):
        return ["it trains on benchmark rows that are not here yet: plan again with --problems FILE.jsonl to run it"]
    return []


def _write_run_dir(home: Home, spec: RunSpec, inputs: dict[str, Path]) -> None:
    """Whole or absent, by one rename. An existing one is kept: its name fixes its content."""
    run = home.run(spec.run_id)
    if run.spec_path.is_file():
        return
    temporary = Path(tempfile.mkdtemp(dir=home.runs, prefix=".planning-"))
    temporary.chmod(0o755)
    for name, source in inputs.items():
        durable.write_atomic(temporary / name, source.read_bytes())
    durable.write_json(temporary / run.spec_path.name, spec.to_json())
    temporary.rename(run.path)
