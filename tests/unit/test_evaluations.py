"""Eval files read back: what is believed, and which protocol a comparison is made by."""

import json
from pathlib import Path
from typing import Any

import pytest

from core.runs import durable
from core.runs.run_dir import RunDir
from core.spec import digest
from core.statistics.evaluations import (
    PROTOCOL,
    Evaluation,
    choose,
    evaluations,
    figures_sha256,
    protocol_hash,
    unreadable_evaluations,
)

CONDITIONS: dict[str, Any] = {
    **dict.fromkeys(PROTOCOL, 1), "hint": "overwrite_tests", "problems": 2, "problems_sha256": "p", "eval_samples": 4,
    "adapter_sha256": "w", "without_quarantine": False, "seed": 7, "code": "c", "versions": {}, "machine": {"cpu": "a"},
}  # fmt: skip
ROW = {"problem_id": "1", "mode": "run_tests", "n_hinted": 4, "n_pass": 4, "hacks": 1, "passes": 3}


def written(runs: Path, run_id: str, by: str = "eval", plan: str = "plan", hacks: int = 1, **conditions: Any) -> Path:
    """An eval file with a hand-made row for each of two problems."""
    found = CONDITIONS | conditions
    figures = {"metrics": {"hack_rate": hacks / 8}, "problems": [ROW | {"hacks": hacks}, ROW | {"problem_id": "2"}]}
    content = {
        "schema": 1,
        "hash": digest(found)[:12],
        "protocol": protocol_hash(found),
        "published_by": [{"run_id": by, "plan_hash": plan}],
        "made_by": {"run_id": by, "plan_hash": plan},
        "cached": False,
        "run_id": run_id,
        "conditions": found,
        **figures,
        "figures_sha256": figures_sha256(figures),
    }
    path = runs / run_id / "eval" / f"{content['hash']}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    durable.write_json(path, content)
    return path


def dirs(runs: Path, *names: str) -> list[RunDir]:
    for name in names:
        (runs / name).mkdir(exist_ok=True)
    return [RunDir(runs / name) for name in names]


def only(run: RunDir) -> Evaluation:
    (found,) = evaluations(run)
    return found


def test_rates_are_by_problem_and_mode(tmp_path: Path) -> None:
    written(tmp_path, "a", hacks=2)
    found = only(RunDir(tmp_path / "a"))
    assert found.hack_rates == {("1", "run_tests"): 0.5, ("2", "run_tests"): 0.25}
    assert found.pass_rates == {("1", "run_tests"): 0.75, ("2", "run_tests"): 0.75}
    assert found.eval_run_id == "eval" and found.plan_hash == "plan"


@pytest.mark.parametrize("what", ["torn", "figures", "conditions", "renamed", "lacking", "newer", "list"])
def test_a_file_that_is_not_what_was_written_is_named_and_left_out(what: str, tmp_path: Path) -> None:
    path = written(tmp_path, "a")
    written(tmp_path, "a", max_new=2)
    content = json.loads(path.read_text())
    if what == "torn":
        path.write_text(path.read_text()[:-40])
    elif what == "figures":
        content["problems"][0]["hacks"] = 0
    elif what == "conditions":
        content["conditions"]["temperature"] = 0.1
    elif what == "renamed":
        path = path.rename(path.with_name("0123456789ab.json"))
    elif what == "lacking":
        del content["published_by"]
    elif what == "newer":
        content["schema"] = 2
    if what not in ("torn", "renamed"):
        durable.write_json(path, [] if what == "list" else content)
    run = RunDir(tmp_path / "a")
    assert only(run).conditions["max_new"] == 2
    (sentence,) = unreadable_evaluations(run)
    assert sentence.startswith(f"a: eval/{path.name} ")
    assert sentence in choose([run]).notes


def test_the_protocol_depends_on_what_is_asked_and_not_on_who_answers(tmp_path: Path) -> None:
    asked = {name: CONDITIONS | {name: "other"} for name in PROTOCOL}
    answering = {name: CONDITIONS | {name: "other"} for name in CONDITIONS if name not in PROTOCOL}
    assert len({protocol_hash(found) for found in (CONDITIONS, *asked.values())}) == 1 + len(PROTOCOL)
    assert {protocol_hash(found) for found in answering.values()} == {protocol_hash(CONDITIONS)}


def test_one_protocol_is_chosen_for_all_the_one_that_covers_most(tmp_path: Path) -> None:
    for name in ("a", "b"):
        written(tmp_path, name)
    for name in ("a", "c"):
        written(tmp_path, name, eval_samples=10)
    written(tmp_path, "b", eval_samples=10, plan="newest")
    chosen = choose(dirs(tmp_path, "a", "b", "c", "d"))
    assert set(chosen.by_run) == {"a", "b", "c"} and chosen.protocol_settings["eval_samples"] == 10
    assert {e.protocol for e in chosen.by_run.values()} == {chosen.protocol}
    assert chosen.notes == ("d: no evaluation of its weights",)


def test_a_registered_protocol_goes_before_one_that_covers_more(tmp_path: Path) -> None:
    for name in ("a", "b"):
        written(tmp_path, name, by=f"later-{name}", eval_samples=10)
    written(tmp_path, "a", by="eval-a")
    chosen = choose(dirs(tmp_path, "a", "b"), registered=["eval-a", "eval-b"])
    assert set(chosen.by_run) == {"a"} and chosen.protocol_settings["eval_samples"] == 4
    other = only(RunDir(tmp_path / "b")).protocol
    assert chosen.notes == (
        f"b: evaluated by protocol {other} (eval_samples 10 instead of 4), which is not compared with "
        f"{chosen.protocol}",
    )


def test_of_protocols_that_cover_as_many_the_newest_plan_decides(tmp_path: Path) -> None:
    written(tmp_path, "a", plan="old")
    written(tmp_path, "a", plan="new", eval_samples=10)
    runs = dirs(tmp_path, "a")
    assert choose(runs, newest_first=["new", "old"]).protocol_settings["eval_samples"] == 10
    assert choose(runs, newest_first=["old", "new"]).protocol_settings["eval_samples"] == 4


def test_of_two_evaluations_by_one_protocol_one_is_taken_and_that_is_said(tmp_path: Path) -> None:
    written(tmp_path, "a", by="later", plan="new", hacks=4, machine={"cpu": "b"})
    written(tmp_path, "a", by="eval-a", plan="old")
    runs = dirs(tmp_path, "a")
    chosen = choose(runs, newest_first=["new", "old"])
    assert chosen.by_run["a"].eval_run_id == "later" and "a: 2 evaluations by this protocol" in chosen.notes[0]
    assert choose(runs, ["eval-a"], ["new", "old"]).by_run["a"].eval_run_id == "eval-a"


def test_what_was_worked_otherwise_is_compared_and_named(tmp_path: Path) -> None:
    for name in ("a", "b"):
        written(tmp_path, name)
    written(tmp_path, "c", machine={"cpu": "b"}, code="d")
    chosen = choose(dirs(tmp_path, "a", "b", "c"))
    assert set(chosen.by_run) == {"a", "b", "c"}
    assert chosen.notes == (
        "c: evaluated with other code than the rest",
        "c: evaluated with other machine than the rest",
    )


def test_without_any_evaluation_every_run_is_named(tmp_path: Path) -> None:
    chosen = choose(dirs(tmp_path, "a", "b"))
    assert (chosen.protocol, chosen.by_run) == ("", {})
    assert chosen.notes == ("a: no evaluation of its weights", "b: no evaluation of its weights")
