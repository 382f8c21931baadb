"""From a plan's finished runs to the report as data: everything that the page, the terminal and the tables show.

Made from files alone, and the same twice: bootstrap seeds hang on run ids and labels, and nothing depends on now once
the runs have ended.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from core.runs import durable
from core.runs.run_dir import RunDir
from core.statistics.evaluations import evaluations
from core.statistics.hypotheses import ALPHA
from orchestrator.planning.evaluation_plan import plans_that_evaluate
from orchestrator.report.contrasts import NOT_PLANNED, Judged, judged
from orchestrator.report.examples import examples
from orchestrator.report.model import (
    EVAL_COLUMNS,
    HEALTH_COLUMNS,
    OUTCOME_COLUMNS,
    RATES,
    ArmRow,
    Contrast,
    Curve,
    Finding,
    Report,
    RunRow,
)
from orchestrator.report.outcomes import IN_TRAINING, Outcome, Outcomes, read_outcomes
from orchestrator.report.redact import redacted
from orchestrator.state.blinding import hidden_labels, peeks
from orchestrator.state.cost import cost
from orchestrator.state.observed_plan import ObservedPlan

EXAMPLES_PER_LABEL = 1
# What runs that are compared must have alike, whatever their arms do: docs/protocol.md 6.2's guard.
ALIKE = (
    *("model", "problems", "problems_sha256", "held_out_share", "held_out_sha256", "not_unique"),
    *("modes", "hint", "hint_seed"),
    *("adapter", "lora_r", "lora_alpha", "batch", "completions", "max_prompt", "max_new", "temperature", "top_p"),
    *("reward_compiles", "reward_solves", "reward_variety", "advantage", "aggregate", "clip", "kl", "skip_tied"),
    *("logp_temperature", "loss_micro_batch", "loss_ranks", "kl_cap", "warmup_from_zero", "order"),
    *("steps", "lr", "schedule", "warmup", "beta1", "beta2", "weight_decay", "grad_clip", "device", "dtype", "threads"),
)


def gather(observed: ObservedPlan, show_hidden: bool = False) -> Report:
    """`show_hidden`: a look at contrasts that are not complete, which whoever asks has recorded."""
    hidden = frozenset() if show_hidden else frozenset(hidden_labels(observed))
    return report_of(redacted(read_outcomes(observed), hidden))


def report_of(outcomes: Outcomes) -> Report:
    plan = outcomes.plan
    verdict = judged(outcomes)
    rows = tuple(outcome.row for outcome in outcomes.runs)
    elsewhere = _elsewhere(outcomes)
    content = plan.content
    return Report(
        plan={"id": plan.plan_id}
        | {key: content.get(key) for key in ("name", "hash", "preset", "why", "resolve", "preregistered", "created")}
        | {key: content.get(key) for key in ("snapshot", "rules", "fallback_of")}
        | {"budget": plan.budget()},
        headline=verdict.headline,
        claim=verdict.claim,
        verdicts=verdict.verdicts,
        contrasts=verdict.contrasts,
        arms=tuple(_arm(outcomes, label) for label in outcomes.labels),
        runs=rows,
        findings=tuple(_findings(outcomes, verdict, elsewhere)),
        protocol=_protocol(outcomes, verdict),
        base=_base(outcomes),
        tried={
            "runs": sum(row.attempts > 0 for row in rows),
            "attempts": sum(row.attempts for row in rows),
            "preempted": sum(row.preemptions for row in rows),
            "elsewhere": len(elsewhere),
        },
        gates=tuple(outcomes.gates),
        ledger=tuple(plan.ledger()),
        peeks=tuple(peeks(plan)),
        cost=cost(outcomes.observed),
        curves=tuple(_curve(o) for o in outcomes.runs if o.row.attempts),
        examples=tuple(
            example
            for outcome in outcomes.runs
            if outcome.finished
            for example in examples(plan.home.run(outcome.row.run_id), EXAMPLES_PER_LABEL)
        ),
        target=verdict.target,
    )


# ---- arms
def _arm(outcomes: Outcomes, label: str) -> ArmRow:
    runs = outcomes.of(label)
    rows = [o.row for o in runs]
    counted = [row for row in rows if row.counted]
    everyone = [o.row for o in runs if o.row.counted or o.left_out]
    return ArmRow(
        label=label,
        role=rows[0].role,
        n=len(counted),
        n_planned=len(rows),
        seeds=tuple(row.seed for row in counted),
        mean={name: _mean(counted, name) for name in RATES},
        sd={name: _sd(counted, name) for name in RATES},
        mean_with_excluded={name: _mean(everyone, name) for name in RATES},
        n_with_excluded=len(everyone),
        attempts=sum(row.attempts for row in rows),
        preemptions=sum(row.preemptions for row in rows),
        takeoffs=tuple(row.takeoff_step for row in rows),
        mean_unique=_mean_unique(counted),
    )


def _mean_unique(rows: Sequence[RunRow]) -> dict[str, float | None]:
    """Runs of one protocol have the same problems, so that all of them have these rates, or none has."""
    known = [row for row in rows if row.unique]
    return {name: _mean_of([row.unique[name] for row in known]) for name in RATES} if known else {}


def _mean(rows: Sequence[RunRow], name: str) -> float | None:
    return _mean_of([row.rates[name] for row in rows])


def _mean_of(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _sd(rows: Sequence[RunRow], name: str) -> float | None:
    known = [value for row in rows if (value := row.rates[name]) is not None]
    return statistics.stdev(known) if len(known) > 1 else None


# ---- what a reader must know before a mean
def _findings(outcomes: Outcomes, verdict: Judged, elsewhere: Sequence[tuple[str, str]]) -> list[Finding]:
    found = [
        Finding(limit["kind"], limit["of"], f"{limit['why']}; {limit['way_out']}")
        for limit in outcomes.plan.content.get("reach", ())
    ]
    found += [_of_run(o) for o in outcomes.runs if o.row.why_not and not (o.row.blinded and o.row.state == "done")]
    found += [Finding("missing", *_unplanned(c)) for c in verdict.contrasts if _unplanned(c)[1]]
    found += [Finding("foreign", run_id, f"of {of}; not counted") for run_id, of in elsewhere]
    found += [
        Finding("evaluation", *_split(note)) for note in outcomes.evaluations.notes if outcomes.evaluations.by_run
    ]
    found += [*_open_evaluations(outcomes), *_other_protocols(outcomes)]
    if any(o.row.source == IN_TRAINING for o in outcomes.runs):
        found.append(Finding("fallback", "", _fallback_words(outcomes)))
    found += [Finding("unmatched", *pair) for contrast in verdict.contrasts for pair in _unmatched(outcomes, contrast)]
    if outcomes.plan.content.get("fallback_of"):
        of = outcomes.plan.content["fallback_of"][:12]
        found.append(Finding("fallback", "", f"this plan is the fallback of plan hash {of}, whose gate failed"))
    return list(dict.fromkeys(found))


def _open_evaluations(outcomes: Outcomes) -> list[Finding]:
    """Registered evaluations of finished runs that are not done themselves."""
    state = outcomes.observed.state
    return [
        Finding("evaluation", f"{row['label']}-s{row['seed']}", f"registered, and {state(row['run_id'])}")
        for row in outcomes.plan.content["runs"]
        if row["kind"] == "eval" and state(row["run_id"]) != "done"
        if all(state(run_id) == "done" for run_id in row.get("after", ()))
    ]


def _other_protocols(outcomes: Outcomes) -> list[Finding]:
    """Protocols that measured these runs and are not shown. Runs that only they measured are in the choice's notes."""
    chosen = outcomes.evaluations
    findings = []
    for protocol, run_ids in sorted(chosen.measured.items()):
        runs = run_ids & chosen.by_run.keys() if chosen.by_run else run_ids
        rest = " as well" if chosen.by_run else ", too few to be used: `grpoq eval`"
        if runs and protocol != chosen.protocol:
            findings.append(Finding("evaluation", "", f"protocol {protocol} measured {len(runs)} of these runs{rest}"))
    return findings


def _of_run(outcome: Outcome) -> Finding:
    row = outcome.row
    if row.why_not.startswith("of another plan") or row.why_not.startswith("its result.json"):
        kind = "foreign"
    elif row.state in ("failed", "cancelled"):
        kind = row.state
    elif row.state != "done":
        kind = "missing" if row.state in ("planned", "blocked") else "unfinished"
    else:
        kind = "excluded"
    return Finding(kind, f"{row.label}-s{row.seed}", row.why_not)


def _unplanned(contrast: Contrast) -> tuple[str, str]:
    """Seeds that one arm of a comparison was never given; the text is empty where there are none."""
    names = [name for name, _, why in (m.partition(": ") for m in contrast.missing) if why == NOT_PLANNED]
    on = f"seed {', '.join(map(str, contrast.seeds))} alone" if contrast.seeds else "no seed at all"
    text = f"not planned, so {contrast.treatment} and {contrast.baseline} are compared on {on}"
    return ", ".join(names), text if names else ""


def _split(note: str) -> tuple[str, str]:
    run, _, text = note.partition(": ")
    return (run, text) if text else ("", note)


def _fallback_words(outcomes: Outcomes) -> str:
    runs = [o.row for o in outcomes.runs if o.row.source == IN_TRAINING]
    return (
        f"{len(runs)} of {len(outcomes.runs)} runs are shown by their last evaluation in training (result.json), which "
        "knows no counts by problem: `grpoq eval` makes the protocol's"
    )


def _unmatched(outcomes: Outcomes, contrast: Contrast) -> list[tuple[str, str]]:
    """Arms may differ in the knob that is named, not in optimizer, problems, code or libraries."""
    found = []
    runs = [o for label in (contrast.treatment, contrast.baseline) for o in outcomes.of(label) if o.spec is not None]
    between = f"{contrast.treatment} against {contrast.baseline}"
    for name in ALIKE:
        values = sorted({str(getattr(o.spec.config, name)) for o in runs if o.spec})
        if len(values) > 1:
            found.append((between, f"{name} differs: {', '.join(values)}"))
    begun = [o for o in runs if o.row.attempts]
    if len({o.row.snapshot for o in begun}) > 1:
        snapshots = ", ".join(sorted({o.row.snapshot for o in begun}))
        found.append((between, f"run by different code: snapshots {snapshots}"))
    if len({str(sorted(o.spec.versions.items())) for o in begun if o.spec}) > 1:
        found.append((between, "run with different library versions (spec.json)"))
    return found


def _elsewhere(outcomes: Outcomes) -> list[tuple[str, str]]:
    """(run_id, plan) of runs of these labels in this home that are of other plans and were tried."""
    ours = {o.row.run_id for o in outcomes.runs}
    found = []
    for label in outcomes.labels:
        for path in sorted(outcomes.plan.home.runs.glob(f"{label}-s[0-9]*")):
            run = RunDir(path)
            if run.run_id in ours or not run.attempts():
                continue
            spec = durable.read_json(run.spec_path) or {}
            if spec.get("label", label) == label and spec.get("kind", "train") == "train":
                of = f"plan {spec.get('plan_name', '?')}-{str(spec.get('plan_hash', '?'))[:6]}"
                found.append((run.run_id, of))
    return found


# ---- where figures come from
def _protocol(outcomes: Outcomes, verdict: Judged) -> dict[str, Any]:
    chosen = outcomes.evaluations
    settings = chosen.protocol_settings
    sources = {o.row.source for o in outcomes.runs if o.row.source}
    spec = next((o.spec for o in outcomes.runs if o.spec is not None), None)
    config = spec.config if spec else None
    return {
        "source": "evaluation runs" if chosen.by_run else IN_TRAINING if sources else "",
        "hash": chosen.protocol,
        "problems": settings.get("problems", config.eval_problems if config else None),
        "samples": settings.get("eval_samples", config.eval_samples if config else None),
        "temperature": settings.get("temperature", config.temperature if config else None),
        "top_p": settings.get("top_p", config.top_p if config else None),
        "hint": settings.get("hint", config.hint if config else None),
        "alpha": ALPHA,
        "multiplicity": f"Holm over {len(verdict.contrasts)} registered contrasts",
        "test": outcomes.plan.content["rules"]["test"],
    }


def _base(outcomes: Outcomes) -> dict[str, Any] | None:
    """The base model by the same protocol; else what the runs measured before their first step."""
    home = outcomes.plan.home
    plans = (outcomes.plan, *plans_that_evaluate(home, outcomes.plan))
    for run_id in (row["run_id"] for plan in plans for row in plan.content["runs"] if row["kind"] == "eval"):
        for found in evaluations(home.run(run_id)):
            if found.protocol == outcomes.evaluations.protocol and not found.run_id:
                return {"source": f"{run_id}/eval/{found.hash}.json", **_shown(found.metrics)}
    for outcome in outcomes.runs:
        result = outcomes.observed.result(outcome.row.run_id) or {}
        if outcome.finished and result.get("base"):
            return {
                "source": f"{outcome.row.label}-s{outcome.row.seed} before its first step",
                **_shown(result["base"]),
            }
    return None


def _shown(metrics: dict[str, Any]) -> dict[str, Any]:
    return {name: metrics.get(name) for name in (*RATES, "n_hinted", "n_pass")}


def _curve(outcome: Outcome) -> Curve:
    rows, evals = outcome.metrics, outcome.evals
    names = [n for n in (*OUTCOME_COLUMNS, *HEALTH_COLUMNS) if any(n in row for row in rows)]
    return Curve(
        run=f"{outcome.row.label}-s{outcome.row.seed}",
        label=outcome.row.label,
        seed=outcome.row.seed,
        steps=tuple(row["step"] for row in rows),
        columns={name: tuple(row.get(name) for row in rows) for name in names},
        eval_steps=tuple(row["step"] for row in evals),
        evals={name: tuple(row.get(name) for row in evals) for name in EVAL_COLUMNS} if evals else {},
    )
