"""Which verdicts of a plan are out of reach before it runs, and what they could not tell: by rule, from the matrix.

Each rule below looks at registered hypotheses, the claim and the runs that are planned, never at a plan's name. What it
finds stands in plan.json and in every report, so that nobody waits 50 hours for an answer that cannot come.
"""

from __future__ import annotations

import functools
import json
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from core.arm_rules import ARMS_WITH_V, WITH_V_OF_PAIRS
from core.environment import pairs
from core.spec import RunSpec, TrainConfig
from core.statistics.hypotheses import ALPHA, CONTROL_SEEDS, RULES, Hypothesis
from orchestrator.store.preregistration import Registered

OUT, UNTOLD = "out of reach", "cannot tell"  # no verdict can come; one can, and leaves this question open
CLAIM = "claim"
FOUND = 0.8  # share of simulated matrices below which the problems are too few for the effect
WIDEST_SD = 50.0  # points: a difference of two rates by problem hardly varies more


@dataclass(frozen=True)
class Limit:
    kind: str  # OUT or UNTOLD
    of: str  # a hypothesis' name, or CLAIM
    why: str
    way_out: str


@dataclass(frozen=True)
class Planned:
    """A plan's training runs by label, as rules look at them."""

    registered: Registered
    specs: tuple[RunSpec, ...]
    preregistered: bool
    held_out: int | None  # problems that there are to evaluate on; None: not known yet, or nano's own

    @functools.cached_property
    def trained(self) -> dict[str, dict[int, RunSpec]]:
        found: dict[str, dict[int, RunSpec]] = {}
        for spec in self.specs:
            if spec.kind == "train":
                found.setdefault(spec.label, {})[spec.seed] = spec
        return found

    def seeds(self, *labels: str) -> list[int]:
        """On which all of these arms run."""
        return sorted(set.intersection(*({*self.trained.get(label, {})} for label in labels if label)))

    def one(self, label: str) -> RunSpec | None:
        return next(iter(self.trained.get(label, {}).values()), None)

    def arms_of(self, h: Hypothesis) -> list[str]:
        return [label for label in (h.treatment, h.baseline) if label]


def limits(content: Mapping[str, Any], specs: Sequence[RunSpec]) -> list[Limit]:
    """Of a plan's content, in the order of the rules; empty where nothing is registered."""
    registered = Registered.of_plan(content)
    if not registered.hypotheses:
        return []
    held_out = content.get("rows", {}).get("held_out")
    planned = Planned(registered, tuple(specs), content["preregistered"], held_out)
    return list(dict.fromkeys(limit for rule in LOOKED_AT for limit in rule(planned)))


def to_json(found: Iterable[Limit]) -> list[dict[str, Any]]:
    return [asdict(limit) for limit in found]


def lines(found: Iterable[Limit], width: int) -> list[str]:
    texts = [f"{limit.kind}, {limit.of}: {limit.why}; {limit.way_out}" for limit in found]
    return [line for text in texts for line in textwrap.wrap(text, width, subsequent_indent="  ")]


# ---- no verdict can come


def too_few_seeds(planned: Planned) -> Iterator[Limit]:
    """Of a hypothesis: seeds that both of its arms have, against what its rule needs."""
    for h in planned.registered.hypotheses:
        have, needed = planned.seeds(*planned.arms_of(h)), int(h.thresholds["seeds_at_least"])
        arms = " and ".join(planned.arms_of(h))
        if len(have) < needed:
            why = f"{arms} have {_seeds(have)}, rule {h.rule} needs {needed}"
            yield Limit(OUT, h.name, why, f"plan {_more(planned, planned.arms_of(h), needed)}")


def uneven_seeds(planned: Planned) -> Iterator[Limit]:
    """Only seeds of both arms are compared, so those of one arm alone do not count."""
    for h in planned.registered.hypotheses:
        if not RULES[h.rule].compares:
            continue
        ours, theirs, both = planned.seeds(h.treatment), planned.seeds(h.baseline), planned.seeds(*planned.arms_of(h))
        decides = len(both) >= int(h.thresholds["seeds_at_least"])
        if decides and len(both) < max(len(ours), len(theirs)):
            fewer = h.baseline if len(theirs) < len(ours) else h.treatment
            why = f"{fewer} runs on {_seeds(planned.seeds(fewer))} alone, so no more of the other arm is compared"
            yield Limit(UNTOLD, h.name, why, f"plan {_more(planned, planned.arms_of(h), max(len(ours), len(theirs)))}")


def controls_on_too_few_seeds(planned: Planned) -> Iterator[Limit]:
    claim, tested = planned.registered.claim, planned.registered.tested
    if claim is None or tested is None:
        return
    for control in claim.controls:
        have = planned.seeds(tested.treatment, control)
        if len(have) < CONTROL_SEEDS:
            why = (
                f"{control} has {_seeds(have)} with {tested.treatment}; a control is beaten on {CONTROL_SEEDS} or more"
            )
            yield Limit(OUT, CLAIM, why, f"plan {_more(planned, [tested.treatment, control], CONTROL_SEEDS)}")


def claim_without_its_conditions(planned: Planned) -> Iterator[Limit]:
    """What the claim needs of the plan, whatever the figures are (docs/report.md, what is registered)."""
    claim, tested = planned.registered.claim, planned.registered.tested
    if claim is None or tested is None:
        return
    if not claim.controls:
        yield Limit(OUT, CLAIM, "no negative control is registered", "name some in [claim] controls")
    if not planned.preregistered:
        yield Limit(OUT, CLAIM, "the plan says preregistered = false", "leave that out, and every oracle arm with it")
    evaluated = {spec.of for spec in planned.specs if spec.kind == "eval"}
    for label in planned.arms_of(tested):
        if not all(spec.run_id in evaluated for spec in planned.trained.get(label, {}).values()):
            way_out = 'add [[job]] kind = "eval"; one that is made afterwards earns no claim'
            yield Limit(OUT, CLAIM, f"no evaluation of {label} on held-out problems is registered", way_out)


def too_few_problems(planned: Planned) -> Iterator[Limit]:
    """Simulated only where so few are judged that it could matter."""
    for h in planned.registered.hypotheses:
        effect, seeds = h.thresholds.get("drop_at_least", 0.0), planned.seeds(*planned.arms_of(h))
        if not effect or not seeds:
            continue
        problems, samples = _judged(planned, h.treatment)
        if problems >= (3.5 * WIDEST_SD / effect) ** 2:
            continue
        from core.statistics.power import Design, rejections

        design = Design(problems, samples, len(seeds))
        if effect >= 100 * design.baseline:
            continue
        share = rejections(design, effect, 500, 0, ALPHA).over_problems
        if share < FOUND:
            why = (
                f"{design.problems} problems x {design.samples} samples: the test finds {effect:g} points in "
                f"{100 * share:.0f} % of simulated matrices"
            )
            yield Limit(OUT, h.name, why, "raise eval_problems; the file must hold out as many")


# ---- a verdict can come, and leaves a question open


def by_seed_alone(planned: Planned) -> Iterator[Limit]:
    """The registered test is over problems. Whether other seeds would do the same is a test over seeds."""
    tested = planned.registered.tested
    if tested is None:
        return
    seeds, needed = len(planned.seeds(*planned.arms_of(tested))), 1
    while 2.0 ** (1 - needed) >= ALPHA:
        needed += 1
    if 0 < seeds < needed:
        least = 2.0 ** (1 - seeds)
        why = f"{_count(seeds)}: a sign test over seeds has p = {least:.2g} at best, and alpha is {ALPHA:g}"
        yield Limit(UNTOLD, tested.name, why, f"it says nothing of other seeds; {needed} could")


def matched_by_rank(planned: Planned) -> Iterator[Limit]:
    """A random direction takes less of a live gradient than V does: it has as many axes, and not as much in them."""
    claim, tested = planned.registered.claim, planned.registered.tested
    treated = planned.one(tested.treatment) if tested else None
    if claim is None or treated is None or treated.arm not in WITH_V_OF_PAIRS:
        return
    controls = [spec for label in claim.controls if (spec := planned.one(label)) and spec.arm == "random_V"]
    if not any(spec.config.match == "energy" for spec in controls):
        have = f"{controls[0].label} is matched by rank" if controls else "no random direction is among the controls"
        why = f"{have}, so the size of what is removed is not told from its direction"
        yield Limit(UNTOLD, CLAIM, why, "add random_V with match = 'energy' to the controls")


def direction_of_other_modes(planned: Planned) -> Iterator[Limit]:
    """V from pairs of loopholes that are not trained on, where no arm has it from the trained ones alone."""
    hypotheses = planned.registered.hypotheses
    registered = dict.fromkeys(label for h in hypotheses for label in planned.arms_of(h))
    specs = {label: spec for label in registered if (spec := planned.one(label)) and spec.arm in WITH_V_OF_PAIRS}
    mixed = {label: spec for label, spec in specs.items() if not _has_own_pairs(planned, spec)}
    if not mixed:
        return
    beside = sum((_pairs_beside(spec.config) for spec in mixed.values()), Counter())
    most = max(sum(_pairs_beside(spec.config).values()) for spec in mixed.values())
    concerned = [h.name for h in hypotheses if mixed.keys() & set(planned.arms_of(h))]
    one = next(iter(mixed.values()))
    why = (
        f"V of {', '.join(mixed)} comes from pairs of which {most} are of modes that are not trained on "
        f"({', '.join(sorted(beside))})"
    )
    way_out = f"add {one.arm} with pair_modes = {', '.join(one.config.modes)} to see what they do"
    yield Limit(UNTOLD, ", ".join(concerned), why, way_out)


def unmeasured(planned: Planned) -> Iterator[Limit]:
    """Arms whose gradient is not read along V: whether hacks come from motion along it stays unseen."""
    for h in planned.registered.hypotheses:
        quiet = [
            label
            for label in planned.arms_of(h)
            if (spec := planned.one(label)) and not spec.config.measure and spec.arm not in ARMS_WITH_V
        ]
        if quiet:
            why = f"no signed cos_align, cin or cout of {', '.join(quiet)}"
            yield Limit(UNTOLD, h.name, why, "set measure = true")


def single_seeds(planned: Planned) -> Iterator[Limit]:
    """Arms that no hypothesis and no control names, on one seed."""
    registered = planned.registered
    named = {label for h in registered.hypotheses for label in planned.arms_of(h)}
    named |= set(registered.claim.controls) if registered.claim else set()
    alone = [label for label, runs in planned.trained.items() if label not in named and len(runs) == 1]
    if alone:
        yield Limit(
            UNTOLD, ", ".join(alone), "one seed each and no rule", "their figures illustrate and decide nothing"
        )


LOOKED_AT: tuple[Callable[[Planned], Iterator[Limit]], ...] = (
    too_few_seeds,
    controls_on_too_few_seeds,
    claim_without_its_conditions,
    too_few_problems,
    uneven_seeds,
    matched_by_rank,
    direction_of_other_modes,
    by_seed_alone,
    unmeasured,
    single_seeds,
)


# ---- looked up


def _seeds(seeds: Sequence[int]) -> str:
    return f"{_count(len(seeds))} ({', '.join(map(str, seeds))})" if seeds else "no seed"


def _count(seeds: int) -> str:
    return f"{seeds} seed{'' if seeds == 1 else 's'}"


def _more(planned: Planned, labels: Sequence[str], needed: int) -> str:
    """Runs by which these arms come to share as many seeds: the matrix's own seeds first."""
    known = sorted({seed for runs in planned.trained.values() for seed in runs})
    have = planned.seeds(*labels)
    candidates = [seed for seed in [*known, *range(max(known) + 1, max(known) + 1 + needed)] if seed not in have]
    wanted = candidates[: needed - len(have)]
    return ", ".join(f"{label}-s{seed}" for label in labels for seed in wanted if seed not in planned.seeds(label))


def _judged(planned: Planned, label: str) -> tuple[int, int]:
    """Problems and samples of an arm's evaluation, or of the last one in training."""
    run = planned.one(label)
    assert run is not None, f"{label} has a seed"
    config = next((s for s in planned.specs if s.kind == "eval" and s.of == run.run_id), run).config
    there = config.eval_problems if planned.held_out is None else planned.held_out
    return min(config.eval_problems, there), config.eval_samples


def _has_own_pairs(planned: Planned, like: RunSpec) -> bool:
    """Whether it, or the same arm under another label, takes V from pairs of the trained modes alone."""
    return any(
        spec.arm == like.arm and not _pairs_beside(spec.config)
        for label in planned.trained
        if (spec := planned.one(label))
    )


def _pairs_beside(c: TrainConfig) -> Counter[str]:
    """Of the authored pairs that V is extracted from, those of modes that are not trained on, by mode. A held-out mode
    is left out on purpose, and what a user's own file holds is the user's to say."""
    if c.pairs != "authored" or c.held_out_mode:
        return Counter()
    taken = {mode: n for mode, n in _authored().items() if not c.pair_modes or mode in c.pair_modes}
    return Counter({mode: n for mode, n in taken.items() if mode not in c.modes})


@functools.cache
def _authored() -> Counter[str]:
    rows = [json.loads(line) for line in pairs.AUTHORED.read_text().splitlines()]
    return Counter(row["mode"] for row in rows if row["split"] == "extract")
