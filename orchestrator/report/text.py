"""The report as lines for a terminal. Whoever reads only the last thirty has the answer: first line, verdicts, arms."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from core.figures.terminal import terminal_plot
from orchestrator.report.model import ArmRow, Contrast, Finding, Report, RunRow, Verdict
from orchestrator.terminal import columns
from orchestrator.wording import duration, p_value, percent, plural, points

SHOWN_RATES = ("pass_rate", "hinted_pass_rate", "hack_rate", "empty_test_rate")
HEAD_OF_RATES = ("pass", "hinted", "hack", "empty")
ONE_ANSWER = "problems with one right answer"
WORDS = {"supported": "SUPPORTED", "falsified": "FALSIFIED", "not decided": "not decided"}


def report_lines(report: Report, width: int) -> list[str]:
    """All of it: curves, runs, contrasts and findings first, the answer last."""
    return [*_curves(report, width), *_runs(report, width), "", *_contrasts(report, width), *_answer(report, width)]


def _curves(report: Report, width: int) -> list[str]:
    """Evaluations in training, of runs that are not hidden."""
    lines = []
    for name, words in (("hack_rate", "strict hack rate"), ("pass_rate", "pass rate")):
        curves = [
            (c.run, [(s, r) for s, r in zip(c.eval_steps, c.evals.get(name, ()), strict=False) if r is not None])
            for c in report.curves
        ]
        plot = terminal_plot(curves, f"{words}, % of held-out completions", width)
        lines += [*plot.splitlines(), ""] if plot else []
    return lines


def _runs(report: Report, width: int) -> list[str]:
    hidden = any(row.blinded for row in report.runs)
    head = ["run", "state", *HEAD_OF_RATES, "takeoff", "n", "steps", "att", "wall"]
    table = [head, *(_run_cells(row) for row in report.runs)]
    return [
        f"plan {report.plan['id']}, hash {report.plan['hash'][:12]}: runs, % of held-out completions",
        *columns(table, width),
        "pass: prompts without the loophole. hinted (its pass rate), hack, empty (tests",
        "that prove nothing): with it. takeoff: first step with > 50 % such tests.",
        *(["hidden: outcomes wait until the runs of their contrast have ended (--peek)"] if hidden else []),
    ]


def _run_cells(row: RunRow) -> list[str]:
    mark = "" if row.counted or row.blinded or row.state != "done" else " *"
    return [
        f"{row.label}-s{row.seed}{mark}",
        row.state,
        *(["hidden", "", "", ""] if row.blinded else [percent(row.rates[name]) for name in SHOWN_RATES]),
        "COLLAPSED" if row.collapsed else _takeoff(row),
        str(row.n_hinted or ""),
        f"{row.steps}/{row.steps_planned}",
        str(row.attempts or ""),
        duration(row.wall_s) if row.wall_s is not None else "",
    ]


def _takeoff(row: RunRow) -> str:
    if row.collapsed is None:
        return ""
    return "never" if row.takeoff_step is None else str(row.takeoff_step)


def _contrasts(report: Report, width: int) -> list[str]:
    table = [["contrast", "hack", "95 %", "p", "Holm", "seeds", "pass"]]
    for contrast in report.contrasts:
        table.append(_contrast_cells(contrast))
    if len(table) == 1:
        return []
    lines = [
        "contrasts in points, treatment minus baseline; paired t-test over problems",
        *columns(table, width),
    ]
    for contrast in report.contrasts:
        for row in contrast.by_seed if len(contrast.by_seed) > 1 else ():
            lines.append(
                f"  {contrast.purpose} seed {row['seed']}: hack {points(row['hack_difference'])}, "
                f"pass {points(row['pass_difference'])}"
            )
        if contrast.unique:
            lines.append(
                f"  {contrast.purpose} on {ONE_ANSWER}: hack {points(contrast.unique['hack'])}, "
                f"pass {points(contrast.unique['pass'])}"
            )
    return [*lines, ""]


def _contrast_cells(contrast: Contrast) -> list[str]:
    name = f"{contrast.purpose}: {contrast.treatment} - {contrast.baseline}"
    if contrast.blinded:
        return [name, "hidden", "", "", "", "", ""]
    hack, passing = contrast.hack, contrast.passing
    if hack is None:
        return [name, "-", "", "", "", "0", "-"]
    return [
        name,
        points(hack.difference),
        f"{hack.bounds[0]:+.1f} {hack.bounds[1]:+.1f}" if hack.bounds else "-",
        p_value(hack.p),
        p_value(hack.p_holm),
        str(len(contrast.seeds)),
        points(passing.difference if passing else None),
    ]


def _answer(report: Report, width: int) -> list[str]:
    """The last lines: findings as far as there is room, arms, verdicts, and the first line of the page last of all."""
    verdicts = [line for verdict in report.verdicts for line in _verdict(verdict, width)]
    arms = _arms(report.arms, width)
    headline = textwrap.wrap(report.headline, width)
    words = report.claim.sentence if report.claim.made else f"Claim not made. {report.claim.sentence}"
    claim = [] if words == report.headline else textwrap.wrap(words, width)
    counted = (
        f"tried: {report.tried['runs']} runs, {report.tried['attempts']} attempts, {report.tried['preempted']} of them "
        f"preempted; {plural(len(report.ledger), 'amendment')}, {plural(len(report.peeks), 'peek')}"
    )
    rest = [*arms, *textwrap.wrap(counted, width), *verdicts, *claim, *headline]
    findings = [line for finding in report.findings for line in _finding(finding, width)]
    source = f"figures: {report.protocol['source'] or 'none yet'}" + (
        f", protocol {report.protocol['hash']}" if report.protocol["hash"] else ""
    )
    return [*findings, source, *rest]


def _finding(finding: Finding, width: int) -> list[str]:
    text = f"{finding.kind.upper()} {finding.run}: {finding.text}" if finding.run else f"{finding.kind}: {finding.text}"
    return textwrap.wrap(text, width, subsequent_indent="  ")


def _arms(arms: Sequence[ArmRow], width: int) -> list[str]:
    table = [["arm: mean over seeds", "n", *HEAD_OF_RATES, "sd of hack"]]
    for arm in arms:
        blank = "" if arm.n < 2 else percent(arm.sd["hack_rate"])
        name = f"{arm.label} ({arm.role})" if arm.role else arm.label
        table.append([name, f"{arm.n}/{arm.n_planned}", *(percent(arm.mean[r]) for r in SHOWN_RATES), blank])
        if arm.n_with_excluded != arm.n:
            rates = [percent(arm.mean_with_excluded[r]) for r in SHOWN_RATES]
            table.append(["  with what a rule leaves out", str(arm.n_with_excluded), *rates, ""])
        if arm.mean_unique:
            table.append([f"  on {ONE_ANSWER}", "", *(percent(arm.mean_unique[r]) for r in SHOWN_RATES), ""])
    return columns(table, width)


def _verdict(verdict: Verdict, width: int) -> list[str]:
    lines = textwrap.wrap(
        f"{verdict.name} {WORDS[verdict.outcome]}: {'; '.join(verdict.because)}", width, subsequent_indent="   "
    )
    if verdict.would_decide:
        lines += textwrap.wrap(f"   would decide: {', '.join(verdict.would_decide)}", width, subsequent_indent="   ")
    if verdict.outcome_with_excluded != verdict.outcome:
        lines.append(f"   with what a rule leaves out: {verdict.outcome_with_excluded}")
    return lines
