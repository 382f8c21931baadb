"""A plan states what its registered tests can find, from its own numbers of problems, samples and seeds."""

from __future__ import annotations

import json
from pathlib import Path

from core.statistics.power import rejections
from orchestrator.planning.power import powers
from orchestrator.planning.reach import OUT
from orchestrator.report.gather import gather
from orchestrator.state.observed_plan import ObservedPlan
from orchestrator.store.plan_dir import read_spec
from support.fake_home import FakeHome
from support.finished_runs import MATRIX, study


def test_the_design_is_the_plans_and_another_simulation_agrees(fake: FakeHome) -> None:
    made = study(
        fake, MATRIX.replace('kind = "eval"', 'kind = "eval"\nconfig = { eval_problems = 40, eval_samples = 5 }')
    )
    found = powers(made.plan.content, [read_spec(run) for run in made.plan.runs()])
    assert set(found) == {"H1"}
    stated = found["H1"]
    assert (stated.design.problems, stated.design.samples, stated.design.seeds) == (40, 5, 3)
    again = rejections(stated.design, stated.effect_points, 2_000, seed=987, alpha=stated.alpha)
    share = again.over_problems
    error = 3 * (share * (1 - share) / 2_000 + 1e-6) ** 0.5
    assert abs(share - stated.found_seeds_differ.over_problems) <= 2 * error


def test_plan_prints_it(fake: FakeHome, tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    file.write_text(MATRIX)
    out = fake.grpoq("plan", str(file), "--dry-run").stdout
    lines = [line for line in out.splitlines() if "t-test over" in line or line.startswith("power H1")]
    assert len(lines) == 4 and max(map(len, lines)) <= 80 and "30 points at alpha 0.01, 3 seeds" in lines[0]
    answer = json.loads(fake.grpoq("plan", str(file), "--dry-run", "--json").stdout)
    assert 0 <= answer["power"]["H1"]["false_alarm"]["over_problems"] <= 0.05


def test_plan_prints_what_is_out_of_reach_and_the_locked_plan_holds_it(fake: FakeHome) -> None:
    out = fake.grpoq("plan", "nano15", "--dry-run").stdout
    assert "out of reach, claim: clean_V-update has 1 seed (41)" in " ".join(out.split())
    answer = json.loads(fake.grpoq("plan", "nano15", "--json").stdout)
    assert answer["reach"][0]["kind"] == OUT
    locked = json.loads((fake.home.plans / answer["plan_id"] / "plan.json").read_text())
    assert locked["reach"] == answer["reach"]


def test_the_report_says_it_too(fake: FakeHome) -> None:
    made = study(fake, MATRIX)
    said = made.plan.content["reach"]
    findings = [(f.kind, f.run) for f in gather(ObservedPlan(made.plan)).findings]
    assert said and all((limit["kind"], limit["of"]) in findings for limit in said)
