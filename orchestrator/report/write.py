"""`grpoq report`: the page, its figures and tables, and the answer in the terminal."""

from __future__ import annotations

import json
import os
from pathlib import Path

from core.runs import durable
from orchestrator.refusal import FAILED, Refused
from orchestrator.report.model import Report
from orchestrator.report.text import report_lines
from orchestrator.state.blinding import record_if_hidden
from orchestrator.state.decide import TERMINAL
from orchestrator.state.observed_plan import ObservedPlan
from orchestrator.store.home import Home
from orchestrator.store.plan_dir import PlanDir


def write_report(home: Home, plan: PlanDir, out: str | None, as_json: bool, width: int, peek: bool = False) -> None:
    """FILE.html, and a directory FILE with figures and tables beside it. Raises Refused where no run has begun to end.

    `peek`: show outcomes of contrasts that are not complete; the look is recorded first.
    """
    page = _page_path(home, plan, out)
    observed = ObservedPlan(plan)
    if peek:
        record_if_hidden(observed, "report")
    from orchestrator.report.gather import (
        gather,  # SciPy and the page's libraries: a second that `status` shall not pay
    )

    report = gather(observed, show_hidden=peek)
    if not any(row.state == "done" for row in report.runs) and not all(row.state in TERMINAL for row in report.runs):
        waiting = ", ".join(f"{row.run_id} {row.state}" for row in report.runs)
        raise Refused(f"nothing to report yet: no run of {plan.plan_id} is done ({waiting})", FAILED)
    written = _write(report, page)
    if as_json:
        print(json.dumps(report.to_json() | {"figures": written, "page": str(page)}, allow_nan=False))
        return
    print("\n".join(report_lines(report, width)))
    print(f"page: {_short(page)}")


def _write(report: Report, page: Path) -> dict[str, str]:
    """Returns the files beside the page by name. Raises Refused where they cannot be written."""
    from orchestrator.report.page.render import render, write_figures
    from orchestrator.report.tables import write_tables

    folder = page.with_suffix("")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written = write_figures(report, folder) | write_tables(report, folder)
        durable.write_atomic(page, render(report))
    except OSError as error:
        raise Refused(f"--out: {error.filename or page} cannot be written: {error.strerror}") from None
    return {name: str(path) for name, path in sorted(written.items())}


def _page_path(home: Home, plan: PlanDir, out: str | None) -> Path:
    if out is None:
        return home.report / f"{plan.plan_id}.html"
    path = Path(out).expanduser()
    if path.suffix == ".html":
        return path.absolute()
    if path.suffix and not path.is_dir():
        raise Refused(f"--out {out!r}; give a directory or a file that ends in .html")
    return path.absolute() / f"{plan.plan_id}.html"


def _short(path: Path) -> str:
    relative = os.path.relpath(path)
    return relative if len(relative) < len(str(path)) else str(path)
