"""`plan --problems TRAIN --held-out TEST`: split by file, no held-out row is trained on, every reader goes along."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from core.environment.held_out import in_both, median_ids
from core.environment.problems import load_problems, train_and_held_out
from core.runs import durable
from core.runs.run_dir import RunDir
from core.spec import RunSpec
from orchestrator.planning import plan as planning
from orchestrator.planning.evaluation_plan import agenda, settings
from orchestrator.planning.matrix import Arm, Matrix, parse_matrix
from orchestrator.planning.power import powers
from orchestrator.planning.resolve import Choices, read_choices
from orchestrator.queue import actions
from orchestrator.refusal import Refused
from orchestrator.store.plan_dir import PlanDir
from orchestrator.tools import doctor
from support.benchmark_row import benchmark_row
from support.fake_home import FakeHome
from support.finished_runs import MATRIX as STUDY

MATRIX = Matrix("mine", "smoke", (41,), (Arm("vanilla", "vanilla"),))


def rows(path: Path, ids: range | list[int], **fields: Any) -> Path:
    """Each with a text of its own, since equal texts are one problem."""
    made = [benchmark_row(i) | fields for i in ids]
    for row in made:
        row["prompt"] = [row["prompt"][0], {"role": "user", "content": f"{row['id']} and should pass all tests"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in made))
    return path


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    train, test = rows(tmp_path / "train.jsonl", range(1, 9)), rows(tmp_path / "test.jsonl", range(101, 104))
    return {"problems": str(train), "held_out": str(test)}


@pytest.fixture
def source(fake: FakeHome, monkeypatch: pytest.MonkeyPatch) -> FakeHome:
    monkeypatch.setenv("GRPOQ_SOURCE", str(fake.source))
    return fake


def draft(matrix: Matrix = MATRIX, *overrides: str, **files: str) -> planning.Draft:
    chosen = read_choices(None, None, None, files.get("problems"), overrides, files.get("held_out"))
    return planning.draft_plan(matrix, chosen)


def spec_of(run: RunDir) -> RunSpec:
    return RunSpec.from_json(durable.read_json(run.spec_path))


def planned(source: FakeHome, files: dict[str, str], matrix: Matrix = MATRIX) -> PlanDir:
    return planning.write_plan(source.home, draft(matrix, **files))[0]


def test_a_file_of_held_out_rows_leaves_all_others_to_training(files: dict[str, str]) -> None:
    train, test = (load_problems(path) for path in files.values())
    halves = train_and_held_out(train, 0.5, held_out=list(reversed(test)))
    assert [len(half) for half in halves] == [8, 3]
    assert [p.problem_id for p in halves[1]] == ["101", "102", "103"]  # by age, whatever the file's order


def test_both_files_are_copied_and_hashed(source: FakeHome, files: dict[str, str]) -> None:
    run = planned(source, files).runs()[0]
    config = spec_of(run).config
    for name, path, found in (("problems", run.problems_path, config.problems_sha256),
                              ("held_out", run.held_out_path, config.held_out_sha256)):  # fmt: skip
        raw = Path(files[name]).read_bytes()
        assert path.read_bytes() == raw and found == hashlib.sha256(raw).hexdigest()


def test_the_held_out_file_is_in_the_plans_hash_and_its_absence_changes_nothing(
    source: FakeHome, files: dict[str, str], tmp_path: Path
) -> None:
    alone = draft(problems=files["problems"])
    assert alone.specs[0].config.held_out_sha256 == "" and "held_out.jsonl" not in alone.inputs["vanilla"]
    other = files | {"held_out": str(rows(tmp_path / "other.jsonl", range(101, 105)))}
    assert len({d.content["hash"] for d in (alone, draft(**files), draft(**other))}) == 3


def test_a_step_may_ask_for_all_rows_of_the_training_file(source: FakeHome, files: dict[str, str]) -> None:
    draft(MATRIX, "batch=32", "completions=4", **files)  # eight problems a step
    with pytest.raises(Refused, match="8 rows leave 6 to train on"):
        draft(MATRIX, "batch=32", "completions=4", problems=files["problems"])


def test_a_row_in_both_files_is_refused(source: FakeHome, tmp_path: Path, files: dict[str, str]) -> None:
    by_id = rows(tmp_path / "id.jsonl", [8, 101, 102])
    with pytest.raises(Refused, match=r"1 of its 8 problems stand in held-out .*first: 8"):
        draft(problems=files["problems"], held_out=str(by_id))
    by_text = Path(files["held_out"]).read_text().replace("101 and should", "3  and should")  # under another id
    (tmp_path / "text.jsonl").write_text(by_text)
    with pytest.raises(Refused, match=r"1 of its 8 problems .*first: 3"):
        draft(problems=files["problems"], held_out=str(tmp_path / "text.jsonl"))


def test_files_that_were_exchanged_are_refused(source: FakeHome, files: dict[str, str]) -> None:
    with pytest.raises(Refused, match=r"median id 102\) are newer than those of --held-out .*median id 4"):
        draft(problems=files["held_out"], held_out=files["problems"])
    train, test = (load_problems(path) for path in files.values())
    assert (in_both(train, test), median_ids(train, test)) == ([], (4, 102))


def test_the_held_out_file_of_data_json_is_never_trained_on(
    source: FakeHome, files: dict[str, str], tmp_path: Path
) -> None:
    sha256 = hashlib.sha256(Path(files["problems"]).read_bytes()).hexdigest()
    durable.write_json(tmp_path / "data.json", {"outputs": {"held_out.jsonl": {"sha256": sha256}}})
    with pytest.raises(Refused, match=r"data.json beside it records it as held out.*give train.jsonl"):
        draft(problems=files["problems"])


def test_an_edited_copy_of_the_held_out_file_is_not_trained_on_either(source: FakeHome, tmp_path: Path) -> None:
    lines = rows(tmp_path / "held_out.jsonl", range(101, 110)).read_text().splitlines()
    (tmp_path / "data.json").write_text("{}")
    for name in ("fewer.jsonl", "held_out.jsonl"):  # beside it, and in its place
        (tmp_path / name).write_text("\n".join(lines[:8]))
        with pytest.raises(Refused, match=rf"{name}: 8 of its 8 problems stand in held-out .*held_out.jsonl too"):
            draft(problems=str(tmp_path / name))


@pytest.mark.parametrize(
    "content",
    [
        {"outputs": {"held_out.jsonl": {"sha256": ["x"]}}},
        {"outputs": {"held_out.jsonl": {"sha256": "HASH"}}},
        {"outputs": {"held_out.jsonl": {"sha256": "HASH"}}, "inputs": 5},
    ],
)
def test_a_data_json_that_was_edited_says_nothing(
    source: FakeHome, files: dict[str, str], content: dict[str, Any]
) -> None:
    held_out = Path(files["held_out"])
    text = json.dumps(content).replace("HASH", hashlib.sha256(held_out.read_bytes()).hexdigest())
    (held_out.parent / "data.json").write_text(text)
    assert "held out: 3 rows of test.jsonl; no data.json" in " ".join(draft(**files).notes)


def test_a_held_out_file_without_problems_is_refused(source: FakeHome, files: dict[str, str]) -> None:
    with pytest.raises(Refused, match="without --problems"):
        draft(held_out=files["held_out"])
    with pytest.raises(Refused, match=r"give it with --held-out FILE\.jsonl"):
        draft(MATRIX, "held_out_sha256=00")


def test_a_bad_row_is_named_by_its_line(source: FakeHome, files: dict[str, str]) -> None:
    with Path(files["held_out"]).open("a") as file:
        file.write('{"id": 104}\n')
    with pytest.raises(Refused, match=r"--held-out: .*test.jsonl:4: field"):
        draft(**files)


def test_choices_of_older_plans_are_read(files: dict[str, str]) -> None:
    chosen = read_choices(None, None, None, files["problems"], (), files["held_out"])
    assert Choices.from_json(chosen.to_json()) == chosen
    old = {name: value for name, value in chosen.to_json().items() if name != "held_out"}
    assert Choices.from_json(old).held_out is None


def test_power_is_of_the_problems_that_are_there(source: FakeHome, files: dict[str, str]) -> None:
    asked = parse_matrix(
        STUDY.replace('kind = "eval"', 'kind = "eval"\nconfig = { eval_problems = 113 }'), "study.toml"
    )
    found = draft(asked, **files)
    assert found.content["rows"]["held_out"] == 3
    assert {power.design.problems for power in powers(found.content, found.specs).values()} == {3}
    assert {power.design.problems for power in powers({**found.content, "rows": {}}, found.specs).values()} == {113}


def test_what_was_left_out_of_the_held_out_file_is_said(
    source: FakeHome, files: dict[str, str], tmp_path: Path
) -> None:
    assert "no data.json beside it" in draft(**files).notes[-1]
    sha256 = hashlib.sha256(Path(files["held_out"]).read_bytes()).hexdigest()
    recorded = {
        "inputs": {"held_out": {"rows": 5}},
        "outputs": {"held_out.jsonl": {"sha256": sha256}},
        "left_out": {"prompt too long": {"train": [7], "held_out": [104, 105]}},
        "filters": [{"name": "prompt too long", "applied": False, "why": "no tokenizer"}],
    }
    durable.write_json(tmp_path / "data.json", recorded)
    assert draft(**files).notes[-1] == (
        "held out: 3 of the 5 rows that were read; left out: prompt too long: 104, 105; "
        "prompt too long not applied, no tokenizer"
    )


def test_submit_and_doctor_miss_a_held_out_file_that_is_gone(source: FakeHome, files: dict[str, str]) -> None:
    plan = planned(source, files)
    gone = plan.runs()[0].held_out_path
    gone.unlink()
    with pytest.raises(Refused, match=r"held_out.jsonl is missing.*--held-out"):
        actions.submit(source.home, plan, "local", None)
    assert any(f"{gone} is missing" in sentence for sentence in doctor.examine(source.home)["found"])


def test_evaluations_take_both_copies(source: FakeHome, files: dict[str, str]) -> None:
    plan = planned(source, files)
    (run,) = plan.runs()
    durable.write_json(run.result_path, {})
    for path in files.values():
        Path(path).unlink()
    found = agenda(source.home, plan, overrides=settings(1, 2, [])).draft
    assert found is not None
    for made in planning.write_plan(source.home, found)[0].runs():
        assert made.held_out_path.read_bytes() == run.held_out_path.read_bytes()
        assert spec_of(made).config.held_out_sha256 == spec_of(run).config.held_out_sha256
