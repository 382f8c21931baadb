"""Evaluations as files: what eval runs left in a run's `eval/`, read back, and one protocol chosen for a comparison.

A hack rate belongs to the protocol under which it was measured: which problems, which hint, how sampled. Two rates
are comparable where the protocol is one, so a set of runs is read by one, and a run that lacks it is named.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.runs import durable
from core.runs.run_dir import RunDir
from core.spec import SCHEMA, digest
from core.statistics.comparison import Problem, problem_rates

# Of an evaluation's conditions those that say what was asked, how it was sampled and in which precision: not whose
# weights, and not which code, libraries and machine worked it.
PROTOCOL = (
    *("problems", "problems_sha256", "modes", "hint", "hint_seed", "markers", "max_prompt"),
    *("max_new", "temperature", "top_p", "eval_samples", "dtype"),
)
WORKED_WITH = ("code", "versions", "machine")  # what may differ within a protocol, and is said where it does
NO_EVALUATION = "no evaluation of its weights"
FIGURES = ("metrics", "problems", "problems_as_trained")
Rates = dict[Problem, float]


@dataclass(frozen=True)
class Evaluation:
    """One file. Rates are over a problem's samples: hack_rates of hinted prompts, pass_rates of unhinted ones."""

    hash: str
    protocol: str
    protocol_settings: dict[str, Any]
    run_id: str  # whose weights; empty: the model without an adapter
    eval_run_id: str  # the eval run that published it
    plan_hash: str  # that eval run's plan
    published_by: tuple[str, ...]  # every eval run that came to this very evaluation, the first one first
    cached: bool  # published from the cache; `made_by` sampled it
    made_by: str
    conditions: dict[str, Any]
    metrics: dict[str, Any]
    hack_rates: Rates
    pass_rates: Rates


@dataclass(frozen=True)
class Choice:
    """The evaluations of one protocol, by run id. `notes`: who is not covered, and what else differs."""

    protocol: str  # empty: there are no evaluations
    protocol_settings: dict[str, Any]
    by_run: dict[str, Evaluation]
    notes: tuple[str, ...]
    measured: dict[str, frozenset[str]] = field(default_factory=dict)  # ids of the runs that each protocol measured


def protocol_settings(conditions: Mapping[str, Any]) -> dict[str, Any]:
    return {name: conditions[name] for name in PROTOCOL}


def protocol_hash(conditions: Mapping[str, Any]) -> str:
    """12 hex digits, the same for all weights that were asked the same things."""
    return digest(protocol_settings(conditions))[:12]


def figures_sha256(content: Mapping[str, Any]) -> str:
    """Of all that was measured: what two evaluations under the same conditions have in common to the byte."""
    return digest({name: content[name] for name in FIGURES if name in content})


def evaluations(run: RunDir) -> list[Evaluation]:
    """Those that are whole, in the order of their names; `unreadable_evaluations` names the others."""
    return [found for found in _read_all(run) if isinstance(found, Evaluation)]


def unreadable_evaluations(run: RunDir) -> list[str]:
    """A sentence for each file of `eval/` that is torn, altered, or of another version."""
    return [found for found in _read_all(run) if isinstance(found, str)]


def choose(runs: Sequence[RunDir], registered: Collection[str] = (), newest_first: Sequence[str] = ()) -> Choice:
    """One protocol for all runs: a registered one, else the one that covers most of them, else the newest.

    `registered`: ids of the eval runs that the plan announced. `newest_first`: hashes of the plans of this home, by
    which ties are broken; a plan that is not among them counts as older than those that are.
    """
    found = {run.run_id: evaluations(run) for run in runs}
    order = {plan_hash: place for place, plan_hash in enumerate(newest_first)}

    def rank(e: Evaluation) -> tuple[bool, int, str]:
        return not _is_registered(e, registered), order.get(e.plan_hash, len(order)), e.hash

    everything = sorted((e for of_run in found.values() for e in of_run), key=rank)
    announced = [e for e in everything if _is_registered(e, registered)]
    measured = {
        e.protocol: frozenset(
            run_id for run_id, of_run in found.items() if any(f.protocol == e.protocol for f in of_run)
        )
        for e in everything
    }
    best = max(announced or everything, key=lambda e: len(measured[e.protocol]), default=None)  # of equals the first
    if best is None:
        return Choice("", {}, {}, tuple(_notes(runs, found, {}, None)))
    of_protocol = {
        run_id: sorted((e for e in of_run if e.protocol == best.protocol), key=rank) for run_id, of_run in found.items()
    }
    by_run = {run_id: candidates[0] for run_id, candidates in of_protocol.items() if candidates}
    notes = [*_notes(runs, found, by_run, best), *_spare(of_protocol), *_worked_otherwise(by_run)]
    return Choice(best.protocol, best.protocol_settings, by_run, tuple(notes), measured)


def _is_registered(evaluation: Evaluation, registered: Collection[str]) -> bool:
    return any(run_id in registered for run_id in evaluation.published_by)


def _notes(
    runs: Sequence[RunDir],
    found: Mapping[str, Sequence[Evaluation]],
    by_run: Mapping[str, Evaluation],
    best: Evaluation | None,
) -> list[str]:
    """Runs without an evaluation of the protocol, and files that cannot be believed."""
    notes = []
    for run in runs:
        notes += unreadable_evaluations(run)
        if run.run_id in by_run:
            continue
        others = sorted({e.protocol: e for e in found[run.run_id]}.items())
        if best is None or not others:
            notes.append(f"{run.run_id}: {NO_EVALUATION}")
            continue
        notes += [
            f"{run.run_id}: evaluated by protocol {protocol} ({_difference(e, best)}), "
            f"which is not compared with {best.protocol}"
            for protocol, e in others
        ]
    return notes


def _difference(other: Evaluation, best: Evaluation) -> str:
    pairs = [
        f"{name} {other.protocol_settings[name]} instead of {best.protocol_settings[name]}"
        for name in PROTOCOL
        if other.protocol_settings[name] != best.protocol_settings[name] and name != "problems_sha256"
    ]
    return ", ".join(pairs) or "other problems"


def _spare(of_protocol: Mapping[str, Sequence[Evaluation]]) -> list[str]:
    return [
        f"{run_id}: {len(candidates)} evaluations by this protocol; {candidates[0].hash} is taken, of "
        f"{candidates[0].eval_run_id}"
        for run_id, candidates in of_protocol.items()
        if len(candidates) > 1
    ]


def _worked_otherwise(by_run: Mapping[str, Evaluation]) -> list[str]:
    """Which runs were evaluated by other code, libraries or machine than the most."""
    notes = []
    for name in WORKED_WITH:
        groups: dict[str, list[str]] = {}
        for run_id, e in by_run.items():
            groups.setdefault(digest(e.conditions[name]), []).append(run_id)
        for few in sorted(groups.values(), key=len)[:-1]:
            notes.append(f"{', '.join(few)}: evaluated with other {name} than the rest")
    return notes


def _read_all(run: RunDir) -> list[Evaluation | str]:
    found: list[Evaluation | str] = []
    for path in sorted((run.path / "eval").glob("*.json")):
        if path.name.startswith("."):  # one that is being written
            continue
        try:
            found.append(read_evaluation(path))
        except ValueError as error:
            found.append(f"{run.run_id}: {error}")
    return found


def read_evaluation(path: Path) -> Evaluation:
    """Raises ValueError, naming the file, where it is not whole or its figures are not those that were written."""
    content = durable.read_json(path)
    name = f"eval/{path.name}"
    if not isinstance(content, dict):
        raise ValueError(f"{name} is torn")
    schema = content.get("schema")
    if not isinstance(schema, int) or schema > SCHEMA:
        raise ValueError(f"{name} has schema {schema!r}, this grpoq reads up to {SCHEMA}")
    try:
        evaluation = _evaluation(content)
        wrong = [path.stem != evaluation.hash, content["figures_sha256"] != figures_sha256(content)]
    except (KeyError, TypeError, AttributeError, IndexError, ZeroDivisionError) as error:
        raise ValueError(f"{name} lacks what an evaluation has ({error!r}); evaluate again") from None
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if any(wrong) or evaluation.hash != digest(evaluation.conditions)[:12]:
        raise ValueError(f"{name} is not what was written: its hashes do not fit its content")
    return evaluation


def _evaluation(content: dict[str, Any]) -> Evaluation:
    publishers = content["published_by"]
    return Evaluation(
        hash=content["hash"],
        protocol=protocol_hash(content["conditions"]),
        protocol_settings=protocol_settings(content["conditions"]),
        run_id=content["run_id"],
        eval_run_id=publishers[0]["run_id"],
        plan_hash=publishers[0]["plan_hash"],
        published_by=tuple(publisher["run_id"] for publisher in publishers),
        cached=content["cached"],
        made_by=content["made_by"]["run_id"],
        conditions=content["conditions"],
        metrics=content["metrics"],
        hack_rates=problem_rates(content["problems"], "hack_rate"),
        pass_rates=problem_rates(content["problems"], "pass_rate"),
    )
