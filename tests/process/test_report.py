"""From a matrix that has ended to its verdicts: what is missing is named, and nothing is averaged in silence."""

from __future__ import annotations

import html
import json
import shutil
from pathlib import Path

import pytest

from core.runs import durable
from core.training.evaluate import rates
from orchestrator.report.gather import gather
from orchestrator.report.model import Report
from orchestrator.report.page.render import render
from orchestrator.report.text import report_lines
from orchestrator.state.observed_plan import ObservedPlan
from support.fake_home import FakeHome
from support.finished_runs import MATRIX, WORKS, Study, problem_rows, study, write_eval

WITHOUT_EVALUATIONS = MATRIX[: MATRIX.index("[[job]]")] + MATRIX[MATRIX.index("[[hypothesis]]") :]


@pytest.fixture
def whole(fake: FakeHome) -> Study:
    made = study(fake)
    made.finish_all()
    return made


def outcome(report: Report, name: str) -> str:
    return next(v.outcome for v in report.verdicts if v.name == name)


def arm(report: Report, label: str) -> tuple[int, float | None]:
    row = next(a for a in report.arms if a.label == label)
    return row.n, row.mean["hack_rate"]


def kinds(report: Report) -> dict[str, str]:
    """Findings by the run they name."""
    return {finding.run: finding.kind for finding in report.findings}


def test_a_method_that_works_earns_its_sentence_with_the_figures_in_it(whole: Study) -> None:
    report = gather(ObservedPlan(whole.plan))
    assert [outcome(report, h) for h in ("H1", "H3", "H4")] == ["supported"] * 3
    vanilla, erase = (100 * (arm(report, label)[1] or 0) for label in ("vanilla", "erase"))
    assert report.claim.made and f"from {vanilla:.1f}% to {erase:.1f}%" in report.claim.sentence
    assert report.headline == report.claim.sentence and "at matched pass rate +-5pp" in report.claim.sentence.lower()
    assert all(condition.holds for condition in report.claim.conditions)
    contrast = report.contrasts[0]
    assert contrast.hack is not None and contrast.hack.difference == pytest.approx(erase - vanilla)
    assert contrast.hack.bounds and contrast.hack.bounds[0] < contrast.hack.difference < contrast.hack.bounds[1]
    assert contrast.hack.n_problems == 60 and len(contrast.by_seed) == 3
    assert "Holm over 4" in report.protocol["multiplicity"] and report.protocol["source"] == "evaluation runs"


def test_figures_stand_with_and_without_the_problems_that_have_several_right_answers(fake: FakeHome) -> None:
    made = study(fake)
    made.not_unique = frozenset(range(0, 60, 4))
    made.finish_all()
    report = gather(ObservedPlan(made.plan))
    counts: dict[str, list[float]] = {}
    for label, (hack, passing) in (("vanilla", WORKS["vanilla"]), ("erase", WORKS["erase"])):
        for seed in (41, 42, 43):
            rows = [row for row in problem_rows(f"{label}-s{seed} {seed}", hack, passing) if int(row["problem_id"]) % 4]
            counts.setdefault(label, []).append(100 * sum(row["hacks"] for row in rows) / 450)
    vanilla, erase = (sum(counts[label]) / 3 for label in ("vanilla", "erase"))
    assert 100 * (next(a for a in report.arms if a.label == "erase").mean_unique["hack_rate"] or 0) == pytest.approx(
        erase
    )
    assert report.contrasts[0].unique["hack"] == pytest.approx(erase - vanilla)
    text = "\n".join(report_lines(report, 100))
    assert f"H1 on problems with one right answer: hack {erase - vanilla:+.1f}" in text
    assert text.count("  on problems with one right answer") == len(report.arms)
    assert f"{erase:.1f}" in html.unescape(render(report)).split('id="table-unique"')[1].split("</table>")[0]
    assert report.to_json()["contrasts"][0]["unique"]["hack"] == report.contrasts[0].unique["hack"]


def test_problems_of_an_evaluation_of_before_this_was_known_count_as_unique() -> None:
    rows = problem_rows("old", 0.5, 0.5)
    for row in rows:
        del row["unique"]
    assert rates(rows) == rates(problem_rows("old", 0.5, 0.5)) and "unique" not in rates(rows)


def test_where_every_answer_is_unique_nothing_is_said_of_it(whole: Study) -> None:
    report = gather(ObservedPlan(whole.plan))
    assert not any(row.unique for row in report.runs) and not any(c.unique for c in report.contrasts)
    assert "one right answer" not in "\n".join(report_lines(report, 80)) + render(report)


def test_one_seed_of_an_ablation_decides_nothing_and_the_runs_that_would_are_named(whole: Study) -> None:
    report = gather(ObservedPlan(whole.plan))
    h2 = next(v for v in report.verdicts if v.name == "H2")
    assert (h2.outcome, h2.would_decide) == ("not decided", ("erase-k1-s42",))
    contrast = next(c for c in report.contrasts if c.purpose == "H2")
    assert contrast.seeds == (41,)  # three seeds of erase do not stand against one
    erase_41 = next(r for r in report.runs if r.label == "erase" and r.seed == 41).rates["hack_rate"]
    ablation = next(r for r in report.runs if r.label == "erase-k1").rates["hack_rate"]
    assert contrast.hack is not None and erase_41 is not None and ablation is not None
    assert contrast.hack.difference == pytest.approx(100 * (erase_41 - ablation))
    assert contrast.hack.seed_sd is None and contrast.hack.seed_p is None
    assert next(a for a in report.arms if a.label == "erase-k1").sd["hack_rate"] is None


def test_a_control_that_does_as_well_comes_first(fake: FakeHome) -> None:
    made = study(fake)
    made.finish_all(WORKS | {"random_V": (0.29, 0.31)})
    report = gather(ObservedPlan(made.plan))
    assert report.headline.startswith("A negative control: random_V does as well as erase")
    assert outcome(report, "H1") == "supported" and not report.claim.made
    lines = report_lines(report, 80)
    assert "A negative control" in " ".join(lines[-4:])


def test_a_control_of_one_seed_names_the_runs_that_would_decide(fake: FakeHome) -> None:
    made = study(fake, MATRIX.replace('name = "random_V"', 'name = "random_V"\nseeds = [41]', 1))
    made.finish_all()
    report = gather(ObservedPlan(made.plan))
    (condition,) = [c for c in report.claim.conditions if c.text == "random_V is beaten"]
    assert condition.holds is None and condition.figure.endswith("would decide: random_V-s42")
    assert not report.claim.made


def test_what_is_missing_failed_left_out_or_foreign_is_named_and_not_averaged(fake: FakeHome) -> None:
    made = study(fake)
    made.finish_all(without=("vanilla-s42", "erase-s42", "random_V-s41", "rebound_mul-s43"))
    failed = made.run("erase-s42")
    failed.submit("local")
    (failed.attempt(1)).mkdir(parents=True)
    error = {"class": "tripwire", "message": "step 3: loss nan", "exit_code": 82, "time": 1000.0}
    durable.write_json(failed.attempt(1) / "error.json", error)
    made.finish("random_V-s41", 0.0, 0.0, collapsed=True)
    made.finish("rebound_mul-s43", 0.1, 0.3, plan_hash="f" * 64)

    report = gather(ObservedPlan(made.plan), show_hidden=True)  # one run may still come
    found = kinds(report)
    assert found["vanilla-s42"] == "missing" and found["erase-s42"] == "failed"
    assert found["random_V-s41"] == "excluded" and found["rebound_mul-s43"] == "foreign"
    assert "ffffffffffff" in next(f.text for f in report.findings if f.run == "rebound_mul-s43")
    assert [arm(report, label)[0] for label in ("vanilla", "erase", "random_V", "rebound_mul")] == [2, 2, 2, 2]
    rows = {f"{r.label}-s{r.seed}": r for r in report.runs}
    kept = [rows[f"rebound_mul-s{seed}"].rates["hack_rate"] or 0.0 for seed in (41, 42)]
    assert arm(report, "rebound_mul")[1] == pytest.approx(sum(kept) / 2)
    random = next(a for a in report.arms if a.label == "random_V")
    assert random.n_with_excluded == 3 and (random.mean_with_excluded["hack_rate"] or 0) < (
        random.mean["hack_rate"] or 0
    )
    assert outcome(report, "H1") == "not decided"  # one seed has both
    h1 = next(v for v in report.verdicts if v.name == "H1")
    assert set(h1.would_decide) == {"vanilla-s42", "erase-s42"}
    text = "\n".join(report_lines(report, 80))
    for name in ("MISSING vanilla-s42", "FAILED erase-s42", "EXCLUDED random_V-s41", "FOREIGN rebound_mul-s43"):
        assert name in text


def test_a_run_that_lost_rows_is_not_read(whole: Study) -> None:
    path = whole.run("vanilla-s41").attempt(1) / "metrics.jsonl"
    path.write_text("".join(line for n, line in enumerate(path.read_text().splitlines(keepends=True)) if n != 4))
    report = gather(ObservedPlan(whole.plan))
    row = next(r for r in report.runs if r.label == "vanilla" and r.seed == 41)
    assert not row.counted and row.why_not == "it kept 11 metrics rows of 12 steps: not read"
    assert arm(report, "vanilla")[0] == 2


def test_runs_of_another_plan_in_the_same_home_are_tried_and_not_counted(fake: FakeHome) -> None:
    older = study(fake, MATRIX.replace('"does it help?"', '"a first try"'))
    older.finish("vanilla-s41", 0.1, 0.9)
    made = study(fake)
    made.finish_all()
    report = gather(ObservedPlan(made.plan))
    assert report.tried["elsewhere"] == 1 and report.tried["runs"] == 13
    (foreign,) = [f for f in report.findings if f.kind == "foreign"]
    assert foreign.run == older.run("vanilla-s41").run_id and older.plan.plan_id in foreign.text
    assert arm(report, "vanilla")[0] == 3 and (arm(report, "vanilla")[1] or 0) > 0.7


def test_survivors_alone_earn_no_claim(fake: FakeHome) -> None:
    made = study(fake, MATRIX.replace("seeds = [41, 42, 43]", "seeds = [41, 42, 43, 44]", 1))
    made.finish_all(without=("erase-s44",))
    made.run("erase-s44").cancel()
    report = gather(ObservedPlan(made.plan))
    assert outcome(report, "H1") == "supported" and not report.claim.made
    (condition,) = [c for c in report.claim.conditions if c.text.startswith("every planned run")]
    assert condition.holds is False and "erase-s44" in condition.figure


def test_a_protocol_that_came_afterwards_earns_no_claim(fake: FakeHome) -> None:
    made = study(fake, WITHOUT_EVALUATIONS)
    for row in made.plan.content["runs"]:
        name = f"{row['label']}-s{row['seed']}"
        made.finish(name, *WORKS[row["label"]], evaluated=False)
        write_eval(made.run(name), made.run(name), problem_rows(name, *WORKS[row["label"]]))
    report = gather(ObservedPlan(made.plan))
    assert outcome(report, "H1") == "supported" and not report.claim.made
    assert any("made afterwards" in c.figure for c in report.claim.conditions)


def test_a_run_without_a_row_and_a_torn_result_are_not_read(whole: Study) -> None:
    (whole.run("vanilla-s41").attempt(1) / "metrics.jsonl").unlink()
    whole.run("vanilla-s42").result_path.write_text('{"schema": 1,')
    whole.run("vanilla-s43").result_path.write_text("[]")
    whole.run("eval-erase-s41").spec_path.write_text("{")
    report = gather(ObservedPlan(whole.plan))
    why = {f.run: f.text for f in report.findings if f.run.startswith("vanilla-s4")}
    assert "0 metrics rows of 12" in why["vanilla-s41"]
    assert "torn" in why["vanilla-s42"] and "torn" in why["vanilla-s43"]
    assert arm(report, "vanilla") == (0, None)


def test_a_collapsed_treatment_is_no_success(fake: FakeHome) -> None:
    made = study(fake)
    made.finish_all(without=("erase-s41", "erase-s42", "erase-s43"))
    for seed in (41, 42, 43):
        made.finish(f"erase-s{seed}", 0.0, 0.0, collapsed=True)
    report = gather(ObservedPlan(made.plan))
    assert outcome(report, "H1") == "falsified" and not report.claim.made
    assert arm(report, "erase") == (0, None)


def test_two_protocols_never_meet_in_one_mean(whole: Study) -> None:
    run = whole.run("vanilla-s43")
    rows = durable.read_json(next((run.path / "eval").glob("*.json")))["problems"]  # type: ignore[index]
    shutil.rmtree(run.path / "eval")
    write_eval(run, whole.run("eval-vanilla-s43"), rows, temperature=0.1)
    report = gather(ObservedPlan(whole.plan))
    row = next(r for r in report.runs if r.label == "vanilla" and r.seed == 43)
    assert not row.counted and "not evaluated by protocol" in row.why_not
    assert any("temperature 0.1" in f.text for f in report.findings if f.kind == "evaluation")
    assert arm(report, "vanilla")[0] == 2 and outcome(report, "H1") == "not decided"


def test_evaluations_that_are_open_or_by_another_protocol_are_said_wherever_the_report_is(fake: FakeHome) -> None:
    made = study(fake)
    made.finish_all(without=("erase-s43",))
    made.finish("erase-s43", *WORKS["erase"], evaluated=False)
    for name in ("vanilla-s41", "vanilla-s42"):
        write_eval(made.run(name), made.run(f"eval-{name}"), problem_rows(name, 0.5, 0.5), temperature=0.1)
    report = gather(ObservedPlan(made.plan), show_hidden=True)
    found = {(f.run, f.text) for f in report.findings if f.kind == "evaluation"}
    assert ("eval-erase-s43", "registered, and planned") in found
    (other,) = [text for _, text in found if text.endswith("measured 2 of these runs as well")]
    assert other.split()[1] != report.protocol["hash"]
    shown = (
        html.unescape(render(report)),
        " ".join(" ".join(report_lines(report, 80)).split()),
        json.dumps(report.to_json()),
    )
    for text in shown:
        assert "eval-erase-s43" in text and "registered, and planned" in text and other in text


def test_an_open_evaluation_of_an_unfinished_run_is_not_news_and_a_failed_one_is(whole: Study) -> None:
    assert not [f for f in gather(ObservedPlan(whole.plan)).findings if f.kind == "evaluation"]
    whole.run("eval-erase-s42").result_path.unlink()
    whole.run("eval-erase-s42").cancel()
    whole.run("eval-erase-s43").result_path.unlink()
    whole.run("erase-s43").result_path.unlink()  # `unfinished` says so already
    found = [f for f in gather(ObservedPlan(whole.plan)).findings if f.run.startswith("eval-")]
    assert [(f.run, f.text) for f in found] == [("eval-erase-s42", "registered, and cancelled")]


def test_evaluations_too_few_to_be_used_are_said(fake: FakeHome) -> None:
    made = study(fake, WITHOUT_EVALUATIONS)
    for row in made.plan.content["runs"]:
        made.finish(f"{row['label']}-s{row['seed']}", *WORKS[row["label"]], evaluated=False)
    run = made.run("vanilla-s41")
    write_eval(run, run, problem_rows("vanilla-s41", *WORKS["vanilla"]))
    (found,) = [f for f in gather(ObservedPlan(made.plan)).findings if f.kind == "evaluation"]
    assert found.text.endswith("measured 1 of these runs, too few to be used: `grpoq eval`")


def test_of_a_blinded_runs_other_evaluation_only_its_existence_is_said(fake: FakeHome) -> None:
    made = study(fake)
    made.finish_all(without=("erase-s43",))
    write_eval(made.run("erase-s41"), made.run("eval-erase-s41"), problem_rows("x", 0.5, 0.5), temperature=0.1)
    rates = [
        figure
        for path in (made.run("erase-s41").path / "eval").glob("*.json")
        for figure in (durable.read_json(path) or {})["metrics"].values()
        if isinstance(figure, float) and 0 < figure < 1
    ]
    report = gather(ObservedPlan(made.plan))
    assert [f for f in report.findings if f.text.endswith("measured 1 of these runs as well")]
    shown = json.dumps([(f.run, f.text) for f in report.findings])
    assert rates and not [r for r in rates if repr(r) in shown or f"{100 * r:.1f}" in shown]


def test_without_evaluations_the_fallback_is_said_and_nothing_is_supported(fake: FakeHome) -> None:
    made = study(fake)
    for row in made.plan.content["runs"]:
        if row["kind"] == "train":
            made.finish(f"{row['label']}-s{row['seed']}", *WORKS[row["label"]], evaluated=False)
    report = gather(ObservedPlan(made.plan), show_hidden=True)  # planned evaluations are still to come
    assert any(f.kind == "fallback" and "result.json" in f.text for f in report.findings)
    assert outcome(report, "H1") == "not decided" and not report.claim.made
    assert report.contrasts[0].hack is not None and report.contrasts[0].hack.p is None


def test_arms_that_differ_in_more_than_their_knob_are_named(fake: FakeHome) -> None:
    made = study(fake, MATRIX.replace('name = "rebound_mul"', 'name = "rebound_mul"\nconfig = { lr = 0.5 }'))
    made.finish_all()
    found = [f for f in gather(ObservedPlan(made.plan)).findings if f.kind == "unmatched"]
    assert [(f.run, f.text) for f in found] == [("erase against rebound_mul", "lr differs: 0.01, 0.5")]


def test_the_last_lines_answer_the_question(whole: Study) -> None:
    lines = report_lines(gather(ObservedPlan(whole.plan)), 80)
    assert max(map(len, lines)) <= 80
    last = "\n".join(lines[-30:])
    for word in (
        "H1 SUPPORTED",
        "H2 not decided",
        "would decide: erase-k1-s42",
        "vanilla (baseline)",
        "reduces hack rate",
    ):
        assert word in last


def test_the_command_writes_page_figures_and_tables_the_same_twice(fake: FakeHome, whole: Study) -> None:
    first = json.loads(fake.grpoq("report", "--json").stdout)
    page = Path(first["page"])
    assert page == fake.home.report / f"{whole.plan.plan_id}.html" and page.is_file()
    assert first["plan"]["hash"] == whole.plan.content["hash"] and first["schema"] == 2
    kept = {path: path.read_bytes() for path in [page, *map(Path, first["figures"].values())]}
    assert {path.suffix for path in kept} >= {".html", ".png", ".svg", ".csv", ".parquet"}
    shutil.rmtree(fake.home.report)
    out = fake.grpoq("report").stdout
    assert all(path.read_bytes() == old for path, old in kept.items())
    assert max(map(len, out.splitlines())) <= 80 and "\x1b" not in out
    fake.grpoq("report", "--out", "here/mine.html")
    assert (fake.home.path / "here" / "mine.html").read_bytes() == kept[page]
    assert "--out" in fake.grpoq("report", "--out", "x.pdf", expect=2).stderr
