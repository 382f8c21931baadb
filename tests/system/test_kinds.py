"""Runs of the kinds check, extract, steer and fit (eval: test_eval_runs): with files as scripts and gates read them."""

import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from core.arms import ARMS
from core.arms.arm import Arm, Step
from core.attempt import SHARDS, Attempt, Preempted, Row, shard_rows
from core.direction import directions
from core.environment.diagonal import CANONICAL
from core.environment.problems import MODES
from core.kinds import WORK_BY_KIND, fit, steer
from core.model.load import DataError
from core.model.policy import Policy
from core.runs import durable
from core.runs.run_dir import RunDir
from core.spec import KINDS, RunSpec
from core.training.step import optimize
from support import in_process, real_run
from support.benchmark_row import benchmark_row
from support.kind_runs import planned, result
from support.patience import patient
from worker.failures import classify, sentence


def test_every_kind_of_a_spec_has_its_work() -> None:
    assert tuple(WORK_BY_KIND) == KINDS


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
    assert steer.steers({"v": plus, "none": base, "random": random, "-v": minus}, n) is expected


def test_a_stopped_steer_run_goes_on_with_the_next_push(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stop comes with the third push, and is answered before it."""
    monkeypatch.setattr("core.attempt.STOP_CHECK_S", 0.0)  # a quick machine is through before it would ask
    stopped, twin = (planned(tmp_path / "runs", name, "steer") for name in ("a", "b"))
    with pytest.raises(Preempted):
        attempted(stopped, stop_at_beat="shard 3/4")
    assert [row["shard"] for row in durable.read_lines(stopped.attempt(1) / SHARDS)] == [0, 1]
    found, unbroken = in_process.attempt(stopped), in_process.attempt(twin)
    assert [row["shard"] for row in durable.read_lines(stopped.attempt(2) / SHARDS)] == [2, 3]
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


# ---- fit

TIMES = ("seconds", "tokens_per_s")


def test_fit_takes_the_longest_step_of_its_arm_and_puts_everything_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prompts and completions are as long as the plan allows, every rollout is in the gradient, and the second step
    begins where the first one did."""
    seen, starts = [], []

    def looked_at(arm: Arm, step: Step, rewards: Tensor, optimizer: torch.optim.AdamW) -> None:
        batch = step.rollouts()
        starts.append([p.detach().clone() for p in step.adapter.parameters.values()])
        optimize(arm, step, rewards, optimizer)
        seen.append((batch.prompt_mask.sum(1).tolist(), batch.completion_mask.sum(1).tolist(), step.row["tokens"]))
        assert any(not p.equal(q) for p, q in zip(starts[-1], step.adapter.parameters.values(), strict=True))

    monkeypatch.setattr(fit, "optimize", looked_at)
    fields = {
        "max_prompt": 300,
        "max_new": 7,
        "reward_variety": 0.0,
        "warmup": 1,
        "eval_samples": 2,
        "eval_problems": 3,
    }
    run = planned(tmp_path / "runs", "fit", "fit", **fields, batch=8, completions=4)
    found = in_process.attempt(run)
    assert found is not None and found == result(run)
    (prompts, completions, tokens), (_, usual, counted) = seen
    assert prompts == [300] * 2 and completions == [7] * 8 and tokens == 56
    assert counted == sum(usual)  # no group of this step is left out either, though all are tied
    assert all(p.equal(q) for p, q in zip(*starts, strict=True))
    metrics = found["metrics"]
    assert metrics["fits"] == 1.0 and metrics["eval_shard_problems"] == 3
    assert all(metrics[name] > 0 for name in metrics if name.startswith(TIMES))
    assert metrics["seconds_per_step"] == pytest.approx(
        metrics["seconds_sample"] + metrics["seconds_grade"] + metrics["seconds_train"]
    )
    assert [metrics[f"peak_GB_{phase}"] for phase in fit.LOWER] == [None] * 3  # a CPU cannot tell


def test_fit_evaluates_with_the_evaluations_rows_and_samples_with_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = []
    real = Policy.complete

    def complete(policy: Policy, tasks: Any, members: int, key: Any) -> Any:
        at_once.append((type(policy).__name__, len(tasks), members, policy.config.decode_rows))
        return real(policy, tasks, members, key)

    monkeypatch.setattr(Policy, "complete", complete)
    fields = {"eval_problems": 9, "eval_samples": 2, "decode_rows": 4, "eval_decode_rows": 10, "max_new": 4}
    found = in_process.attempt(planned(tmp_path / "runs", "fit", "fit", **fields, batch=8, completions=4))
    assert found is not None and found["metrics"]["eval_shard_problems"] == 5
    evaluations = [("Policy", 5, 2, 10)] * 2  # with the hint and without
    assert at_once == [("Longest", 2, 4, 4), ("Policy", 2, 4, 4), ("Longest", 5, 2, 10), *evaluations]


def test_fit_runs_the_hooks_of_its_arm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    spy = dataclasses.replace(
        ARMS["vanilla"], prepare=lambda step: {}, gradient=lambda step: called.append(step.number)
    )
    monkeypatch.setitem(ARMS, "vanilla", spy)
    in_process.attempt(planned(tmp_path / "runs", "fit", "fit", max_new=4))
    assert called == [1, 1]


@pytest.mark.parametrize("arm", ["projected", "route", "absorb", "grift"])
def test_any_arm_can_be_tried(tmp_path: Path, arm: str) -> None:
    """One of each adapter, and one whose hooks look at every rollout."""
    run = in_process.planned(tmp_path / "runs", arm, max_new=4)
    spec = json.loads(run.spec_path.read_text())
    durable.write_json(run.spec_path, spec | {"kind": "fit"})
    found = in_process.attempt(run)
    assert found is not None and found["metrics"]["fits"] == 1.0


def test_a_stopped_fit_goes_on_with_the_next_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.attempt.STOP_CHECK_S", 0.0)  # a quick machine is through before it would ask
    run = planned(tmp_path / "runs", "fit", "fit", max_new=4)
    with pytest.raises(Preempted):
        attempted(run, stop_at_beat="shard 3/4")
    assert [row["shard"] for row in durable.read_lines(run.attempt(1) / SHARDS)] == [0, 1]
    found = in_process.attempt(run)
    assert [row["shard"] for row in durable.read_lines(run.attempt(2) / SHARDS)] == [2, 3]
    first = durable.read_lines(run.attempt(1) / SHARDS)[1]
    assert found is not None and found["metrics"]["seconds_sample"] == first["gen"] and found["attempts"] == 2


@pytest.mark.parametrize(
    "phase, place, error, error_class",
    [
        ("sample", "roll_out", torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 7 GiB"), "cuda_oom"),
        ("train", "optimize", RuntimeError("CUDA error: out of memory"), "cuda_oom"),
        ("train", "optimize", MemoryError(), "host_oom"),
    ],
)
def test_what_does_not_fit_is_told_with_what_to_lower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phase: str, place: str, error: Exception, error_class: str
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(fit, place, fails)
    run = planned(tmp_path / "runs", "fit", "fit", max_new=4)
    with pytest.raises(type(error)) as raised:
        in_process.attempt(run)
    failure = classify(raised.value)
    told = sentence(raised.value, failure, run)
    assert failure.error_class == error_class
    assert f"fit, {phase} at the longest shape: lower {fit.LOWER[phase]}" in told and "a worker never changes" in told


def test_another_error_of_a_step_is_no_matter_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(fit, "optimize", fails)
    with pytest.raises(RuntimeError, match=r"^shapes differ$"):
        in_process.attempt(planned(tmp_path / "runs", "fit", "fit", max_new=4))


# ---- shards


def test_shards_of_another_machine_are_worked_again_unless_the_plan_allows_them(tmp_path: Path) -> None:
    for same_machine, worked in ((True, [0, 1]), (False, [1])):
        run = planned(tmp_path / "runs", f"same-{same_machine}", "eval", same_machine=same_machine)
        spec = RunSpec.from_json(json.loads(run.spec_path.read_text()))
        claim = run.claim(None)
        durable.append_line(claim.path / SHARDS, {"shard": 0, "machine": {"cpu": "another"}, "made": "there"})
        seen: list[int] = []

        def work(shard: int, seen: list[int] = seen) -> Row:
            seen.append(shard)
            return {"made": "here"}

        attempt = Attempt(run, spec, claim.number, {"cpu": "this"}, lambda *at: None, int, lambda: False, int)
        rows = shard_rows(attempt, 2, work)
        assert seen == worked and [row["made"] for row in rows][1] == "here"
        os.close(claim.lock)


def test_an_unknown_kind_is_refused_with_78(tmp_path: Path) -> None:
    run = planned(tmp_path / "runs", "odd", "bake")
    assert real_run.worker(run).wait(patient(60)) == 78
    error = run.error(1)
    assert error is not None and error["class"] == "plan" and "no kind of run 'bake'" in error["message"]
