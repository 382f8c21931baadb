"""`just demo-full`, half as long: fifteen runs, two of them killed, and the report at the end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from orchestrator.report.gather import gather
from orchestrator.state.observed_plan import ObservedPlan
from orchestrator.store.home import Home
from orchestrator.store.plan_dir import choose_plan
from orchestrator.tools.audit import audit
from support.paths import REPO
from support.patience import patient


def test_fifteen_runs_come_to_verdicts_by_themselves_and_two_kills_are_not_missed(tmp_path: Path) -> None:
    place = tmp_path / "demo"
    command = [sys.executable, "-m", "orchestrator.tools.demo", "--full", "--home", str(place), "--seed", "1"]
    command += ["--set", "steps=30", "--set", "checkpoint_every=10", "--set", "eval_every=30"]
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
