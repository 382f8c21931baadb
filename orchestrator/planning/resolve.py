"""What a run's config is: preset, machine, matrix, arm or job, --set; each field checked, the later one wins."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.arm_rules import ARM_NAMES, arm_problem
from core.environment.pairs import load_pairs
from core.environment.teacher_pool import read_rows as read_teacher_rows
from core.runs.model_directory import content_sha256
from core.spec import BUILT_IN_MODELS, TrainConfig, choices_of, parse_set, resolve_config
from core.weights.problem import model_problem
from orchestrator.planning.matrix import Arm, Job, Matrix, seeds_problem
from orchestrator.planning.readiness import gpu_count
from orchestrator.refusal import Refused


@dataclass(frozen=True)
class Choices:
    """What the command line adds to the matrix."""

    arms: tuple[str, ...] | None = None
    seeds: tuple[int, ...] | None = None
    slots: int | None = None
    problems: Path | None = None
    held_out: Path | None = None
    overrides: tuple[tuple[str, Any], ...] = ()  # text, as --set gives it, or typed values

    def to_json(self) -> dict[str, Any]:
        return {
            "arms": list(self.arms) if self.arms is not None else None,
            "seeds": list(self.seeds) if self.seeds is not None else None,
            "slots": self.slots,
            "problems": str(self.problems.absolute()) if self.problems else None,
            "held_out": str(self.held_out.absolute()) if self.held_out else None,
            "overrides": [list(pair) for pair in self.overrides],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Choices:
        return cls(
            arms=tuple(data["arms"]) if data["arms"] is not None else None,
            seeds=tuple(data["seeds"]) if data["seeds"] is not None else None,
            slots=data["slots"],
            problems=Path(data["problems"]) if data["problems"] is not None else None,
            held_out=Path(data["held_out"]) if data.get("held_out") is not None else None,  # older plans have none
            overrides=tuple((key, value) for key, value in data["overrides"]),
        )


def read_choices(
    arms: str | None,
    seeds: str | None,
    slots: int | None,
    problems: str | None,
    overrides: Sequence[str],
    held_out: str | None = None,
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
    rows, kept = (Path(file).expanduser() if file else None for file in (problems, held_out))
    return Choices(names, numbers, slots, rows, kept, pairs)


def chosen_arms(matrix: Matrix, wanted: tuple[str, ...] | None) -> list[Arm]:
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


def resolve(matrix: Matrix, source: Arm | Job, choices: Choices, given: dict[str, Any]) -> TrainConfig:
    """Preset, then what grpoq computes (`given`), then the matrix, then the arm or job, then --set: the later wins."""
    overrides = given | matrix.config | source.config | dict(choices.overrides)
    where = f"plan {matrix.name}, {'arm ' + source.label if isinstance(source, Arm) else 'job ' + source.name}"
    flags = {"problems": "--problems FILE.jsonl", "held_out": "--held-out FILE.jsonl", "model": "--set model=DIR"}
    flags |= {name: f"--set {name}=FILE.jsonl" for name in OWN_FILES}
    for name, flag in flags.items():
        if f"{name}_sha256" in overrides and f"{name}_sha256" not in given:
            raise Refused(f"{name}_sha256 cannot be set by hand; give it with {flag}")
    overrides |= {name: value for name, value in given.items() if name.startswith(("problems", "held_out"))}
    for name, path in own_files(matrix, source, choices).items():
        overrides |= {name: "file", f"{name}_sha256": _checked_sha256(name, path)}
    try:
        config = resolve_config(matrix.preset, overrides)
    except ValueError as error:
        raise Refused(f"{where}: {error}") from None
    problem = arm_problem(source.name, config) if isinstance(source, Arm) else None
    if problem:
        raise Refused(f"{where}: {problem}")
    unusable = model_problem(config.model)
    if unusable is not None and unusable.severity == "broken":  # what is missing may be there where it is submitted
        raise Refused(f"{where}: {unusable.sentence}")
    try:
        return with_model(config)
    except OSError as error:
        raise Refused(f"{where}: model {config.model!r} cannot be read: {error}") from None


def with_model(config: TrainConfig) -> TrainConfig:
    """A model's directory by its whole path, because runs start elsewhere, and its contents' hash. Raises OSError."""
    directory = Path(config.model).expanduser()
    if config.model in BUILT_IN_MODELS or not (directory / "config.json").is_file():
        return config
    return dataclasses.replace(config, model=str(directory.resolve()), model_sha256=content_sha256(directory))


def inputs(matrix: Matrix, source: Arm | Job, choices: Choices) -> dict[str, Path]:
    """The user's files that runs of this arm or job get copies of, by their names there."""
    found = {f"{name}.jsonl": path for name, path in own_files(matrix, source, choices).items()}
    rows = {"problems.jsonl": choices.problems, "held_out.jsonl": choices.held_out}
    return found | {name: path for name, path in rows.items() if path is not None}


def own_files(matrix: Matrix, source: Arm | Job, choices: Choices) -> dict[str, Path]:
    settings = matrix.config | source.config | dict(choices.overrides)
    named = {name: settings[name] for name in OWN_FILES if isinstance(settings.get(name), str)}
    return {name: Path(value).expanduser() for name, value in named.items() if value not in choices_of(name)}


def _checked_sha256(name: str, path: Path) -> str:
    try:
        if name == "pairs":
            load_pairs(path)
        elif not list(read_teacher_rows(path)):
            raise ValueError(f"{path}: no teacher rollouts in this file")
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except (OSError, ValueError) as error:
        choices = ", ".join(repr(choice) for choice in choices_of(name))
        raise Refused(f"{name} = {str(path)!r}; choose from {choices}, or a readable file: {error}") from None


def slots_of(wanted: int | None, cores: int, device: str) -> int:
    if wanted is not None and wanted < 1:
        raise Refused(f"--slots {wanted}; it must be at least 1")
    if wanted is not None and wanted > cores:
        raise Refused(f"--slots {wanted}, but this machine lends {cores} cores; use at most that many")
    default = max(1, gpu_count()) if device == "cuda" else 2
    return wanted or min(default, cores)
