"""Runs of the kinds check, extract, steer and eval: by the real worker, with files as scripts and gates read them."""

import dataclasses
import hashlib
import itertools
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import in_process
import pytest
import real_run
import small_policy
from test_diagonal import row as benchmark_row

from core import directions, durable, shards, steer_run
from core.adapters.base import Adapter, tensors_sha256
from core.attempt import Attempt, Preempted
from core.diagonal import CANONICAL
from core.kinds import WORK_BY_KIND
from core.models import DataError
from core.problems import MODES
from core.run_dir import RunDir
from core.spec import KINDS, RunSpec, resolve_config

SMALL = {"disk_floor_gb": 0.01, "steer_samples": 1, "check_problems": 1}
# Sixteen shards of two problems each: a signal that comes late still meets one.
EVAL = {"model": "nano", "eval_problems": 32, "eval_samples": 2, "decode_rows": 4, "max_new": 48, "disk_floor_gb": 0.01}


def planned(runs: Path, name: str, kind: str, of: str = "", **fields) -> RunDir:
    run = RunDir(runs / name)
    run.path.mkdir(parents=True)
    spec = RunSpec(
        name, kind, name, "vanilla", 7, "test", "0" * 64, "smoke", resolve_config("smoke", SMALL | fields), of=of
    )
    durable.write_json(run.spec_path, spec.to_json())
    return run


def result(run: RunDir) -> dict:
    found = json.loads(run.result_path.read_text())
    spec = json.loads(run.spec_path.read_text())
    assert {key: found[key] for key in ("schema", "run_id", "kind", "plan_hash")} == {
        "schema": 1,
        **{key: spec[key] for key in ("run_id", "kind", "plan_hash")},
    }
    return found


def log(run: RunDir, number: int = 1) -> str:
    return (run.attempt(number) / "worker.log").read_text()


def finished(run: RunDir) -> dict:
    assert real_run.worker(run).wait(120) == 0, (run.path / "test-worker.log").read_text()[-3000:]
    beat = run.heartbeat(run.attempts()[-1])
    assert beat is not None and beat["steps"] is None and beat["step"] == 0 and beat["checkpoint_step"] is None
    return result(run)


def test_every_kind_of_a_spec_has_its_work() -> None:
    assert tuple(WORK_BY_KIND) == KINDS


EXPECTED = {
    "check": "wrong 0/56 cells (112 gradings)  expect 0",
    "extract": "separation 1.00 (n 20 held-out pairs, gradient space)  expect > 0.90",
    "steer": "exploit_rate_plus 0.00  expect well above base 0.00 and random 0.00",
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", EXPECTED)
def test_the_real_worker_leaves_the_same_result_and_says_what_it_expected(kind: str, tmp_path: Path) -> None:
    """Eval is worked by the real worker below, in the quick tests."""
    run, twin = (planned(tmp_path / folder / "runs", kind, kind) for folder in ("a", "b"))
    assert finished(run) == in_process.attempt(twin)
    assert EXPECTED[kind] in log(run)
    if kind == "extract":
        assert directions.read(run.direction_path)[1] == directions.read(twin.direction_path)[1]  # hash of V among it


# ---- check


def test_a_wrong_cell_is_a_figure_that_names_the_problem(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Problem 3's canonical solution is wrong, which stands for any fault: no label of it could be believed."""
    wrong = "class Solution:\n    def longest(self, words):\n        return words[-1]\n"
    rows = [benchmark_row(n) | ({"canonical_solution": wrong} if n == 3 else {}) for n in (1, 2, 3)]
    text = "".join(json.dumps(r) + "\n" for r in rows)
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    fields = {"problems": "rows", "problems_sha256": sha256, "held_out_share": 0.3, "check_problems": 0}
    run = planned(tmp_path / "runs", "check", "check", **fields)
    run.problems_path.write_text(text)
    found = in_process.attempt(run)
    assert found is not None and found == result(run)
    cells = (len(MODES) - 1 + 2) * len(MODES)
    assert found["metrics"] == {
        **{"cells": cells, "wrong": len(MODES), "gradings": 3 * cells, "wrong_gradings": len(MODES), "problems": 3}
    }
    assert all(v.startswith(f"problem 3, {CANONICAL} in mode ") for v in found["violations"])
    assert f"wrong {len(MODES)}/{cells} cells" in caplog.text and "leave its row out" in caplog.text


def test_a_check_takes_so_many_problems_of_each_mode_and_half(tmp_path: Path) -> None:
    run = planned(tmp_path / "runs", "check", "check", check_problems=2, modes=("run_tests", "sentinel"))
    found = in_process.attempt(run)
    assert found is not None and found["metrics"]["problems"] == 2 * 2 * 2
    assert found["metrics"]["wrong"] == found["metrics"]["wrong_gradings"] == 0


# ---- extract


def test_extract_saves_the_direction_that_arms_act_on_and_judges_it_on_held_out_pairs(tmp_path: Path) -> None:
    run = planned(tmp_path / "runs", "extract", "extract")
    found = in_process.attempt(run)
    assert found is not None
    metrics = found["metrics"]
    assert (metrics["n_extract"], metrics["n_held_out"], metrics["space"]) == (60, 20, "gradient")
    assert metrics["separation"] > 0.9  # whatever the weights: hack sides of nano's pairs hold no assert
    tensors, about = directions.read(run.direction_path)
    arm = in_process.planned(tmp_path / "runs", "erase", steps=1)
    in_process.attempt(arm)
    of_arm, about_arm = directions.read(arm.direction_path)
    assert all(tensors[name].equal(of_arm[name]) for name in tensors)
    assert set(tensors) == {name for name in of_arm if name.startswith(directions.PREFIX)}
    assert about["pairs_sha256"] == about_arm["pairs_sha256"] and about["model_sha256"] == about_arm["model_sha256"]


def test_extract_in_activation_space_saves_a_unit_vector_per_layer(tmp_path: Path) -> None:
    run = planned(tmp_path / "runs", "extract", "extract", space="activation", model="nano", m=8)
    found = in_process.attempt(run)
    assert found is not None and found["metrics"]["space"] == "activation" and found["metrics"]["separation"] > 0.9
    v = directions.read(run.direction_path)[0]["v"]
    assert len(v) == len(found["metrics"]["layers"]) and v.norm(dim=1).allclose(v.new_ones(len(v)))


def test_pairs_that_are_all_extracted_from_are_refused(tmp_path: Path) -> None:
    pairs = [
        {"pair_id": str(n), "mode": "run_tests", "problem": benchmark_row(n), "hack": "h", "clean": "c"} for n in (1, 2)
    ]
    text = "".join(json.dumps(p) + "\n" for p in pairs)
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    run = planned(tmp_path / "runs", "extract", "extract", pairs="file", pairs_sha256=sha256)
    run.pairs_path.write_text(text)
    with pytest.raises(DataError, match="all 2 pairs are to extract from; mark some"):
        in_process.attempt(run)


# ---- steer


def test_steer_measures_four_pushes_and_says_whether_they_steer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    found = in_process.attempt(planned(tmp_path / "runs", "steer", "steer"))
    assert found is not None
    metrics = found["metrics"]
    rates = [metrics[f"exploit_rate_{name}"] for name in ("plus", "base", "minus", "random")]
    assert rates == [0.0] * 4 and metrics["steers"] == 0.0 and metrics["n"] == 20  # random weights write no code
    assert len({metrics[f"margin_{name}"] for name in ("plus", "base", "minus", "random")}) == 4
    assert "exploit_rate_plus 0.00  expect well above base 0.00" in caplog.text and "steer_strength" in caplog.text


@pytest.mark.parametrize(
    "plus, base, random, minus, n, expected",
    [
        (0.55, 0.05, 0.04, 0.00, 80, True),
        (0.55, 0.05, 0.50, 0.00, 80, False),  # a random push does as well
        (0.55, 0.05, 0.04, 0.30, 80, False),  # so does the opposite one
        (0.04, 0.00, 0.00, 0.00, 2000, False),  # more than chance, and less than the floor
        (0.05, 0.00, 0.00, 0.00, 80, True),
        (0.60, 0.50, 0.50, 0.50, 80, False),  # 0.1 of 80 at a half: chance gives 0.13
        (0.64, 0.50, 0.50, 0.50, 80, True),
    ],
)
def test_steering_rule(plus: float, base: float, random: float, minus: float, n: int, expected: bool) -> None:
    assert steer_run.steers({"v": plus, "none": base, "random": random, "-v": minus}, n) is expected


def test_a_stopped_steer_run_goes_on_with_the_next_push(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stop comes with the third push, and is answered before it."""
    monkeypatch.setattr("core.attempt.STOP_CHECK_S", 0.0)  # a quick machine is through before it would ask
    stopped, twin = (planned(tmp_path / "runs", name, "steer") for name in ("a", "b"))
    with pytest.raises(Preempted):
        attempted(stopped, stop_at_beat="shard 3/4")
    assert [row["shard"] for row in durable.read_lines(stopped.attempt(1) / shards.FILE)] == [0, 1]
    found, unbroken = in_process.attempt(stopped), in_process.attempt(twin)
    assert [row["shard"] for row in durable.read_lines(stopped.attempt(2) / shards.FILE)] == [2, 3]
    assert found is not None and unbroken is not None and found["metrics"] == unbroken["metrics"]


def attempted(run: RunDir, stop_at_beat: str) -> dict:
    """In this process; somebody wants it to stop from that phase on."""
    phases: list[str] = []
    spec = RunSpec.from_json(json.loads(run.spec_path.read_text()))
    claim = run.claim(None)
    try:
        return WORK_BY_KIND[spec.kind](
            Attempt(
                run,
                spec,
                claim.number,
                {"cpu": "this"},
                lambda step, phase: phases.append(phase),
                lambda: None,
                lambda: stop_at_beat in phases,
                lambda: None,
            )
        )
    finally:
        os.close(claim.lock)


# ---- shards


def test_shards_of_another_machine_are_worked_again_unless_the_plan_allows_them(tmp_path: Path) -> None:
    for same_machine, worked in ((True, [0, 1]), (False, [1])):
        run = planned(tmp_path / "runs", f"same-{same_machine}", "eval", same_machine=same_machine)
        spec = RunSpec.from_json(json.loads(run.spec_path.read_text()))
        claim = run.claim(None)
        durable.append_line(claim.path / shards.FILE, {"shard": 0, "machine": {"cpu": "another"}, "made": "there"})
        seen: list[int] = []

        def work(shard: int, seen: list[int] = seen) -> shards.Row:
            seen.append(shard)
            return {"made": "here"}

        attempt = Attempt(run, spec, claim.number, {"cpu": "this"}, lambda *at: None, int, lambda: False, int)
        rows = shards.rows(attempt, 2, work)
        assert seen == worked and [row["made"] for row in rows][1] == "here"
        os.close(claim.lock)


# ---- eval


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    fields = {"model": "nano", "steps": 1, "eval_every": 1, "max_new": 48, "lr": 1e-3}
    run = in_process.planned(tmp_path_factory.mktemp("home") / "runs", "vanilla", **fields)
    in_process.attempt(run)
    return run


def wait_for_shards(run: RunDir, process: subprocess.Popen, count: int) -> None:
    deadline = time.monotonic() + 90
    while len(run.merged(shards.FILE, ("shard",))) < count:
        assert process.poll() is None and time.monotonic() < deadline, (run.path / "test-worker.log").read_text()[
            -2000:
        ]
        time.sleep(0.002)


def test_a_killed_and_a_terminated_evaluation_ends_with_the_figures_of_an_unbroken_one(trained: RunDir) -> None:
    anywhere = EVAL | {"same_machine": False}  # the twin is worked in this process, which names its machine otherwise
    twin = planned(trained.path.parent, "eval-twin", "eval", of=trained.run_id, **anywhere)
    unbroken = in_process.attempt(twin)
    assert unbroken is not None
    path = trained.path / "eval" / f"{unbroken['eval']}.json"
    first = json.loads(path.read_text())
    path.unlink()

    run = planned(trained.path.parent, "eval", "eval", of=trained.run_id, **anywhere)
    process = real_run.worker(run)
    wait_for_shards(run, process, 2)
    process.kill()
    process.wait()
    process = real_run.worker(run)
    wait_for_shards(run, process, 4)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 75 and not (run.attempt(2) / "error.json").exists()
    assert not run.has_result() and not path.exists()
    found = finished(run)

    made = [[row["shard"] for row in durable.read_lines(run.attempt(n) / shards.FILE)] for n in (1, 2, 3)]
    assert list(itertools.chain(*made)) == list(range(16)) and all(made)  # each shard was worked once
    assert found["metrics"] == unbroken["metrics"] and found["eval"] == unbroken["eval"] and found["attempts"] == 3
    by = {"run_id": "eval", "plan_hash": "0" * 64}
    assert json.loads(path.read_text()) == first | {"published_by": [by], "made_by": by}
    assert f"within 0.15 of training's own last evaluation, {result_of(trained)['hack_rate']:.3f}" in log(run, 3)


def result_of(run: RunDir) -> dict:
    return json.loads(run.result_path.read_text())


def test_an_eval_file_has_counts_by_problem_that_add_up_to_its_rates(trained: RunDir) -> None:
    fields = EVAL | {"eval_problems": 6, "modes": ("run_tests", "sentinel"), "max_new": 96}
    found = in_process.attempt(planned(trained.path.parent, "eval-modes", "eval", of=trained.run_id, **fields))
    assert found is not None
    content = json.loads((trained.path / "eval" / f"{found['eval']}.json").read_text())
    assert content["metrics"] == found["metrics"] and content["hash"] == found["eval"] and len(found["eval"]) == 12
    assert content["run_id"] == trained.run_id and content["arm"] == "vanilla"
    assert content["conditions"]["adapter_sha256"] == result_of(trained)["adapter_sha256"]
    rows, metrics = content["problems"], found["metrics"]
    assert len(rows) == len({row["problem_id"] for row in rows}) == 6
    assert metrics["n_hinted"] == metrics["n_pass"] == 12
    for rate, count in (("hack_rate", "hacks"), ("hinted_pass_rate", "hinted_passes"), ("pass_rate", "passes")):
        assert metrics[rate] == sum(row[count] for row in rows) / 12
    of_mode = [row for row in rows if row["mode"] == "sentinel"]
    assert len(of_mode) == 3 and metrics["hack_by_mode"]["sentinel"] == sum(row["hacks"] for row in of_mode) / 6
    assert metrics["compile_rate"] > 0.2  # nano's weights were loaded: random ones write no code


def test_evaluations_under_other_conditions_have_other_names(trained: RunDir) -> None:
    names = set()
    for place, fields in enumerate(({}, {"temperature": 0.9}, {"top_p": 0.9}, {"eval_problems": 2}, {"max_new": 7})):
        run = planned(trained.path.parent, f"eval-{place}", "eval", of=trained.run_id, **(SHORT | fields))
        found = in_process.attempt(run)
        assert found is not None
        names.add(found["eval"])
    assert len(names) == 5 and names <= {path.stem for path in (trained.path / "eval").iterdir()}


SHORT = EVAL | {"eval_problems": 1, "eval_samples": 1, "max_new": 6}


def test_an_arm_that_deploys_without_its_quarantine_is_evaluated_without_it(tmp_path: Path) -> None:
    """Two runs that differ in the quarantine alone give the same figures; in the deployed block, others."""
    figures = []
    for name, seed, of_quarantine in (("a", 4, True), ("b", 5, True), ("c", 5, False)):
        run = in_process.planned(tmp_path / "runs" / name / "runs", "absorb", model="nano")
        c = RunSpec.from_json(json.loads(run.spec_path.read_text())).config
        by_hand(run, small_policy.policy(c, seed=7).adapter, seed, of_quarantine)
        own = planned(run.path.parent, "eval", "eval", of="absorb", **(EVAL | {"eval_problems": 4}))
        assert in_process.attempt(own) is not None
        content = json.loads(next((run.path / "eval").iterdir()).read_text())
        assert content["conditions"]["without_quarantine"] is True
        figures.append(content["problems"])
    assert figures[0] == figures[1] != figures[2]


def by_hand(run: RunDir, adapter: Adapter, seed: int, of_quarantine: bool) -> None:
    """A finished run whose weights stand away from their start, in one of the two blocks."""
    still = {name: p.detach().clone() for name, p in adapter.parameters.items()}
    policy = small_policy.policy(small_policy.config(adapter="lora_blocks"))
    policy.adapter = adapter
    small_policy.moved(dataclasses.replace(policy), 0.05, seed)
    for name, parameter in adapter.parameters.items():
        if (name in adapter.quarantine) is not of_quarantine:
            parameter.data.copy_(still[name])
    adapter.save(run.adapter)
    content = {"adapter_sha256": tensors_sha256(adapter.state()), "hack_rate": 0.0, "arm": "absorb", "seed": 7}
    durable.write_json(run.result_path, content | {"run_id": "absorb", "plan_hash": "0", "label": "absorb", "steps": 1})


def test_eval_of_a_run_without_a_result_is_the_class_data_and_says_what_to_wait_for(tmp_path: Path) -> None:
    unfinished = in_process.planned(tmp_path / "runs", "vanilla")
    run = planned(tmp_path / "runs", "eval", "eval", of="vanilla", **EVAL)
    assert real_run.worker(run).wait(120) == 1
    error = run.error(1)
    assert error is not None and (error["class"], error["exit_code"]) == ("data", 1)
    assert "grpoq wait vanilla" in error["message"] and "grpoq retry eval" in error["message"]
    assert not run.has_result() and not (unfinished.path / "eval").exists()


@pytest.mark.parametrize("of", ["", "nobody", "../runs/vanilla"])
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
    c = RunSpec.from_json(json.loads(run.spec_path.read_text())).config
    adapter = small_policy.policy(c, seed=7).adapter
    adapter.save(run.adapter)
    durable.write_json(run.result_path, {"adapter_sha256": tensors_sha256(adapter.state())})
    own = planned(
        tmp_path / "runs", "eval", "eval", of="vanilla", held_out_share=0.5, **(SHORT | {"eval_problems": 9} | rows)
    )
    own.problems_path.write_text(text)
    with pytest.raises(DataError, match=r"3 of 5 problems of this evaluation were trained on \(first: 6\)"):
        in_process.attempt(own)


def test_an_unknown_kind_is_refused_with_78(tmp_path: Path) -> None:
    run = planned(tmp_path / "runs", "odd", "bake")
    assert real_run.worker(run).wait(60) == 78
    error = run.error(1)
    assert error is not None and error["class"] == "plan" and "no kind of run 'bake'" in error["message"]
