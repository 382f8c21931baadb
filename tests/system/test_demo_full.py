"""`just demo-full` on random weights: fifteen runs, two of them killed, and the report at the end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from orchestrator.planning.matrix import find_matrix
from orchestrator.report.gather import gather
from orchestrator.state.observed_plan import ObservedPlan
from orchestrator.store.home import Home
from orchestrator.store.plan_dir import choose_plan
from orchestrator.tools.audit import audit
from support.paths import REPO
from support.patience import patient

# A tenth of a second a step, so that every run lives for some polls of the demo.
QUICK = (
    *("steps=120", "checkpoint_every=20", "eval_every=120", "eval_problems=2", "eval_samples=1", "max_new=12"),
    *("batch=8", "completions=4", "check_problems=1"),
)


def quick(folder: Path) -> Path:
    """The matrix of `just demo-full` on random weights: they never hack, so it waits for no rate."""
    text = (
        find_matrix("nano15")
        .read_text()
        .replace('preset = "nano"', 'preset = "smoke"')
        .replace("lr = 6e-2", "lr = 1e-3")
    )
    before, _, rest = text.partition('[[gate]]\nname = "h4"')
    path = folder / "fifteen.toml"
    path.write_text(before + rest[rest.index("# docs/protocol.md 6.1") :])
    return path


def test_fifteen_runs_come_to_verdicts_by_themselves_and_two_kills_are_not_missed(tmp_path: Path) -> None:
    place = tmp_path / "demo"
    command = [sys.executable, "-m", "orchestrator.tools.demo", "--full", "--home", str(place), "--seed", "1"]
    command += ["--plan", str(quick(tmp_path)), *(f"--set={item}" for item in QUICK)]
    environment = os.environ | {"PYTHONPATH": str(REPO), "COLUMNS": "80"}
    done = subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True, timeout=patient(2400))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("kill -9 of") == 2 and "plan to report" in done.stdout
    plan = choose_plan(Home(place), None)
    report = gather(ObservedPlan(plan))
    assert [row.state for row in report.runs] == ["done"] * 15 and report.tried["attempts"] == 17
    assert {v.name for v in report.verdicts} == {"H1", "H2", "H3", "H4"}
    assert report.protocol["source"] == "evaluation runs" and not report.peeks
    assert audit(Home(place)) == []
    assert (place / "report" / f"{plan.plan_id}.html").is_file()
