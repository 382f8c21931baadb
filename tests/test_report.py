"""The report shows each finished run's own numbers, means with their n, and names what is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fake_home import FakeHome, fake  # noqa: F401

from core import durable
from core.plots import Curve, save_figure, terminal_plot
from orchestrator.plan_dir import PlanDir
from orchestrator.report import gather, report_lines

RATES = {"pass_rate": 0.30, "hinted_pass_rate": 0.20, "hack_rate": 0.60, "empty_test_rate": 0.99}


@pytest.fixture
def plan(fake: FakeHome) -> PlanDir:  # noqa: F811
    """Seed 42 of three has not finished."""
    made = fake.planned(seeds="43,42,41")
    for run, hack in zip(made.runs(), (0.5, None, 0.7), strict=True):
        if hack is None:
            continue
        seed = durable.read_json(run.spec_path)["seed"]
        result = {"schema": 1, "run_id": run.run_id, "arm": "vanilla", "seed": seed, "steps": 12, "attempts": 2}
        result |= RATES | {"hack_rate": hack, "takeoff_step": None, "wall_s": 75.0, "n_hinted": 256}
        durable.write_json(run.result_path, result)
        (run.path / "attempts" / "0001").mkdir(parents=True)
        for step, rate in ((0, 0.01), (12, hack)):
            row = {"step": step, "hack_rate": rate, "pass_rate": 0.2, "n_hinted": 256, "n_pass": 256}
            durable.append_line(run.attempt(1) / "evals.jsonl", row)
    return made


def test_rows_are_sorted_means_have_their_n_and_the_missing_are_named(plan: PlanDir) -> None:
    report = gather(plan)
    assert [row["seed"] for row in report["runs"]] == [41, 43]
    mean = report["means"][0]
    assert (mean["n"], mean["n_planned"]) == (2, 3) and mean["hack_rate"] == pytest.approx(0.6)
    assert [row["state"] for row in report["unfinished"]] == ["planned"]
    lines = report_lines(report, plan.plan_id, 80)
    assert max(map(len, lines)) <= 80
    first = next(line for line in lines if line.startswith("vanilla-s41")).split()
    assert first == ["vanilla-s41", "30.0", "20.0", "70.0", "99.0", "never", "256", "12", "2", "1m"]
    assert "2/3 runs" in next(line for line in lines if line.startswith("mean"))
    assert f"not finished: {plan.run_ids[1]}  planned" in lines


def test_the_command_writes_the_figure_and_one_json_document(fake: FakeHome, plan: PlanDir) -> None:  # noqa: F811
    printed = json.loads(fake.grpoq("report", "--json").stdout)
    figure = Path(printed["figure"])
    assert figure == fake.home.report / f"{plan.plan_id}.png" and figure.read_bytes()[:4] == b"\x89PNG"
    out = fake.grpoq("report", "--out", "here").stdout
    assert (fake.home.path / "here" / f"{plan.plan_id}.png").is_file()
    assert max(map(len, out.splitlines())) <= 80 and "\x1b" not in out
    assert "--out" in fake.grpoq("report", "--out", "x.pdf", expect=2).stderr


def test_the_terminal_plot_puts_points_where_they_belong() -> None:
    """A curve at 100 % fills the top row and one at 0 % the bottom row."""
    up = Curve("up", 1, (0, 50, 100), (1.0, 1.0, 1.0), (None, None, None), 4, 4)
    down = Curve("down", 2, (0, 50, 100), (0.0, 0.0, 0.0), (None, None, None), 4, 4)
    lines = terminal_plot([up, down], "hack_rate", "t", 80).splitlines()
    bare = [line.partition("┤")[2] or line.partition("│")[2] for line in lines]
    rows = [line for line in bare if line]
    assert rows[0].count("a") > 10 and rows[-1].count("b") > 10
    assert "b" not in rows[0] and "a" not in rows[-1]
    assert lines[-1] == "a up-s1  b down-s2"
    assert terminal_plot([up], "pass_rate", "t", 80) == ""  # nothing measured, nothing drawn


def test_a_figure_of_many_runs_is_written_whole(tmp_path: Path) -> None:
    curves = [Curve(arm, s, (0, 20), (0.0, 0.5), (0.2, None), 256, 256) for arm in "abc" for s in range(5)]
    save_figure(curves, tmp_path / "deep" / "x.png", "title")
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["x.png"]
