"""The report as one HTML file: it opens from disk, asks the network for nothing, and is the same bytes for one report.

What models and users wrote is text: Jinja2 escapes it, and the page's own policy forbids every script but the one whose
hash it names, so that a completion that found a way out of the escaping would still be inert.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.figures.sheet import Sheet
from orchestrator.report.model import RATES, Finding, Report
from orchestrator.report.page import tables
from orchestrator.report.page.figure_key import Entry, key_of
from orchestrator.report.page.figures import sheets, write_figures
from orchestrator.report.page.formatting import number, percent
from orchestrator.report.page.inline_svg import inline_panel
from orchestrator.wording import plural

__all__ = ["render", "write_figures"]

TEMPLATES = Path(__file__).parent / "templates"
SECTIONS = (
    ("claim", "Claim"),
    ("verdicts", "Verdicts"),
    ("findings", "Before you read a mean"),
    ("scatter", "Hack against pass"),
    ("contrasts", "Contrasts"),
    ("runs-by-arm", "Runs and means"),
    ("curves", "Curves"),
    ("diagnostics", "Diagnostics"),
    ("modes", "Modes"),
    ("spent", "Cost"),
    ("tried", "Attempts"),
    ("deviations", "Deviations"),
    ("protocol", "Plan and protocol"),
    ("examples", "Examples"),
    ("how", "How to read"),
)
WIDE, LONG = 14, 30  # letters of a cell from which it breaks into lines: on a narrow screen, on any
FINDING_KINDS = (
    *("missing", "failed", "unfinished", "excluded", "foreign", "fallback", "evaluation", "out of reach"),
    "cannot tell",
)


def render(report: Report) -> str:
    """The whole page. A pure function of the report."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    script = (TEMPLATES / "report.js").read_text()
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["pairs"] = tables.pairs
    environment.globals["cell_class"] = cell_class
    words = _words(report)
    shown: dict[str, Any] = {
        "report": report,
        "plan": {"preset": "", "why": "", "resolve": "", "preregistered": None, "id": ""} | report.plan,
        "short_hash": report.plan["hash"][:12],
        "policy": policy(script),
        "css": Markup((TEMPLATES / "report.css").read_text()),
        "script": Markup(script),
        "sections": SECTIONS,
        "findings": grouped(report.findings),
        "figures": {group: [draw(sheet) for sheet in of_group] for group, of_group in sheets(report).items()},
        "plan_pairs": tables.pairs(report.plan, leave_out=("why", "resolve")),
        "contrast_tables": tables.contrast_tables(report),
        "seed_table": tables.seed_table(report),
        "arms_table": tables.arms_table(report),
        "runs_table": tables.runs_table(report),
        "as_trained": tables.as_trained_table(report),
        "unique_table": tables.unique_table(report),
        "health_table": tables.health_table(report),
        "cost_table": tables.cost_table(report),
        "attempts_table": tables.attempts_table(report),
        "ledger": tables.record_table("ledger", "Amendments", report.ledger),
        "peeks": tables.record_table("peeks", "Looks at outcomes before they were complete", report.peeks),
        "gates": tables.gates_table(report),
        "hashes": tables.hashes_table(report),
    }
    return environment.get_template("report.html.j2").render(shown | words) + "\n"


@dataclass(frozen=True)
class Drawn:
    """A figure as the page takes it: panels and swatches are SVG of our own making, the rest is text."""

    name: str
    title: str
    small_print: str
    key: list[Entry]
    panels: list[str]
    columns: int


def draw(sheet: Sheet) -> Drawn:
    panels = [inline_panel(sheet, panel) for panel in sheet.panels]
    return Drawn(sheet.name, sheet.title, sheet.small_print, key_of(sheet), panels, min(sheet.columns, len(panels)))


def policy(script: str) -> str:
    """Nothing from anywhere; styles because figures carry their own; the one script by its hash."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def cell_class(column: tables.Column[Any], cell: tables.Cell) -> str | None:
    long = ["wide", "long"] if len(cell.text) > LONG else ["wide"] if len(cell.text) > WIDE else []
    names = ["num" if column.numeric else "words", *long, *(["muted"] if cell.muted else [])]
    return " ".join(names)


def grouped(findings: tuple[Finding, ...]) -> list[tuple[str, list[Finding]]]:
    """In the order in which they matter; kinds that are new to the page come last, by name."""
    kinds = sorted({f.kind for f in findings}, key=lambda kind: (_place(kind), kind))
    return [(kind, [f for f in findings if f.kind == kind]) for kind in kinds]


def _place(kind: str) -> int:
    return FINDING_KINDS.index(kind) if kind in FINDING_KINDS else len(FINDING_KINDS)


def _words(report: Report) -> dict[str, Any]:
    """Sentences made of several figures."""
    states = Counter(row.state for row in report.runs)
    counted = sum(row.counted for row in report.runs)
    blinded = sorted(f"{row.label}-s{row.seed}" for row in report.runs if row.blinded)
    open_states = ", ".join(f"{n} {state}" for state, n in sorted(states.items()))
    alpha, multiplicity = report.protocol.get("alpha"), report.protocol.get("multiplicity")
    return {
        "counts": f"{plural(len(report.runs), 'run')} in {plural(len(report.arms), 'arm')}: {open_states}; "
        f"{counted} counted.",
        "hidden": _hidden(report, blinded),
        "no_curves": "outcomes are hidden until the runs of each contrast have ended"
        if blinded
        else "nothing was kept",
        "base_words": _base(report.base or {}),
        "multiplicity": f"alpha {alpha}; {multiplicity}." if alpha is not None else str(multiplicity or ""),
        "tried": _tried(report.tried),
        "cost_lines": _cost(report.cost),
    }


def _hidden(report: Report, blinded: list[str]) -> str:
    if not blinded:
        return ""
    names = sorted({c.purpose for c in report.contrasts if c.blinded})
    until = f"the runs of {', '.join(names)} have ended" if names else "the runs of its contrast have ended"
    whose = "all runs" if len(blinded) == len(report.runs) else ", ".join(blinded)
    return f"Hidden until {until}: outcomes of {whose}. Their health is shown."


def _base(base: dict[str, Any]) -> str:
    names = {"hack_rate": "hack", "pass_rate": "pass"} | {n: tables.RATE_WORDS[n] for n in RATES}
    found = [f"{names[name]} {percent(base[name])} %" for name in RATES if base.get(name) is not None]
    n = f" (n = {base['n_hinted']} hinted, {base.get('n_pass')} pass)" if base.get("n_hinted") else ""
    return f"{', '.join(found)}{n}."


def _tried(tried: dict[str, int]) -> str:
    first = [key for key in ("runs", "attempts", "preempted") if key in tried]
    names = [*first, *sorted(set(tried) - set(first))]
    return "Tried: " + ", ".join(f"{tried[name]} {name.replace('_', ' ')}" for name in names) + "."


def _cost(cost: dict[str, Any] | None) -> list[str]:
    if not cost:
        return []
    budget = cost.get("budget") or {}
    currency = budget.get("currency", "")
    spent = "" if cost.get("spent") is None else f", {number(cost['spent'], 2)} {currency}".rstrip()
    lines = [f"Spent: {number(cost.get('spent_box_hours'), 2)} box hours{spent}."]
    left = cost.get("left_box_hours")
    if left and left["high"] > 0:
        lines.append(f"Left: {left['mean']:.3g} ({left['low']:.3g} to {left['high']:.3g}) box hours.")
    if budget.get("cap") is not None:
        fits = {None: "", True: "; all fits", False: "; the rest may not fit"}[cost.get("fits")]
        lines.append(f"Cap: {budget['cap']:g} {currency}".rstrip() + f"{fits}.")
    return lines
