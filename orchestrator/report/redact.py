"""Outcomes of blinded runs leave what was read of a plan before anything is made of it.

Means, contrasts, verdicts, sentences, figures and tables are made of what is left, so none of them asks again, and none
can show what it never had. Health stays: it says whether a run is sound, not how it comes out. Of an evaluation stays
that there is one, and by which protocol.
"""

from __future__ import annotations

from dataclasses import replace

from orchestrator.report.model import HEALTH_COLUMNS, LAST_STEP
from orchestrator.report.outcomes import Outcome, Outcomes
from orchestrator.state.blinding import without_hidden

HIDDEN = "hidden until the runs of its contrast have ended"
KEPT_COLUMNS = {"step", *HEALTH_COLUMNS, *LAST_STEP}


def redacted(outcomes: Outcomes, hidden: frozenset[str]) -> Outcomes:
    """`hidden`: labels of the runs that are blinded."""
    run_ids = {o.row.run_id for o in outcomes.runs if o.row.label in hidden}
    chosen = outcomes.evaluations
    by_run = {
        i: replace(e, metrics={}, hack_rates={}, pass_rates={}) if i in run_ids else e for i, e in chosen.by_run.items()
    }
    return replace(
        outcomes,
        hidden=hidden,
        runs=tuple(_run(o) if o.row.run_id in run_ids else o for o in outcomes.runs),
        evaluations=replace(chosen, by_run=by_run),
        gates=without_hidden(outcomes.observed, outcomes.gates, hidden),
    )


def _run(outcome: Outcome) -> Outcome:
    row = outcome.row
    blank = replace(
        row,
        blinded=True,
        counted=False,
        why_not=HIDDEN if row.counted or outcome.left_out else row.why_not or HIDDEN,
        rates=dict.fromkeys(row.rates),
        bounds=dict.fromkeys(row.bounds),
        n_hinted=None,
        n_pass=None,
        n_problems=None,
        takeoff_step=None,
        collapsed=None,
        hack_by_mode={},
        pass_by_mode={},
        as_trained={},
        unique={},
    )
    metrics = [{name: value for name, value in step.items() if name in KEPT_COLUMNS} for step in outcome.metrics]
    return replace(
        outcome, row=blank, finished=False, left_out=False, hack=None, passing=None, metrics=metrics, evals=[]
    )
