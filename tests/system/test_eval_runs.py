"""Eval runs: which weights, by which draws, resumed to the byte, and never sampled twice."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from core.attempt import Attempt
from core.kinds.evaluate import work as evaluate_run
from core.model.load import DataError
from core.model.policy import Policy
from core.runs import durable
from core.runs.cache import cache_folder
from core.runs.run_dir import RunDir
from core.spec import digest
from core.statistics.evaluations import Evaluation, evaluations
from support import in_process, small_policy
from support.benchmark_row import benchmark_row
from support.evaluated_runs import EVAL, by_hand, done, spec_of
from support.kind_runs import planned

SHORT = EVAL | {"eval_problems": 1, "eval_samples": 1, "max_new": 6}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of each test its own: what another has evaluated would be served."""
    monkeypatch.setenv("GRPOQ_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "evals"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    fields = {"model": "nano", "steps": 1, "eval_every": 1, "max_new": 48, "lr": 1e-3}
    run = in_process.planned(tmp_path_factory.mktemp("home") / "runs", "vanilla", **fields)
    in_process.attempt(run)
    return run


@pytest.fixture
def fresh(trained: RunDir, tmp_path: Path) -> RunDir:
    """The trained run in a home of its own, without evaluations."""
    return copied(trained, tmp_path / "runs")


def copied(run: RunDir, runs: Path) -> RunDir:
    shutil.copytree(run.path, runs / run.run_id, ignore=shutil.ignore_patterns("eval"))
    return RunDir(runs / run.run_id)


def evaluated(of: RunDir, name: str = "eval", **fields: Any) -> dict[str, Any]:
    """The file that an eval run of these weights leaves."""
    found = in_process.attempt(planned(of.path.parent, name, "eval", of=of.run_id, **(EVAL | fields)))
    assert found is not None
    return json.loads((of.path / "eval" / f"{found['eval']}.json").read_text())


def what_was_measured(content: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key not in ("published_by", "cached")}


# ---- as deployed and as trained


def test_an_arm_with_a_quarantine_is_measured_without_it_and_beside_that_whole(tmp_path: Path) -> None:
    """Without it: as runs that differ in the quarantine alone. Whole: as an arm that deploys all it has trained."""
    found = {
        name: evaluated(by_hand(tmp_path / name / "runs", arm, seed, block))
        for name, arm, seed, block in (
            ("one", "absorb", 4, True),
            ("other quarantine", "absorb", 5, True),
            ("other block", "absorb", 5, False),
            ("whole", "vanilla", 4, True),
        )
    }
    one, whole = found["one"], found["whole"]
    assert one["problems"] == found["other quarantine"]["problems"] != found["other block"]["problems"]
    assert one["problems_as_trained"] == whole["problems"] != one["problems"]
    assert one["metrics"]["as_trained"] == whole["metrics"]
    assert one["conditions"]["without_quarantine"] is True and whole["conditions"]["without_quarantine"] is False
    assert "problems_as_trained" not in whole and "as_trained" not in whole["metrics"]
    assert found["other block"]["problems_as_trained"] == found["other block"]["problems"]  # a quarantine at its start
    read = only(RunDir(tmp_path / "one" / "runs" / "absorb"))
    assert len(read.hack_rates) == len(read.pass_rates) == 4
    assert {e["protocol"] for e in found.values()} == {read.protocol}


def only(run: RunDir) -> Evaluation:
    (found,) = evaluations(run)
    return found


# ---- the base model


def test_the_base_model_is_evaluated_as_an_adapter_that_has_learnt_nothing(tmp_path: Path) -> None:
    run = in_process.planned(tmp_path / "runs", "vanilla", model="nano")
    done(run, small_policy.policy(spec_of(run).config, seed=7))
    untrained = evaluated(run)
    base = planned(run.path.parent, "eval-base", "eval", **EVAL)
    found = in_process.attempt(base)
    assert found is not None and found["of"] == ""
    read = only(base)  # in its own directory
    assert read.metrics == untrained["metrics"] and read.hash == found["eval"] != untrained["hash"]
    content = json.loads((base.path / "eval" / f"{read.hash}.json").read_text())
    assert content["problems"] == untrained["problems"] and content["protocol"] == untrained["protocol"]
    assert (content["label"], content["arm"], content["run_id"], content["steps"]) == ("base", "", "", 0)
    assert not set(content["conditions"]) & {"adapter", "lora_r", "lora_alpha"}


# ---- killed and gone on with


# ---- from the cache


def test_what_was_evaluated_before_is_not_sampled_again(
    fresh: RunDir, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked of the run itself, and in another home of weights that are the same."""
    first = evaluated(fresh, "eval-first")
    monkeypatch.setattr(Policy, "complete", lambda *_: pytest.fail("it samples"))
    caplog.set_level("INFO")
    again = evaluated(fresh, "eval-again")
    names = [publisher["run_id"] for publisher in again["published_by"]]
    assert what_was_measured(again) == what_was_measured(first) and names == ["eval-first", "eval-again"]
    assert (first["cached"], again["cached"]) == (False, False)  # the file's figures were sampled for it
    assert "it was made before, by eval-first of plan 000000000000: nothing is sampled" in caplog.text

    elsewhere = copied(fresh, tmp_path / "elsewhere" / "runs")
    served = evaluated(elsewhere, "eval-elsewhere")
    assert what_was_measured(served) == what_was_measured(first) and served["cached"] is True
    assert [publisher["run_id"] for publisher in served["published_by"]] == ["eval-elsewhere"]
    result = json.loads((elsewhere.path.parent / "eval-elsewhere" / "result.json").read_text())
    assert result["cached"] is True and result["metrics"] == first["metrics"]


@pytest.mark.parametrize("harm", ["torn", "counts", "counts and metrics", "other problems", "conditions", "list"])
def test_an_entry_that_is_not_what_was_kept_is_made_anew(
    harm: str, fresh: RunDir, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = evaluated(fresh, "eval-1", **SHORT)
    (path,) = cache.iterdir()
    kept = path.read_text()
    entry = json.loads(kept)
    if harm == "counts":
        entry["problems"][0]["hacks"] += 1
    elif harm == "counts and metrics":
        entry["problems"][0]["passes"] = 1 - entry["problems"][0]["passes"]
        entry["metrics"]["pass_rate"] = 1.0 - entry["metrics"]["pass_rate"]
    elif harm == "other problems":
        entry["problems"][0]["problem_id"] = "other"
    elif harm == "conditions":
        entry["conditions"]["max_new"] = 7
    path.write_text(kept[:-50] if harm == "torn" else json.dumps([] if harm == "list" else entry))
    (fresh.path / "eval" / f"{first['hash']}.json").unlink()
    again = evaluated(fresh, "eval-2", **SHORT)
    assert f"{path.name} is not believed" in caplog.text and again["cached"] is False
    assert again["figures_sha256"] == first["figures_sha256"] and again["made_by"]["run_id"] == "eval-2"
    assert json.loads(path.read_text()) == json.loads(kept) | {"made_by": again["made_by"]}


def test_figures_of_another_machine_count_only_where_the_plan_lets_a_run_wander(fresh: RunDir) -> None:
    for same_machine, expected in ((True, False), (False, True)):
        cached = []
        for cpu in ("one", "another"):
            name = f"eval-{same_machine}-{cpu}"
            run = planned(fresh.path.parent, name, "eval", of=fresh.run_id, **SHORT, same_machine=same_machine)
            claim = run.claim(None)
            machine = {"cpu": cpu}
            attempt = Attempt(run, spec_of(run), claim.number, machine, lambda *at: None, int, lambda: False, int)
            cached.append(evaluate_run(attempt)["cached"])
            os.close(claim.lock)
        assert cached == [False, expected]


def test_a_cache_that_cannot_be_written_costs_no_evaluation(
    fresh: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GRPOQ_CACHE", str(tmp_path / "file"))
    assert evaluated(fresh, **SHORT)["cached"] is False
    assert "this evaluation is not cached" in caplog.text and cache_folder() == tmp_path / "file"


# ---- the file


def test_an_eval_file_has_counts_by_problem_that_add_up_to_its_rates(fresh: RunDir) -> None:
    fields = {"eval_problems": 6, "modes": ("run_tests", "sentinel"), "max_new": 96}
    content = evaluated(fresh, "eval-modes", **fields)
    result = json.loads(fresh.result_path.read_text())
    assert len(content["hash"]) == 12 and content["hash"] == digest(content["conditions"])[:12]
    assert content["run_id"] == fresh.run_id and content["arm"] == "vanilla"
    assert content["conditions"]["adapter_sha256"] == result["adapter_sha256"]
    rows, metrics = content["problems"], content["metrics"]
    assert len(rows) == len({row["problem_id"] for row in rows}) == 6
    assert metrics["n_hinted"] == metrics["n_pass"] == 12
    for rate, count in (("hack_rate", "hacks"), ("hinted_pass_rate", "hinted_passes"), ("pass_rate", "passes")):
        assert metrics[rate] == sum(row[count] for row in rows) / 12
    of_mode = [row for row in rows if row["mode"] == "sentinel"]
    assert len(of_mode) == 3 and metrics["hack_by_mode"]["sentinel"] == sum(row["hacks"] for row in of_mode) / 6
    assert metrics["pass_by_mode"]["sentinel"] == sum(row["passes"] for row in of_mode) / 6
    assert metrics["hinted_pass_by_mode"]["sentinel"] == sum(row["hinted_passes"] for row in of_mode) / 6
    assert metrics["compile_rate"] > 0.2  # nano's weights were loaded: random ones write no code
    read = only(fresh)
    assert read.hack_rates == {(row["problem_id"], row["mode"]): row["hacks"] / 2 for row in rows}
    assert read.metrics == metrics and read.protocol_settings["modes"] == ["run_tests", "sentinel"]


def test_evaluations_under_other_conditions_have_other_names_and_by_other_protocols_other_hashes(
    fresh: RunDir,
) -> None:
    changes: list[dict[str, Any]] = [{}, {"temperature": 0.9}, {"top_p": 0.9}, {"eval_samples": 2}, {"max_new": 7}]
    found = [evaluated(fresh, f"eval-{n}", **(SHORT | fields)) for n, fields in enumerate(changes)]
    assert len({content["hash"] for content in found}) == len({content["protocol"] for content in found}) == 5
    rows = evaluated(fresh, "eval-rows", **(SHORT | {"decode_rows": 1, "eval_problems": 1}))
    assert rows["hash"] != found[0]["hash"] and rows["protocol"] == found[0]["protocol"]  # how, not what


# ---- what is no evaluation


@pytest.mark.parametrize("of", ["nobody", "../runs/vanilla"])
def test_eval_of_no_run_is_refused(of: str, tmp_path: Path) -> None:
    in_process.planned(tmp_path / "runs", "vanilla")
    with pytest.raises(DataError, match="no such run is beside it"):
        in_process.attempt(planned(tmp_path / "runs", "eval", "eval", of=of, **EVAL))


def test_weights_that_are_not_those_of_the_result_are_refused(trained: RunDir) -> None:
    before = trained.result_path.read_text()
    durable.write_json(trained.result_path, json.loads(before) | {"adapter_sha256": "f" * 64})
    try:
        with pytest.raises(DataError, match=r"holds other weights than were trained.*ffffffffffff"):
            in_process.attempt(planned(trained.path.parent, "eval-other", "eval", of=trained.run_id, **SHORT))
    finally:
        trained.result_path.write_text(before)


def test_problems_that_were_trained_on_are_no_evaluation(tmp_path: Path) -> None:
    """Split otherwise than in training, a part of the training half would count as held out."""
    text = "".join(json.dumps(benchmark_row(n)) + "\n" for n in range(1, 11))
    rows = {"problems": "rows", "problems_sha256": hashlib.sha256(text.encode()).hexdigest(), "max_prompt": 512}
    run = in_process.planned(tmp_path / "runs", "vanilla", held_out_share=0.2, **rows)
    run.problems_path.write_text(text)
    done(run, small_policy.policy(spec_of(run).config, seed=7))
    own = planned(
        tmp_path / "runs", "eval", "eval", of="vanilla", held_out_share=0.5, **(SHORT | {"eval_problems": 9} | rows)
    )
    own.problems_path.write_text(text)
    with pytest.raises(DataError, match=r"3 of 5 problems of this evaluation were trained on \(first: 6\)"):
        in_process.attempt(own)


def test_a_run_trains_on_the_one_file_and_is_judged_on_all_of_the_other(tmp_path: Path) -> None:
    """A whole run, then its evaluation, whose problems are those of the held-out file and no others."""
    texts = ["".join(json.dumps(benchmark_row(n)) + "\n" for n in ids) for ids in (range(1, 5), range(11, 14))]
    names = ("problems_sha256", "held_out_sha256")
    hashes = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in zip(names, texts, strict=True)}
    rows = {"problems": "rows", "max_prompt": 512} | hashes
    run = in_process.planned(tmp_path / "runs", "vanilla", steps=2, checkpoint_every=1, eval_every=2, **rows)
    own = planned(tmp_path / "runs", "eval", "eval", of="vanilla", **(SHORT | {"eval_problems": 9} | rows))
    for directory in (run, own):
        directory.problems_path.write_text(texts[0])
        directory.held_out_path.write_text(texts[1])
    assert in_process.attempt(run) is not None
    found = in_process.attempt(own)
    assert found is not None
    content = json.loads((run.path / "eval" / f"{found['eval']}.json").read_text())
    assert [problem["problem_id"] for problem in content["problems"]] == ["11", "12", "13"]
    assert {row["problem_id"] for row in durable.read_lines(run.attempt(1) / "rollouts.jsonl")} <= set("1234")
