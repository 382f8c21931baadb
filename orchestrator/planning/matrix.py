"""A matrix: arms x seeds as a TOML file, read and checked key by key.

An unknown key is refused, not ignored: a misspelt override would silently run something else than was registered.
"""

from __future__ import annotations

import math
import re
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from core.arm_rules import ARM_NAMES, ORACLE_ARMS
from core.spec import KINDS, LABEL, PRESETS
from orchestrator.refusal import Refused
from orchestrator.store.preregistration import Registered, read_registered

BUILT_IN = Path(__file__).parent / "matrices"
TOP_KEYS = (
    *("name", "preset", "seeds", "why", "resolve", "preregistered", "config", "rules", "arm", "job", "gate"),
    *("budget", "hypothesis", "claim"),
)
ARM_KEYS = ("name", "label", "config", "seeds")
JOB_KEYS = ("name", "kind", "config", "seed", "of")
JOB_KINDS = tuple(kind for kind in KINDS if kind != "train")
GATE_KEYS = ("name", "run", "metric", "at_least", "at_most", "before", "approve", "fallback")
APPROVALS = ("auto", "human")
BASE = "base"  # in `of`, and no arm's label
BASE_SEED = 0  # not one of the plan's: plans with other seeds ask for the same evaluation, and it is made once
RULES: dict[str, Any] = {
    "metrics": ["hack_rate", "pass_rate"],
    "test": "paired t-test over per-problem means, the seed-paired table beside it",
    "exclude": ["failed", "collapsed"],  # by rule only, and every table is shown with and without them
    "stop": ["the config's tripwires", "the budget's cap"],
}
BUDGET_KEYS = ("per_hour", "currency", "cap")


@dataclass(frozen=True)
class Arm:
    name: str
    label: str  # unique in its matrix; what tables and run ids show
    config: dict[str, Any] = field(default_factory=dict)
    seeds: tuple[int, ...] | None = None  # overrides the matrix's


@dataclass(frozen=True)
class Job:
    """A run of another kind; an eval job stands for one run per training run of the labels in `of`, and for one of
    the model without an adapter where BASE is among them. A fit job tries the arm of the one label in `of`."""

    name: str
    kind: str
    config: dict[str, Any] = field(default_factory=dict)
    seed: int | None = None  # default: the matrix's first; of an eval job: of the base model's draws, default BASE_SEED
    of: tuple[str, ...] | None = None  # eval; default: every arm and BASE. fit; default: the first arm


@dataclass(frozen=True)
class Gate:
    """What stands behind it may start once a figure of `run` lies within bounds, and a person agrees if one must."""

    name: str
    run: str  # LABEL-sSEED, or a label or job's name: then its first seed
    before: tuple[str, ...]  # labels and jobs
    metric: str = ""
    at_least: float | None = None
    at_most: float | None = None
    approve: str = "auto"
    fallback: dict[str, Any] = field(default_factory=dict)  # config for another try, by `grpoq plan --fallback NAME`


@dataclass(frozen=True)
class Matrix:
    name: str
    preset: str
    seeds: tuple[int, ...]
    arms: tuple[Arm, ...]
    why: str = ""
    resolve: str = ""
    preregistered: bool = True  # false: may hold oracle arms, and supports no claim
    config: dict[str, Any] = field(default_factory=dict)
    budget: dict[str, Any] = field(default_factory=dict)
    rules: dict[str, Any] = field(default_factory=lambda: dict(RULES))
    jobs: tuple[Job, ...] = ()
    gates: tuple[Gate, ...] = ()
    registered: Registered = field(default_factory=Registered)
    text: str = ""  # of the file, so that a plan can be made again with a gate's fallback


def built_in_names() -> list[str]:
    return sorted(p.stem for p in BUILT_IN.glob("*.toml"))


def find_matrix(name_or_file: str) -> Path:
    """A built-in plan by name, or the user's own file."""
    own = Path(name_or_file).expanduser()
    if own.suffix == ".toml" or "/" in name_or_file:
        if not own.is_file():
            raise Refused(f"no such plan file: {own}")
        return own
    if name_or_file not in built_in_names():
        raise Refused(
            f"unknown plan {name_or_file!r}; choose from {', '.join(built_in_names())}, or give a path to a .toml file"
        )
    return BUILT_IN / f"{name_or_file}.toml"


def read_matrix(path: Path) -> Matrix:
    """Raises Refused, naming the file, the key, its value and what would do."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"{path} cannot be read: {error}") from None
    return parse_matrix(text, path.name if path.parent == BUILT_IN else str(path))


def parse_matrix(text: str, file: str) -> Matrix:
    """`file` is how errors name it."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Refused(f"{file} is no valid TOML: {error}") from None
    return replace(_Reader(file).matrix(data), text=text)


@dataclass(frozen=True)
class _Reader:
    file: str

    def matrix(self, data: dict[str, Any]) -> Matrix:
        self.known_keys(data, TOP_KEYS, "")
        name = self.label(data, "name", "")
        preset = self.text(data, "preset", "")
        if preset not in PRESETS:
            raise self.wrong(f"preset = {preset!r}; choose from {', '.join(PRESETS)}")
        seeds = self.seeds(data, "") or ()
        arms = tuple(self.arm(i, row) for i, row in enumerate(self.tables(data, "arm"), 1))
        jobs = tuple(self.job(i, row) for i, row in enumerate(self.tables(data, "job"), 1))
        labels = [a.label for a in arms]
        if not arms:
            raise self.wrong(f"no [[arm]]; choose from {', '.join(ARM_NAMES)}")
        if BASE in labels:
            raise self.wrong(f"the label {BASE!r} names the model without an adapter; give that arm another `label`")
        for label in labels:
            if labels.count(label) > 1:
                raise self.wrong(f"two arms have the label {label!r}; give one of them a `label` of its own")
        names = labels + [job.name for job in jobs]
        for job in jobs:
            if names.count(job.name) > 1:
                raise self.wrong(f"[[job]] name = {job.name!r} is taken by an arm or another job; choose another")
            for label in job.of or ():
                if label not in (*labels, BASE):
                    choices = ", ".join([*labels, BASE])
                    raise self.wrong(f"[[job]] {job.name}: of = {label!r} is no arm's label; choose from {choices}")
        gates = tuple(self.gate(i, row, names) for i, row in enumerate(self.tables(data, "gate"), 1))
        for gate in gates:
            if [g.name for g in gates].count(gate.name) > 1:
                raise self.wrong(f"two gates have the name {gate.name!r}")
        preregistered = self.flag(data, "preregistered", default=True)
        for arm in arms:
            if preregistered and arm.name in ORACLE_ARMS:
                raise self.wrong(
                    f"arm {arm.name} is told the ground truth of live rollouts, which no preregistered plan may use; "
                    "write preregistered = false in a plan of its own"
                )
            if not seeds and arm.seeds is None:
                raise self.wrong("no seeds; write e.g. seeds = [41, 42, 43]")
        return Matrix(
            name=name,
            preset=preset,
            seeds=seeds,
            arms=arms,
            why=self.text(data, "why", "", default=""),
            resolve=self.text(data, "resolve", "", default=""),
            preregistered=preregistered,
            config=self.table(data, "config", ""),
            budget=self.budget(self.table(data, "budget", "")),
            rules=self.rules(self.table(data, "rules", "")),
            jobs=jobs,
            gates=gates,
            registered=read_registered(data, labels, self.wrong),
        )

    def arm(self, number: int, row: dict[str, Any]) -> Arm:
        where = f"[[arm]] {number}: "
        self.known_keys(row, ARM_KEYS, where)
        name = self.text(row, "name", where)
        if name not in ARM_NAMES:
            raise self.wrong(f"{where}unknown arm {name!r}; this version has {', '.join(ARM_NAMES)}")
        label = self.label(row, "label", where) if "label" in row else name
        return Arm(name, label, self.table(row, "config", where), self.seeds(row, where))

    def job(self, number: int, row: dict[str, Any]) -> Job:
        where = f"[[job]] {number}: "
        self.known_keys(row, JOB_KEYS, where)
        kind = self.text(row, "kind", where)
        if kind not in JOB_KINDS:
            raise self.wrong(f"{where}kind = {kind!r}; choose from {', '.join(JOB_KINDS)}; training runs are [[arm]]s")
        seed = self.seeds({"seeds": [row["seed"]]}, where) if "seed" in row else None
        of = self.names(row, "of", where) if "of" in row else None
        if of is not None and kind not in ("eval", "fit"):
            raise self.wrong(f"{where}of is for kind = 'eval' and 'fit' alone, this one is {kind!r}")
        if of is not None and kind == "fit" and (len(of) > 1 or BASE in of):
            raise self.wrong(f"{where}of = {list(of)}; a fit tries one arm: name the label that asks for most memory")
        config = self.table(row, "config", where)
        return Job(self.label(row, "name", where), kind, config, seed[0] if seed else None, of)

    def gate(self, number: int, row: dict[str, Any], known: list[str]) -> Gate:
        where = f"[[gate]] {number}: "
        self.known_keys(row, GATE_KEYS, where)
        name = self.label(row, "name", where)
        metric = self.text(row, "metric", where, default="")
        approve = self.text(row, "approve", where, default="auto")
        bounds = {key: self.number(row, key, where) for key in ("at_least", "at_most")}
        if approve not in APPROVALS:
            raise self.wrong(f"{where}approve = {approve!r}; choose from {', '.join(APPROVALS)}")
        if metric and bounds == {"at_least": None, "at_most": None}:
            raise self.wrong(f"{where}metric = {metric!r} needs at_least or at_most")
        if not metric and (approve == "auto" or bounds != {"at_least": None, "at_most": None}):
            raise self.wrong(
                f"{where}no metric; name one with its at_least or at_most, or write approve = 'human' alone"
            )
        before = self.names(row, "before", where)
        for label in before:
            if label not in known:
                raise self.wrong(
                    f"{where}before = {label!r} is no arm's label and no job; choose from {', '.join(known)}"
                )
        run = self.text(row, "run", where)
        return Gate(name, run, before, metric, **bounds, approve=approve, fallback=self.table(row, "fallback", where))

    def rules(self, row: dict[str, Any]) -> dict[str, Any]:
        self.known_keys(row, tuple(RULES), "[rules] ")
        for key, value in row.items():
            if key == "test":
                self.text(row, key, "[rules] ")
            elif not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                raise self.wrong(f"[rules] {key} = {value!r}; write a list of texts")
            elif key == "exclude" and not set(value) <= set(RULES["exclude"]):
                raise self.wrong(
                    f"[rules] exclude = {value!r}; rules that are applied are {', '.join(RULES['exclude'])}"
                )
        return RULES | row

    def budget(self, row: dict[str, Any]) -> dict[str, Any]:
        self.known_keys(row, BUDGET_KEYS, "[budget] ")
        for key in ("per_hour", "cap"):
            value = row.get(key, 0)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not math.isfinite(value) or value < 0:
                raise self.wrong(f"[budget] {key} = {value!r}; it must be a number of at least 0")
        self.text(row, "currency", "[budget] ", default="")
        if "cap" in row and not row.get("per_hour"):
            raise self.wrong("[budget] cap without per_hour: nothing would ever be spent; add the box's price per hour")
        return row

    # ---- one value
    def known_keys(self, row: dict[str, Any], known: tuple[str, ...], where: str) -> None:
        for key in row:
            if key not in known:
                raise self.wrong(f"{where}unknown key {key!r}; choose from {', '.join(known)}")

    def text(self, row: dict[str, Any], key: str, where: str, default: str | None = None) -> str:
        value = row.get(key, default)
        if value is None:
            raise self.wrong(f"{where}{key} is missing")
        if not isinstance(value, str):
            raise self.wrong(f"{where}{key} = {value!r}; it must be text")
        return value

    def flag(self, row: dict[str, Any], key: str, default: bool) -> bool:
        value = row.get(key, default)
        if not isinstance(value, bool):
            raise self.wrong(f"{key} = {value!r}; write true or false")
        return value

    def label(self, row: dict[str, Any], key: str, where: str) -> str:
        value = self.text(row, key, where)
        if not re.fullmatch(LABEL, value) or len(value) > 60:
            raise self.wrong(
                f"{where}{key} = {value!r}; use up to 60 letters, digits, _ . and single -, e.g. erase-k12"
            )
        return value

    def seeds(self, row: dict[str, Any], where: str) -> tuple[int, ...] | None:
        if "seeds" not in row:
            return None
        value = row["seeds"]
        if not isinstance(value, list):
            raise self.wrong(f"{where}seeds = {value!r}; write a list, e.g. [41, 42, 43]")
        problem = seeds_problem(value)
        if problem:
            raise self.wrong(f"{where}{problem}")
        return tuple(value)

    def names(self, row: dict[str, Any], key: str, where: str) -> tuple[str, ...]:
        value = row.get(key)
        if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
            raise self.wrong(f"{where}{key} = {value!r}; write a list of names")
        return tuple(value)

    def number(self, row: dict[str, Any], key: str, where: str) -> float | None:
        value = row.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self.wrong(f"{where}{key} = {value!r}; it must be a number")
        return float(value)

    def table(self, row: dict[str, Any], key: str, where: str) -> dict[str, Any]:
        value = row.get(key, {})
        if not isinstance(value, dict):
            raise self.wrong(f"{where}{key} = {value!r}; it must be a table of key = value")
        return value

    def tables(self, row: dict[str, Any], key: str) -> list[dict[str, Any]]:
        value = row.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.wrong(f"{key} must be written as [[{key}]] sections")
        return value

    def wrong(self, sentence: str) -> Refused:
        return Refused(f"{self.file}: {sentence}")


def seeds_problem(seeds: list[Any]) -> str | None:
    """What is wrong with a list of seeds, or None."""
    if not seeds:
        return "seeds is empty; write e.g. 41, 42, 43"
    for seed in seeds:
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**31:
            return f"seed {seed!r}; it must be a whole number from 0 to {2**31 - 1}"
        if seeds.count(seed) > 1:
            return f"seed {seed} stands twice"
    return None
