"""`grpoq eval`: what lacks an evaluation is planned and submitted once; and the eval jobs of matrices, base and all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.runs import durable
from core.statistics.evaluations import choose, evaluations
from orchestrator.planning import plan as planning
from orchestrator.planning.evaluation_plan import agenda, settings
from orchestrator.planning.expand import expand
from orchestrator.planning.matrix import BUILT_IN, find_matrix, parse_matrix, read_matrix
from orchestrator.planning.resolve import read_choices
from orchestrator.refusal import Refused
from orchestrator.store.home import Home
from orchestrator.store.plan_dir import PlanDir, choose_plan, evaluated_plan, read_spec
from support import in_process
from support.benchmark_row import benchmark_row
from support.fake_home import FakeHome, tree, until
from support.model_folder import nano_folder
from support.plan_files import CHAIN

SMALL = ("steps=1", "eval_every=1", "eval_problems=2", "max_new=12", "disk_floor_gb=0.01")
TINY = ("eval_problems=1", "eval_samples=1", "max_new=6")


@pytest.fixture
def home(fake: FakeHome, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Home:
    """Planned here; what is worked is worked by the real code, in this process."""
    monkeypatch.setenv("GRPOQ_SOURCE", str(fake.source))
    monkeypatch.setenv("GRPOQ_CACHE", str(tmp_path / "cache"))
    return fake.home


def planned(home: Home, text: str = "", *overrides: str, seeds: str = "41,42", **flags: Any) -> PlanDir:
    matrix = parse_matrix(text, "chain.toml") if text else read_matrix(find_matrix("smoke"))
    flags = {"arms": None if text else "vanilla", "seeds": seeds, "slots": 1, "problems": None} | flags
    draft = planning.draft_plan(matrix, read_choices(overrides=[*SMALL, *overrides], **flags))
    return planning.write_plan(home, draft)[0]


def called_done(plan: PlanDir, *names: str) -> None:
    """Results as they count for planning: there."""
    for run in plan.runs():
        if read_spec(run).kind == "train" and (not names or run.run_id.rpartition("-")[0] in names):
            durable.write_json(run.result_path, {"run_id": run.run_id})


def whose(home: Home, plan: PlanDir, *names: str, **flags: Any) -> dict[str, str]:
    """What would be planned: label-seed of the eval run -> whose weights."""
    draft = agenda(home, plan, names, **flags).draft
    assert draft is not None
    return {f"{s.label}-s{s.seed}": s.of.rpartition("-")[0] for s in draft.specs}


def test_evaluations_of_an_older_plan_register_the_models_contents(home: Home, tmp_path: Path) -> None:
    """Plans of schema 1 had a model's directory by its path."""
    of = planned(home, "", f"model={nano_folder(tmp_path / 'model')}", seeds="41")
    called_done(of)
    spec = durable.read_json(of.runs()[0].spec_path)
    known = spec["config"].pop("model_sha256")
    durable.write_json(of.runs()[0].spec_path, spec)
    draft = agenda(home, of).draft
    assert draft is not None and {s.config.model_sha256 for s in draft.specs} == {known} != {""}


# ---- the command, with a queue


def test_eval_plans_and_submits_once(fake: FakeHome) -> None:
    of = fake.planned(seeds="41,42")
    before = tree(fake.home.path)
    assert "vanilla-s41 has not finished; vanilla-s42 has not finished" in fake.grpoq("eval", expect=1).stderr
    assert tree(fake.home.path) == before
    fake.submit(of)
    assert fake.wait(of) == {"done"}
    until(lambda: fake.watch_pid() is None, "the watch of the training runs leaves")

    endless = {"GRPOQ_FAKE_STEP_S": "600"}
    answer = json.loads(fake.grpoq("eval", "--samples", "3", "--json", **endless).stdout)
    assert answer["evaluates"] == {"plan_id": of.plan_id, "hash": of.content["hash"]} and answer["is_new"]
    (made,) = answer["plans"]
    assert (made["backend"], made["slots"]) == ("local", of.slots)  # as the training runs were submitted
    assert made["plan_id"].startswith("smoke-eval-")
    assert [row["of"] for row in made["runs"]] == ["", *of.run_ids]
    plan = choose_plan(fake.home, None)
    assert plan.plan_id == made["plan_id"] and evaluated_plan(plan).plan_id == of.plan_id
    assert {read_spec(run).config.eval_samples for run in plan.runs()} == {3}

    before = what_is_planned(fake)
    again = json.loads(fake.grpoq("eval", "--samples", "3", "--json", **endless).stdout)  # of the newest plan
    assert not again["is_new"] and [p["plan_id"] for p in again["plans"]] == [plan.plan_id]
    assert what_is_planned(fake) == before and all(len(run.submissions()) <= 1 for run in plan.runs())


def what_is_planned(fake: FakeHome) -> list[str]:
    there = tree(fake.home.path)
    return [path for path in there if path.startswith(("plans", "snapshots")) or path.endswith("spec.json")]


def test_a_plan_of_evaluations_is_looked_after_like_any_other(fake: FakeHome) -> None:
    of = fake.planned()
    called_done(of)
    fake.grpoq("eval")
    assert "2 of 2 done" in fake.grpoq("wait", "--timeout", "60").stdout
    shown = fake.grpoq("status").stdout
    assert "eval-vanilla-s41" in shown and f"next: grpoq report --plan {of.plan_id}" in shown
    assert json.loads(fake.grpoq("status", "eval-base-s0", "--json").stdout)["state"] == "done"
    for command in ("logs eval-base", "cost", "resume"):
        fake.grpoq(*command.split())
    assert "done" in fake.grpoq("retry", "eval-base", expect=2).stderr
    rebuilt = fake.grpoq("doctor", "--rebuild", expect=None)
    assert "made again: 2 plans, 3 runs" in rebuilt.stderr and "Traceback" not in rebuilt.stderr


@pytest.mark.parametrize(
    "arguments, code, word",
    [
        (["eval"], 2, "no plan in"),
        (["eval", "nobody"], 4, "nobody"),
        (["eval", "--set", "eval_samples=0"], 2, "eval_samples"),
        (["eval", "--set", "problems=nano"], 2, "training run's own rows"),
        (["eval", "--set", "model=nano"], 2, "own rows and model"),
        (["eval", "--set", "markers=held_out"], 2, "names run_tests, as in training"),
        (["eval", "--samples", "many"], 2, "samples"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_and_leaves_no_trace(
    fake: FakeHome,
    arguments: list[str],
    code: int,
    word: str,
) -> None:
    if word != "no plan in":
        called_done(fake.planned())
    before = tree(fake.home.path)
    done = fake.grpoq(*arguments, expect=code)
    assert word in done.stderr and done.stdout == "" and tree(fake.home.path) == before


# ---- what is missing


def test_an_evaluation_that_is_there_is_not_made_again(home: Home) -> None:
    """The whole way by the real code: train, plan evaluations, make them, find nothing left to do."""
    of = planned(home)
    in_process.attempt(of.runs()[0])
    first = agenda(home, of, overrides=TINY)
    assert first.notes == ("vanilla-s42 has not finished",) and first.draft is not None
    plan, _ = planning.write_plan(home, first.draft)
    for run in plan.runs():
        in_process.attempt(run)
    with pytest.raises(Refused, match=r"nothing to evaluate of smoke-.*: vanilla-s42 has not finished") as refused:
        agenda(home, of, overrides=TINY)
    assert refused.value.exit_code == 1

    in_process.attempt(of.runs()[1])
    assert whose(home, of, overrides=TINY) == {"eval-vanilla-s42": "vanilla-s42"}
    assert len(whose(home, of, overrides=(*TINY, "eval_samples=2"))) == 3
    draft = agenda(home, of, overrides=TINY).draft
    assert draft is not None
    second, _ = planning.write_plan(home, draft)
    in_process.attempt(second.runs()[0])
    with pytest.raises(Refused, match="all 3 have an evaluation by this protocol"):
        agenda(home, of, overrides=TINY)
    chosen = choose([*of.runs(), plan.runs()[0]])
    assert len(chosen.by_run) == 3 and chosen.notes == ()

    (lost,) = (of.runs()[0].path / "eval").glob("*.json")
    lost.write_text(lost.read_text()[:-9])  # torn: made again, by a run that is not the one that is done
    draft = agenda(home, of, overrides=TINY).draft
    assert draft is not None and draft.content["instead_of"] == [plan.run_ids[1]]
    assert draft.content["hash"] != plan.content["hash"] and draft.specs[0].run_id not in plan.run_ids
    mended, _ = planning.write_plan(home, draft)
    found = in_process.attempt(mended.runs()[0])
    assert found is not None and found["cached"] is True  # its figures were kept
    assert [e.hash for e in evaluations(of.runs()[0])] == [lost.stem]


def test_an_eval_run_that_is_planned_is_left_to_its_plan(home: Home) -> None:
    of = planned(home, CHAIN.replace('of = ["erase"]', "config = { eval_samples = 2 }"))
    called_done(of, "vanilla-s41", "erase-s41")
    with pytest.raises(Refused) as refused:
        agenda(home, of)
    for word in (
        "the base model will be evaluated by eval-base-s0-",
        "vanilla-s41 will be evaluated by eval-vanilla-s41-",
    ):
        assert word in str(refused.value)
    assert len(whose(home, of, overrides=["eval_samples=5"])) == 3


def test_a_protocol_that_a_plan_announces_is_the_default_for_what_it_left_out(home: Home) -> None:
    text = CHAIN.replace('of = ["erase"]', 'of = ["erase"]\nconfig = { eval_samples = 2, eval_problems = 5 }')
    of = planned(home, text, "eval_samples=7")
    called_done(of, "vanilla-s41", "erase-s41")
    found = agenda(home, of)
    assert found.draft is not None
    specs = {s.label: s.config for s in found.draft.specs}
    announced = next(s.config for run in of.runs() if (s := read_spec(run)).label == "eval-erase")
    assert set(specs) == {"eval-base", "eval-vanilla"}
    for config in specs.values():
        assert (
            (config.eval_samples, config.eval_problems) == (announced.eval_samples, announced.eval_problems) == (7, 2)
        )


def test_runs_and_the_base_model_may_be_named(home: Home) -> None:
    of = planned(home, CHAIN)
    called_done(of, "vanilla-s41", "vanilla-s42")
    assert whose(home, of, "vanilla-s42") == {"eval-vanilla-s42": "vanilla-s42"}
    assert whose(home, of, "base") == {"eval-base-s0": ""}
    with pytest.raises(Refused, match="is no training run"):
        agenda(home, of, ["extract"])
    with pytest.raises(Refused, match="erase-s41 has not finished") as refused:
        agenda(home, of, ["erase-s41"])
    assert refused.value.exit_code == 1


def test_rows_are_those_that_the_runs_were_trained_with(home: Home, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps(benchmark_row(n)) + "\n" for n in range(1, 9)))
    text = rows.read_text()
    of = planned(home, "", problems=str(rows))
    rows.unlink()
    called_done(of)
    draft = agenda(home, of, overrides=settings(3, 4, ["max_new=9"])).draft
    assert draft is not None
    plan, _ = planning.write_plan(home, draft)
    for run in plan.runs():
        config = read_spec(run).config
        assert run.problems_path.read_text() == text
        assert (config.hint, config.markers) == ("overwrite_tests", "held_out")  # docs/protocol.md 1.8, 5.4
        assert (config.eval_samples, config.eval_problems, config.max_new) == (3, 4, 9)


def test_the_plan_is_the_same_one_whenever_it_is_made(home: Home) -> None:
    of = planned(home)
    called_done(of)
    one, two = agenda(home, of).draft, agenda(home, of).draft
    assert one is not None and two is not None and one.content == two.content and one.specs == two.specs
    assert one.content["evaluates"] == of.content["hash"] and one.content["name"] == "smoke-eval"
    assert "cap" not in one.content["budget"]


# ---- eval jobs of a matrix


def test_an_eval_job_is_of_every_training_run_and_once_of_the_base_model() -> None:
    matrix = parse_matrix(CHAIN.replace('of = ["erase"]', ""), "chain.toml")
    found = [e for e in expand(matrix, matrix.arms, None) if e.kind == "eval"]
    trained = [f"{arm}-s{seed}" for seed in (41, 42) for arm in ("vanilla", "erase")]
    assert [e.name for e in found] == ["eval-base-s0", *(f"eval-{name}" for name in trained)]
    assert [e.of.name if e.of else None for e in found] == [None, *trained]
    other = expand(matrix, matrix.arms, (7,))
    assert "eval-base-s0" in [e.name for e in other]  # whatever the seeds, the draws of the base model are the same
    seeded = parse_matrix(CHAIN.replace('of = ["erase"]', 'of = ["base"]\nseed = 5'), "chain.toml")
    assert [e.name for e in expand(seeded, seeded.arms, None) if e.kind == "eval"] == ["eval-base-s5"]


def test_the_base_model_waits_for_gates_and_for_no_run(home: Home) -> None:
    gate = '[[gate]]\nname = "sound"\nrun = "extract"\nmetric = "separation"\nat_least = 0.5\nbefore = ["eval"]\n'
    plan = planned(home, CHAIN.replace('of = ["erase"]', "") + gate)
    rows = {row["label"]: row for row in plan.content["runs"] if row["kind"] == "eval"}
    assert "after" not in rows["eval-base"] and rows["eval-vanilla"]["after"]
    (behind,) = [g["before_runs"] for g in plan.gates if g["name"] == "sound"]
    assert rows["eval-base"]["run_id"] in behind
    spec = read_spec(home.run(rows["eval-base"]["run_id"]))
    assert (spec.kind, spec.of, spec.arm) == ("eval", "", "")


@pytest.mark.parametrize("name", ["full", "full13", "full-plus", "full-2b", "gated"])
def test_built_in_matrices_evaluate_the_base_model_and_name_what_training_did_not(name: str) -> None:
    matrix = read_matrix(BUILT_IN / f"{name}.toml")
    entries = expand(matrix, matrix.arms, None)
    assert "eval-base-s0" in [e.name for e in entries]
    (job,) = [job for job in matrix.jobs if job.kind == "eval"]
    expected = None if name == "gated" else "held_out"  # nano's model knows no other name than training's
    assert job.config.get("markers") == expected


def test_evaluations_made_afterwards_decode_what_fits_the_planned_card(home: Home) -> None:
    """A training run's rows would be another number, and of each subset of arms another one."""
    on_a_card = ("device=cuda", "gpu_memory_gb=16", "model=smollm2-135m", "dtype=bfloat16", "decode_rows=8")
    plan = planned(home, "", *on_a_card, "max_prompt=1536", "max_new=1536")
    called_done(plan)
    asked = ("eval_problems=300", "eval_samples=10", "max_new=1536")
    both, one = (agenda(home, plan, names, overrides=asked).draft for names in ((), ("vanilla-s41",)))
    assert both is not None and one is not None
    (rows,) = {spec.config.decode_rows for spec in (*both.specs, *one.specs)}
    assert rows > 8 and rows % 10 == 0 and rows < 3000
    given = agenda(home, plan, (), overrides=(*asked, "decode_rows=20")).draft
    assert given is not None and {spec.config.decode_rows for spec in given.specs} == {20}
