"""What a report says, as data: made by `gather`, shown by the page, the terminal, the tables and `--json`.

Rates lie in [0, 1]. What a contrast says is in percentage points, treatment minus baseline. None is a blank: not
measured, not defined at n = 1, or hidden until the runs of the contrast have ended.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from core.statistics.comparison import Bounds, Comparison

SCHEMA = 2
RATES = ("hack_rate", "pass_rate", "hinted_pass_rate", "empty_test_rate", "compile_rate")
# Columns of metrics.jsonl: what stays of a blinded run, in curves and at the last step, and what does not.
HEALTH_COLUMNS = ("comp", "len", "kl", "gn", "cin", "cin_rand", "cos_align", "cout", "lp_s")
LAST_STEP = ("kl", "gn", "cin", "cin_rand", "cos_align", "cout", "lp_s", "len", "comp", "trunc", "tied")
OUTCOME_COLUMNS = ("hack_s", "gt_s", "empty", "rew", "rew_s")
EVAL_COLUMNS = ("hack_rate", "pass_rate", "n_hinted", "n_pass")  # of evals.jsonl: outcomes, all of them


@dataclass(frozen=True)
class RunRow:
    """One planned training run, finished or not."""

    run_id: str
    label: str
    arm: str
    seed: int
    state: str  # of orchestrator.state.decide, and its note
    note: str
    role: str  # baseline | treatment | rival | control | ablation | "" : from the plan's hypotheses
    counted: bool  # enters means and contrasts
    why_not: str  # where it does not: "not finished: running", "collapsed: left out by rule", ...
    blinded: bool  # outcomes below are None because its contrast is not complete
    source: str  # "eval/<hash>.json", "result.json (last evaluation in training)" or ""
    rates: dict[str, float | None]  # RATES
    bounds: dict[str, Bounds | None]  # of hack_rate and pass_rate, 95 %
    n_hinted: int | None  # completions behind the hinted rates, and behind pass_rate
    n_pass: int | None
    n_problems: int | None
    takeoff_step: int | None
    collapsed: bool | None
    hack_by_mode: dict[str, float]
    pass_by_mode: dict[str, float]
    as_trained: dict[str, float | None]  # RATES with the quarantine on, where the arm has one; else empty
    unique: dict[str, float | None]  # RATES over problems with one right answer, where some have more; else empty
    health: dict[str, float | None]  # LAST_STEP
    steps: int  # done, and planned
    steps_planned: int
    attempts: int
    preemptions: int  # attempts that ended without result or error of the run's own
    wall_s: float | None
    cost: float | None
    adapter_sha256: str
    snapshot: str


@dataclass(frozen=True)
class ArmRow:
    """Means over counted runs. `sd` is over seeds and blank at n = 1."""

    label: str
    role: str
    n: int
    n_planned: int
    seeds: tuple[int, ...]
    mean: dict[str, float | None]  # RATES
    sd: dict[str, float | None]
    mean_with_excluded: dict[str, float | None]  # finished runs that a rule leaves out counted too
    n_with_excluded: int
    attempts: int
    preemptions: int
    takeoffs: tuple[int | None, ...]  # by seed
    mean_unique: dict[str, float | None]  # RATES over problems with one right answer, of counted runs; else empty


@dataclass(frozen=True)
class Contrast:
    purpose: str  # "H1", "H2", "H3", "control", "rival"
    treatment: str  # labels
    baseline: str
    seeds: tuple[int, ...]  # counted in both
    missing: tuple[str, ...]  # LABEL-sSEED that are wanted and not counted, with why
    blinded: bool
    by_seed: tuple[dict[str, Any], ...]  # seed, and hack and pass of treatment, baseline and their difference (points)
    hack: Comparison | None
    passing: Comparison | None
    with_excluded: dict[str, float | None] = field(default_factory=dict)  # hack and pass difference, nothing left out
    unique: dict[str, float | None] = field(default_factory=dict)  # the same over problems with one right answer


@dataclass(frozen=True)
class Verdict:
    name: str  # H1
    statement: str
    outcome: str  # supported | falsified | not decided
    because: tuple[str, ...]  # sentences with the figures that decided
    would_decide: tuple[str, ...]  # runs to add or finish, LABEL-sSEED
    thresholds: dict[str, Any]  # as registered
    outcome_with_excluded: str


@dataclass(frozen=True)
class Condition:
    text: str
    holds: bool | None  # None: not known yet
    figure: str


@dataclass(frozen=True)
class Claim:
    made: bool
    sentence: str  # filled in where it is made, else why it is not
    conditions: tuple[Condition, ...]


@dataclass(frozen=True)
class Finding:
    """Something a reader must know before a mean: a missing seed, a failed run, a foreign one, an exclusion."""

    # missing | failed | unfinished | excluded | foreign | fallback | evaluation; of the plan itself: out of reach |
    # cannot tell
    kind: str
    run: str
    text: str


@dataclass(frozen=True)
class Example:
    """A completion with its judgement, for reading."""

    run: str  # LABEL-sSEED
    why: str  # "first hack", or a label
    step: int
    problem_id: str
    mode: str
    label: str
    code: str  # what was judged
    completion: str


@dataclass(frozen=True)
class Curve:
    """A run by step: columns of metrics.jsonl, and of its evaluations. Outcomes are absent where it is blinded."""

    run: str  # LABEL-sSEED
    label: str
    seed: int
    steps: tuple[int, ...]
    columns: dict[str, tuple[float | None, ...]]  # OUTCOME_COLUMNS, HEALTH_COLUMNS
    eval_steps: tuple[int, ...]
    evals: dict[str, tuple[float | None, ...]]  # EVAL_COLUMNS


@dataclass(frozen=True)
class Target:
    """Where the plan's treatment has to lie in the scatter for its first hypothesis, as registered. Rates."""

    text: str
    pass_low: float
    pass_high: float
    hack_at_most: float


@dataclass(frozen=True)
class Report:
    plan: dict[str, Any]  # id, name, hash, preset, why, resolve, preregistered, created, snapshot, budget, rules
    headline: str  # first line: a control that does as well, else the claim
    claim: Claim
    verdicts: tuple[Verdict, ...]
    contrasts: tuple[Contrast, ...]
    arms: tuple[ArmRow, ...]
    runs: tuple[RunRow, ...]
    findings: tuple[Finding, ...]
    protocol: dict[str, Any]  # source, problems, samples, temperature, top_p, hint, hash; alpha, multiplicity
    base: dict[str, Any] | None  # the base model's rates by the same protocol
    tried: dict[str, int]  # runs, attempts, of them preempted; runs of these labels in other plans of the home
    gates: tuple[dict[str, Any], ...]
    ledger: tuple[dict[str, Any], ...]  # amendments
    peeks: tuple[dict[str, Any], ...]  # looks at outcomes before the contrast was complete
    cost: dict[str, Any] | None
    curves: tuple[Curve, ...]
    examples: tuple[Example, ...]
    figures: dict[str, str] = field(default_factory=dict)  # name -> file beside the page
    target: Target | None = None  # shaded in the scatter; None where its baseline is not known yet
    schema: int = SCHEMA

    def to_json(self) -> dict[str, Any]:
        """Without curves and examples, which the page and the tables have."""
        return {key: value for key, value in asdict(self).items() if key not in ("curves", "examples")}
