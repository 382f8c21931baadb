"""How many rows are decoded and trained at once, and whether activations are computed twice: from bytes, for the card
that the plan names (`gpu_memory_gb`), never from the one that is here.

Runs that are compared share their sizes, because a sum's last bits depend on the shape of its batch: all training runs
with what prepares them, and all runs of one eval job. What the matrix or --set gives stays, and is refused where it
cannot fit. `micro_batch` cuts for memory alone; which rollouts share a mean is `loss_micro_batch`'s to say.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from core.spec import TrainConfig
from core.weights.places import is_hub_id
from core.weights.shapes import Shape, shape_of
from orchestrator.planning.gpu_memory import Phases, on_the_card, sampling_phases, step_phases
from orchestrator.refusal import Refused

Sizes = dict[str, Any]
SIZES = ("decode_rows", "micro_batch", "grad_checkpointing")
TRAINING = "training"  # the family of all runs that are no evaluations
# Of the card, in 32nds: 78 of 96 GB (75 of tensors), 90 of 96 GB. A training run keeps more back: its lengths vary from
# step to step, and so do the holes that they leave.
TRAINING_SHARE, EVALUATION_SHARE = 26, 30


@dataclass(frozen=True)
class Wanted:
    """A run before its sizes are known."""

    label: str
    family: str  # runs of one family are compared: TRAINING, or an eval job's name
    config: TrainConfig
    given: frozenset[str]  # sizes that the matrix or --set names

    @property
    def trains(self) -> bool:
        return self.family == TRAINING

    @property
    def allowed(self) -> int:
        card = int(self.config.gpu_memory_gb * 1_000_000_000)
        return card * (TRAINING_SHARE if self.trains else EVALUATION_SHARE) // 32

    def with_sizes(self, sizes: Sizes) -> Wanted:
        return dataclasses.replace(self, config=dataclasses.replace(self.config, **sizes))


@dataclass(frozen=True)
class Table:
    """A family's memory by phase: of its run that takes most."""

    run: Wanted
    phases: Phases  # bytes of tensors

    @property
    def peak(self) -> int:
        return on_the_card(max(self.phases.values()))

    def to_json(self) -> dict[str, Any]:
        sizes = {name: getattr(self.run.config, name) for name in SIZES}
        on_card = {name: on_the_card(n) for name, n in self.phases.items()}
        lengths = {name: getattr(self.run.config, name) for name in ("max_prompt", "max_new", "gpu_memory_gb")}
        head = {"runs": self.run.family, "largest": self.run.label, "adapter": self.run.config.adapter, **lengths}
        return {**head, **sizes, "tensor_bytes": self.phases, "card_bytes": on_card, "allowed_bytes": self.run.allowed}


def is_asked(config: TrainConfig) -> bool:
    return config.device == "cuda" and config.gpu_memory_gb > 0


def sized(wanted: Sequence[Wanted]) -> tuple[dict[str, TrainConfig], list[Table]]:
    """All configs by label, with their sizes, and a table for each family. Raises Refused where a run cannot fit."""
    configs = {run.label: run.config for run in wanted}
    tables: dict[str, Table] = {}
    for runs in _compared(run for run in wanted if is_asked(run.config)):
        for table in map(_table, _fitted(runs)):
            configs[table.run.label] = table.run.config
            largest = tables.setdefault(table.run.family, table)
            tables[table.run.family] = max(largest, table, key=lambda t: t.peak)
    return configs, list(tables.values())


def _compared(wanted: Iterable[Wanted]) -> Iterable[list[Wanted]]:
    """Runs that share sizes: of one family, with the same ones given."""
    found: dict[tuple[Any, ...], list[Wanted]] = {}
    for run in wanted:
        given = tuple((name, getattr(run.config, name)) for name in sorted(run.given))
        found.setdefault((run.family, given), []).append(run)
    return found.values()


def _fitted(runs: list[Wanted]) -> list[Wanted]:
    runs = _first_that_fits(runs, _decode_rows(runs), _sampling)
    return _first_that_fits(runs, _parts(runs[0]), _step) if runs[0].trains else runs


def _first_that_fits(
    runs: list[Wanted], candidates: Iterable[Sizes], phases: Callable[[Wanted], Phases]
) -> list[Wanted]:
    for sizes in candidates:
        tried = [run.with_sizes(sizes) for run in runs]
        largest = max((Table(run, phases(run)) for run in tried), key=lambda table: table.peak)
        if largest.peak <= largest.run.allowed:
            return tried
    raise Refused(_too_large(largest))


def _sampling(run: Wanted) -> Phases:
    return sampling_phases(_shape(run), run.config, run.trains)


def _step(run: Wanted) -> Phases:
    return step_phases(_shape(run), run.config)


def _table(run: Wanted) -> Table:
    return Table(run, _sampling(run) | (_step(run) if run.trains else {}))


# ---- what may be chosen, the best first


def _decode_rows(runs: Sequence[Wanted]) -> Iterator[Sizes]:
    """All prompts at once, in two equal parts, in three ..."""
    run = runs[0]
    if "decode_rows" in run.given:
        yield {}
        return
    c = run.config
    members, prompts = (c.completions, c.batch // c.completions) if run.trains else (c.eval_samples, c.eval_problems)
    for at_once in dict.fromkeys(-(-prompts // parts) for parts in range(1, prompts + 1)):
        yield {"decode_rows": at_once * members}


def _parts(run: Wanted) -> Iterator[Sizes]:
    """Without checkpointing a group or half of one: in smaller parts the prompt is read so often that to compute
    activations twice is cheaper. With it, the largest equal part of a group."""
    c, given = run.config, run.given
    divisors = [n for n in range(c.completions, 0, -1) if c.completions % n == 0]
    for checkpointing in [c.grad_checkpointing] if "grad_checkpointing" in given else _ways(_shape(run)):
        smallest = 1 if checkpointing or "grad_checkpointing" in given else c.completions // 2
        for rows in [c.micro_batch] if "micro_batch" in given else [n for n in divisors if n >= smallest]:
            yield {"micro_batch": rows, "grad_checkpointing": checkpointing}


def _ways(shape: Shape) -> list[bool]:
    """Checkpointing off, then on. What delta layers keep is known too roughly to do without."""
    return [False, True] if shape.attention_layers == shape.layers else [True]


# ---- sentences


def _shape(run: Wanted) -> Shape:
    found = shape_of(run.config.model)
    if found is None:
        model = run.config.model
        fetch = f"fetch it with `uv run just download-model {model}`, " if is_hub_id(model) else ""
        raise Refused(
            f"{run.label}: how large model {model!r} is cannot be told here, so nothing fits "
            f"gpu_memory_gb = {run.config.gpu_memory_gb:g}: {fetch}name a directory with its config.json, or give the "
            "sizes yourself with --set gpu_memory_gb=0 and --set decode_rows=, micro_batch= and grad_checkpointing="
        )
    return found


def _too_large(table: Table) -> str:
    c, given = table.run.config, [name for name in SIZES if name in table.run.given]
    phase = max(table.phases, key=lambda name: table.phases[name])
    ways = f"leave {' and '.join(given)} to be computed, " if given else ""
    # An evaluation's completions of one problem are decoded together.
    ways += f"lower eval_samples = {c.eval_samples}, " if phase == "evaluation" or not table.run.trains else ""
    return (
        f"{table.run.label}: {phase} takes {in_gb(table.peak)} GB at {c.max_prompt} + {c.max_new} tokens with "
        f"{', '.join(f'{name} = {getattr(c, name)}' for name in SIZES)}, and {in_gb(table.run.allowed)} of the card's "
        f"{c.gpu_memory_gb:g} GB may be used: {ways}lower max_new or max_prompt, or plan for a larger card with "
        "--set gpu_memory_gb=GB"
    )


def in_gb(count: int) -> str:
    return f"{count / 1e9:.1f}"
