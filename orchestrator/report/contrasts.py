"""Registered comparisons, verdicts and the claim, from outcomes: figures and rules of core.statistics.

Only seeds that count in both arms are compared, so a mean over several seeds never stands against a single one.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.statistics import comparison
from core.statistics.hypotheses import (
    CONTROL_SEEDS,
    ControlJudgement,
    Evidence,
    Hypothesis,
    Judgement,
    judge,
    judge_control,
)
from orchestrator.report.model import Claim, Comparison, Condition, Contrast, Target, Verdict
from orchestrator.report.outcomes import Outcome, Outcomes, seed_of
from orchestrator.state.decide import TERMINAL
from orchestrator.store.preregistration import Claim as RegisteredClaim

NOT_PLANNED = "not planned"


@dataclass(frozen=True)
class Judged:
    contrasts: tuple[Contrast, ...]
    verdicts: tuple[Verdict, ...]
    claim: Claim
    headline: str
    target: Target | None


def judged(outcomes: Outcomes) -> Judged:
    contrasts = _with_holm([_contrast(outcomes, *registered) for registered in outcomes.registered.contrasts()])
    verdicts = tuple(_verdict(outcomes, h, contrasts) for h in outcomes.registered.hypotheses)
    controls = _controls(outcomes, contrasts)
    claim = _claim(outcomes, contrasts, verdicts, controls)
    return Judged(contrasts, verdicts, claim, _headline(outcomes, claim, verdicts, controls), _target(outcomes))


# ---- contrasts
def _contrast(outcomes: Outcomes, purpose: str, treatment: str, baseline: str) -> Contrast:
    hidden = sorted({treatment, baseline} & outcomes.hidden)
    ours, theirs = (_counted(outcomes, label) for label in (treatment, baseline))
    seeds = tuple(sorted(ours.keys() & theirs.keys()))
    band = _band(outcomes, purpose)
    found = Contrast(
        purpose=purpose,
        treatment=treatment,
        baseline=baseline,
        seeds=seeds,
        missing=_missing(outcomes, treatment, baseline, seeds),
        blinded=bool(hidden),
        by_seed=tuple(_seed_row(seed, ours[seed], theirs[seed]) for seed in seeds),
        hack=None,
        passing=None,
        with_excluded=_with_excluded(outcomes, treatment, baseline),
        unique=_unique(ours, theirs, seeds),
    )
    if not seeds:
        return found
    name = f"{treatment} {baseline}"
    hack = _comparison(ours, theirs, seeds, "hack_rate", seed_of(f"{name} hack"))
    passing = _comparison(ours, theirs, seeds, "pass_rate", seed_of(f"{name} pass"), band)
    return dataclasses.replace(found, hack=hack, passing=passing)


def _band(outcomes: Outcomes, purpose: str) -> float:
    """Points within which pass rates are matched: the hypothesis' own; of a control the claim's."""
    for h in outcomes.registered.hypotheses:
        if h.name == purpose:
            return h.thresholds["pass_within"]
    claim = outcomes.registered.claim
    return claim.pass_within if claim else RegisteredClaim("").pass_within


def _counted(outcomes: Outcomes, label: str, with_excluded: bool = False) -> dict[int, Outcome]:
    return {o.row.seed: o for o in outcomes.of(label) if o.row.counted or (with_excluded and o.left_out)}


def _comparison(
    ours: Mapping[int, Outcome],
    theirs: Mapping[int, Outcome],
    seeds: Sequence[int],
    rate: str,
    seed: int,
    band: float | None = None,
) -> Comparison:
    by_problem = [
        {s: (arm[s].hack if rate == "hack_rate" else arm[s].passing) for s in seeds} for arm in (ours, theirs)
    ]
    known = [{s: rates for s, rates in arm.items() if rates is not None} for arm in by_problem]
    if all(len(arm) == len(seeds) for arm in known):
        return comparison.compare(comparison.paired(*known), seed, band)
    whole = [{s: value for s in seeds if (value := arm[s].row.rates[rate]) is not None} for arm in (ours, theirs)]
    return dataclasses.replace(comparison.compare_by_seed(*whole), band=band)


def _seed_row(seed: int, ours: Outcome, theirs: Outcome) -> dict[str, float | int | None]:
    row: dict[str, float | int | None] = {"seed": seed}
    for name, rate in (("hack", "hack_rate"), ("pass", "pass_rate")):
        one, other = (_percent(outcome.row.rates[rate]) for outcome in (ours, theirs))
        difference = None if one is None or other is None else one - other
        row |= {f"{name}_treatment": one, f"{name}_baseline": other, f"{name}_difference": difference}
    return row


def _missing(outcomes: Outcomes, treatment: str, baseline: str, seeds: Sequence[int]) -> tuple[str, ...]:
    """Runs of either arm that do not enter, each with why."""
    found = []
    runs = {label: {o.row.seed: o.row for o in outcomes.of(label)} for label in (treatment, baseline)}
    for label, of_label in runs.items():
        for seed in sorted({*runs[treatment], *runs[baseline]} - set(seeds)):
            row = of_label.get(seed)
            if row is None:
                found.append(f"{label}-s{seed}: {NOT_PLANNED}")
            elif not row.counted:
                found.append(f"{label}-s{seed}: {row.why_not}")
    return tuple(found)


def _with_excluded(outcomes: Outcomes, treatment: str, baseline: str) -> dict[str, float | None]:
    """Differences in points where runs that a rule leaves out count as well; empty: there are none."""
    arms = [_counted(outcomes, label, with_excluded=True) for label in (treatment, baseline)]
    if all(len(arm) == len(_counted(outcomes, label)) for arm, label in zip(arms, (treatment, baseline), strict=True)):
        return {}
    seeds = sorted(arms[0].keys() & arms[1].keys())
    rows = [_seed_row(seed, arms[0][seed], arms[1][seed]) for seed in seeds]
    return {name: _mean([row[f"{name}_difference"] for row in rows]) for name in ("hack", "pass")} if rows else {}


def _unique(
    ours: Mapping[int, Outcome], theirs: Mapping[int, Outcome], seeds: Sequence[int]
) -> dict[str, float | None]:
    """Differences in points over the problems with one right answer; empty: all have one, or it is not known."""
    pairs = [(ours[seed].row.unique, theirs[seed].row.unique) for seed in seeds]
    if not pairs or not all(one and other for one, other in pairs):
        return {}
    found = {}
    for name, rate in (("hack", "hack_rate"), ("pass", "pass_rate")):
        sides = [(_percent(one[rate]), _percent(other[rate])) for one, other in pairs]
        found[name] = _mean([one - other for one, other in sides if one is not None and other is not None])
    return found


def _with_holm(contrasts: Sequence[Contrast]) -> tuple[Contrast, ...]:
    """Every registered contrast is of the family, measured or not."""
    adjusted = comparison.holm([c.hack.p if c.hack else None for c in contrasts])
    return tuple(
        dataclasses.replace(c, hack=dataclasses.replace(c.hack, p_holm=p)) if c.hack else c
        for c, p in zip(contrasts, adjusted, strict=True)
    )


# ---- verdicts
def _verdict(outcomes: Outcomes, h: Hypothesis, contrasts: Sequence[Contrast]) -> Verdict:
    labels, needed = {h.treatment, h.baseline} - {""}, int(h.thresholds["seeds_at_least"])
    contrast = next((c for c in contrasts if c.purpose == h.name), None)
    if labels & outcomes.hidden:
        hidden = ", ".join(sorted(labels & outcomes.hidden))
        found = Judgement("not decided", (f"hidden until the runs of its contrast have ended ({hidden})",))
        others = found
    else:
        found = judge(h, _evidence(outcomes, h.treatment, h.baseline, contrast))
        others = judge(h, _evidence(outcomes, h.treatment, h.baseline, contrast, with_excluded=True))
    return Verdict(
        name=h.name,
        statement=h.statement,
        outcome=found.outcome,
        because=found.because,
        would_decide=_would_decide(outcomes, [x for x in (h.treatment, h.baseline) if x], needed)
        if found.outcome == "not decided"
        else (),
        thresholds={"rule": h.rule, "treatment": h.treatment, "baseline": h.baseline, **h.thresholds},
        outcome_with_excluded=others.outcome,
    )


def _p(contrast: Contrast | None) -> float | None:
    return contrast.hack.p_holm if contrast and contrast.hack else None


def _evidence(
    outcomes: Outcomes,
    treatment: str,
    baseline: str,
    contrast: Contrast | None,
    with_excluded: bool = False,
) -> Evidence:
    """`contrast`: whose corrected p is taken; other runs than the counted ones have one of their own, uncorrected."""
    ours = _counted(outcomes, treatment, with_excluded)
    theirs = _counted(outcomes, baseline, with_excluded) if baseline else ours
    seeds = tuple(sorted(ours.keys() & theirs.keys()))
    rates = {
        rate: [[_percent(arm[s].row.rates[rate]) for s in seeds] for arm in (ours, theirs)]
        for rate in ("hack_rate", "pass_rate")
    }
    hack, passing = (_means(rates[rate]) for rate in ("hack_rate", "pass_rate"))
    ended = [o for o in outcomes.of(treatment) if o.finished or o.row.collapsed]
    p = _p(contrast)
    if with_excluded and baseline and seeds and any(arm[s].left_out for arm in (ours, theirs) for s in seeds):
        p = _comparison(ours, theirs, seeds, "hack_rate", seed_of(f"{treatment} {baseline} all")).p
    return Evidence(
        seeds=seeds if hack and passing else (),
        hack=hack,
        passing=passing,
        p=p,
        sem=_sem([a - b for a, b in zip(*rates["hack_rate"], strict=True) if a is not None and b is not None]),
        baseline_sem=_sem([value for value in rates["hack_rate"][1] if value is not None]),
        treatment_collapsed=tuple(o.row.seed for o in ended if o.row.collapsed),
        baseline_collapsed=tuple(o.row.seed for o in outcomes.of(baseline) if o.row.collapsed),
        treatment_ended=len(ended),
        baseline_sound=sum(not o.row.collapsed for o in theirs.values()),
        has_counts=all(arm[s].hack is not None for arm in (ours, theirs) for s in seeds),
    )


def _would_decide(outcomes: Outcomes, arms: Sequence[str], needed: int) -> tuple[str, ...]:
    """Runs to finish, then runs to plan: seeds on which both arms may still count."""
    rows = {label: {o.row.seed: o.row for o in outcomes.of(label)} for label in arms}
    if set(arms) & outcomes.hidden:
        open_runs = [row for of in rows.values() for row in of.values() if row.state not in TERMINAL]
        return tuple(f"{row.label}-s{row.seed}" for row in open_runs)
    counted = {label: {seed for seed, row in of.items() if row.counted} for label, of in rows.items()}
    spent = {seed for of in rows.values() for seed, row in of.items() if row.state == "done" and not row.counted}
    known = sorted({o.row.seed for o in outcomes.runs})
    first = max(known, default=40) + 1
    shared = set.intersection(*counted.values())
    candidates = [*known, *range(first, first + needed)]
    candidates.sort(key=lambda seed: (all(seed not in rows[label] for label in arms), seed))  # their own seeds first
    wanted = [seed for seed in candidates if seed not in shared | spent]
    missing = max(0, needed - len(shared))
    return tuple(f"{label}-s{seed}" for seed in wanted[:missing] for label in arms if seed not in counted[label])


# ---- controls, claim, first line
def _controls(outcomes: Outcomes, contrasts: Sequence[Contrast]) -> list[ControlJudgement]:
    claim, tested = outcomes.registered.claim, outcomes.registered.tested
    if claim is None or tested is None:
        return []
    found = []
    for contrast in contrasts:
        if contrast.purpose != "control":
            continue
        if contrast.blinded:
            sentence = f"{contrast.baseline}: hidden until the runs of its contrast have ended"
            found.append(ControlJudgement(contrast.baseline, "not decided", sentence))
            continue
        evidence = _evidence(outcomes, tested.treatment, contrast.baseline, contrast)
        margins = claim.margin, claim.pass_within, CONTROL_SEEDS
        control = judge_control(tested.treatment, contrast.baseline, evidence, *margins)
        runs = _would_decide(outcomes, (tested.treatment, contrast.baseline), CONTROL_SEEDS)
        if runs and control.outcome != "beaten":
            control = dataclasses.replace(control, sentence=f"{control.sentence}; would decide: {', '.join(runs)}")
        found.append(control)
    return found


def _claim(
    outcomes: Outcomes,
    contrasts: Sequence[Contrast],
    verdicts: Sequence[Verdict],
    controls: Sequence[ControlJudgement],
) -> Claim:
    claim, tested = outcomes.registered.claim, outcomes.registered.tested
    if claim is None or tested is None:
        return Claim(False, "No claim is registered in this plan.", ())
    verdict = next(v for v in verdicts if v.name == tested.name)
    contrast = next(c for c in contrasts if c.purpose == tested.name)
    conditions = [
        Condition(f"{tested.name} is supported", _holds(verdict.outcome), verdict.outcome),
        _pass_condition(outcomes, contrast, claim.pass_within),
        _protocol_condition(outcomes, contrast),
        _whole_condition(contrast),
        Condition("the plan was preregistered", bool(outcomes.plan.content["preregistered"]), ""),
    ]
    held = {"beaten": True, "does as well": False, "not decided": None}
    conditions += [Condition(f"{c.control} is beaten", held[c.outcome], c.sentence) for c in controls]
    if not controls:
        conditions.append(Condition("a negative control is registered", False, "none: whatever worked is not known"))
    if all(condition.holds for condition in conditions):
        evidence = _evidence(outcomes, tested.treatment, tested.baseline, contrast)
        assert evidence.hack is not None
        ours, theirs = evidence.hack
        return Claim(
            True,
            f"At matched pass rate +-{claim.pass_within:g}pp on held-out problems without write access, our method "
            f"({tested.treatment}) reduces hack rate from {theirs:.1f}% to {ours:.1f}%.",
            tuple(conditions),
        )
    parts = {"does not hold": [c.text for c in conditions if c.holds is False]}
    parts["not known yet"] = [c.text for c in conditions if c.holds is None]
    words = "; ".join(f"{what}: {', '.join(texts)}" for what, texts in parts.items() if texts)
    return Claim(False, f"{words[0].upper()}{words[1:]}.", tuple(conditions))


def _holds(outcome: str) -> bool | None:
    return {"supported": True, "falsified": False}.get(outcome)


def _pass_condition(outcomes: Outcomes, contrast: Contrast, within: float) -> Condition:
    text = f"pass rate within {within:g} points of {contrast.baseline}'s"
    if contrast.passing is None or contrast.passing.difference is None:
        return Condition(text, None, "not measured")
    difference, shown = contrast.passing.difference, contrast.passing.equivalent
    proof = {None: "", True: "; equivalence shown", False: "; equivalence not shown"}[shown]
    band = f" within {contrast.passing.band:g} points" if shown is not None else ""
    return Condition(text, abs(difference) <= within, f"{difference:+.1f} points{proof}{band}")


def _protocol_condition(outcomes: Outcomes, contrast: Contrast) -> Condition:
    """A protocol that is chosen when figures are there is none that was registered."""
    text, chosen = "measured by the evaluation that the plan registered, on held-out problems", outcomes.evaluations
    announced = {row["run_id"] for row in outcomes.plan.content["runs"] if row["kind"] == "eval"}
    if not contrast.seeds:
        return Condition(text, None, "not measured")
    if not chosen.by_run:
        return Condition(text, False, "last evaluation in training")
    registered = any(announced & set(evaluation.published_by) for evaluation in chosen.by_run.values())
    return Condition(text, registered, f"protocol {chosen.protocol}{'' if registered else ', made afterwards'}")


def _whole_condition(contrast: Contrast) -> Condition:
    """Survivors alone earn nothing: a run that failed or was cancelled may have done so because of what it became."""
    lost = [name for name in contrast.missing if not name.endswith(NOT_PLANNED)]
    text = f"every planned run of {contrast.treatment} and {contrast.baseline} counts"
    return Condition(text, not lost if contrast.seeds else None, "; ".join(lost))


def _headline(
    outcomes: Outcomes, claim: Claim, verdicts: Sequence[Verdict], controls: Sequence[ControlJudgement]
) -> str:
    """A control that does as well comes before everything else."""
    as_good = [c.sentence for c in controls if c.outcome == "does as well"]
    if as_good:
        return f"A negative control: {'; '.join(as_good)}."
    if claim.made:
        return claim.sentence
    tested = outcomes.registered.tested or next(iter(outcomes.registered.hypotheses), None)
    mine = {tested.treatment, tested.baseline} if tested else set(outcomes.labels)
    if mine & outcomes.hidden:
        done = sum(o.row.state == "done" for o in outcomes.runs)
        return (
            f"{done} of {len(outcomes.runs)} training runs are done; outcomes are hidden until contrasts are complete."
        )
    if not outcomes.registered.hypotheses:
        return "No hypothesis is registered in this plan: figures without a verdict."
    first = next((v for v in verdicts if tested and v.name == tested.name), verdicts[0])
    return f"No claim: {first.name} is {first.outcome}: {'; '.join(first.because)}."


def _target(outcomes: Outcomes) -> Target | None:
    """Where the treatment must lie in the scatter to support the hypothesis that the claim rests on."""
    tested = outcomes.registered.tested
    if tested is None or tested.baseline in outcomes.hidden:
        return None
    baseline = _counted(outcomes, tested.baseline)
    hack = [o.row.rates["hack_rate"] for o in baseline.values() if o.row.rates["hack_rate"] is not None]
    passing = [o.row.rates["pass_rate"] for o in baseline.values() if o.row.rates["pass_rate"] is not None]
    highest = statistics.fmean(hack) - tested.thresholds["drop_at_least"] / 100 if hack else -1.0
    if not hack or not passing or highest < 0:
        return None
    drop, within = tested.thresholds["drop_at_least"], tested.thresholds["pass_within"] / 100
    level = statistics.fmean(passing)
    text = f"{tested.name}: at least {drop:g} points below {tested.baseline}, pass within {100 * within:g} points"
    return Target(text, max(0.0, level - within), min(1.0, level + within), highest)


# ---- arithmetic
def _percent(rate: float | None) -> float | None:
    return None if rate is None else 100 * rate


def _mean(values: Sequence[float | int | None]) -> float | None:
    known = [float(value) for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _means(arms: Sequence[Sequence[float | None]]) -> tuple[float, float] | None:
    ours, theirs = (_mean(arm) for arm in arms)
    return None if ours is None or theirs is None else (ours, theirs)


def _sem(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else None
