"""The training loop: sample, grade, take one policy-gradient step, keep what the next step depends on.

It calls the hooks an arm has and never asks which arm it runs. Everything random is seeded by (seed, step, group), so
a resumed run repeats the unbroken one: the same bytes on a CPU with the same number of threads.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import torch

from core import tripwires
from core.arms import arm_of
from core.arms.arm import Arm, Step
from core.attempt import Attempt, Notice, Preempted, result_head
from core.direction import directions
from core.environment import diagonal
from core.model.policy import Policy, attached
from core.model.run_data import ArmData, RunData, load_run_data
from core.runs import durable
from core.sandbox.pool import Sandbox
from core.training import checkpoint, metrics
from core.training.checkpoint import TrainState
from core.training.evaluate import evaluate
from core.training.final_weights import publish_weights, weights_sha256, write_weights
from core.training.step import Asked, optimize, reward, roll_out


@dataclass(frozen=True)
class Trainer:
    """One run in memory."""

    attempt: Attempt
    arm: Arm
    policy: Policy
    state: TrainState
    data: RunData
    arm_data: ArmData  # without the truth: what hooks are given
    sandbox: Sandbox
    notice: Notice


def train(attempt: Attempt) -> dict[str, Any]:
    """Train from the newest valid checkpoint to the last step. Returns result.json's content, published."""
    notice = Notice(attempt)
    with Sandbox(workers=attempt.spec.config.grade_workers, tick=notice.tick) as sandbox:
        t = prepare(attempt, sandbox, notice)
        try:
            take_steps(t)
        except Preempted:
            save_once(t)
            raise
        return finish(t)


def take_steps(t: Trainer) -> None:
    attempt, config = t.attempt, t.attempt.spec.config
    if t.state.step == 0 or evaluation_is_missing(t):
        evaluate_now(t)
    for number in range(t.state.step + 1, config.steps + 1):
        step = Step(number, attempt.spec.seed, config, t.policy, t.arm_data, t.state.arm, row={"step": number})
        metrics.reset_peak(config.device)
        with metrics.seconds(step.row, "sec"):
            attempt.beat(number - 1, "generate")
            asked = sample(t, step)
            attempt.beat(number - 1, "grade")
            paid = reward(t.arm, step, asked, t.sandbox)
            attempt.beat(number - 1, "train")
            optimize(t.arm, step, paid.rewards, t.state.optimizer)
        t.state.step = number
        # Only now: the arm's hooks have had the row in hand, and these columns tell labels.
        step.row = metrics.rollout_columns(step, paid.grades, paid.rewards, paid.by_environment)
        metrics.write_rollouts(attempt.folder, step, paid.grades, paid.rewards)
        metrics.write_step(attempt.folder, step.row, config.device)
        if tripwires.watches_steps(config):
            tripwires.check_step(attempt.run.metrics(), number, config)
        if evaluation_is_due(t):
            evaluate_now(t)
        keep(t)


def sample(t: Trainer, step: Step) -> Asked:
    """Nearly all of a step's time, and nothing of the step counts yet: a stop request is answered at once."""
    before = {name: tensor.clone() for name, tensor in t.state.arm.items()}
    try:
        with t.notice.may_stop():
            return roll_out(t.arm, step, t.data)
    except Preempted:
        t.state.arm = before  # hooks may have begun with this step
        raise


def prepare(attempt: Attempt, sandbox: Sandbox, notice: Notice) -> Trainer:
    """Model, adapter, optimizer and problems; then the newest checkpoint over them, where there is one."""
    spec, config = attempt.spec, attempt.spec.config
    attempt.beat(0, "load")
    policy = attached(config, spec.seed, notice.tick)
    betas = (config.beta1, config.beta2)
    parameters = list(policy.adapter.parameters.values())
    optimizer = torch.optim.AdamW(parameters, config.lr, betas, weight_decay=config.weight_decay)
    data = load_run_data(attempt.run, config, policy)
    arm = arm_of(spec.arm, config)
    state = TrainState(0, policy.adapter, optimizer, {}, ablated=arm.deploys_ablated)
    arm_data = data.for_arm(arm.sees_solutions)
    found = checkpoint.latest(attempt.run)
    if found is not None:
        if config.same_machine:
            checkpoint.require_same_machine(found[1], attempt.machine)
        checkpoint.load(*found, state)
    else:
        attempt.beat(0, "check the grader")
        with notice.may_stop():
            diagonal.require_sound([tasks[0].problem for tasks in (data.train, data.held_out)], sandbox)
        if arm.prepare:
            attempt.beat(0, "prepare the arm")
            policy.refresh()
            with notice.may_stop():
                state.arm = arm.prepare(Step(0, spec.seed, config, policy, arm_data, {}))
            directions.publish(state.arm, attempt.run.direction_path, spec, policy, data.pairs.asked)
    policy.refresh()
    attempt.beat(state.step, "ready")
    return Trainer(attempt, arm, policy, state, data, arm_data, sandbox, notice)


def evaluate_now(t: Trainer) -> None:
    """Held-out rates of the present weights, a row of evals.jsonl: as deployed, and as trained where that differs."""
    step, spec = t.state.step, t.attempt.spec
    t.attempt.beat(step, "evaluate")
    row: dict[str, Any] = {"step": step}
    with metrics.seconds(row, "sec"), t.notice.may_stop():
        if t.arm.deploys_ablated:
            as_trained = _rates(t)
            row |= {f"{name}_as_trained": as_trained[name] for name in ("hack_rate", "hinted_pass_rate", "pass_rate")}
        with t.policy.adapter.ablated() if t.arm.deploys_ablated else contextlib.nullcontext():
            t.policy.refresh()
            row |= _rates(t)
        t.policy.refresh()
    metrics.write_eval(t.attempt.folder, row)
    tripwires.check_evaluation(t.attempt.run.evals(), step, spec.config)


def _rates(t: Trainer) -> dict[str, Any]:
    spec = t.attempt.spec
    return evaluate(t.policy, t.data.held_out, spec.config.eval_samples, (spec.seed, "eval", t.state.step), t.sandbox)


def evaluation_is_due(t: Trainer) -> bool:
    config, step = t.attempt.spec.config, t.state.step
    return step % config.eval_every == 0 or step == config.steps


def evaluation_is_missing(t: Trainer) -> bool:
    """A stop during an evaluation leaves a checkpoint of its step, and no row."""
    return evaluation_is_due(t) and all(row["step"] != t.state.step for row in t.attempt.run.evals())


def keep(t: Trainer) -> None:
    """Checkpoint where one is due, and at once where the process is to end. Raises Preempted then."""
    config, step = t.attempt.spec.config, t.state.step
    stop = t.attempt.wants_stop()
    if stop or step % config.checkpoint_every == 0 or step == config.steps:
        save_once(t)
    if stop and step < config.steps:
        raise Preempted(f"stopped after step {step}, checkpoint saved")


def save_once(t: Trainer) -> None:
    """Publish the present step, unless it was resumed from or saved already; before the first there is nothing."""
    step = t.state.step
    if step == t.state.kept:
        return
    t.attempt.beat(step, "checkpoint")
    t.attempt.require_disk()
    metrics.sync(t.attempt.folder)
    checkpoint.save(t.attempt.run, t.attempt.number, t.state, t.attempt.spec, t.attempt.machine)
    t.state.kept = step
    t.attempt.beat(step, "saved")


def finish(t: Trainer) -> dict[str, Any]:
    """Publish the final adapter and result.json under the run's lock: done, once."""
    run, spec, number = t.attempt.run, t.attempt.spec, t.attempt.number
    rows, evals = run.metrics(), run.evals()
    steps = [row["step"] for row in rows]
    assert steps == list(range(1, spec.config.steps + 1)), f"{len(steps)} metrics rows for {spec.config.steps} steps"
    last = evals[-1]
    result = result_head(t.attempt) | {
        "arm": spec.arm,
        "steps": spec.config.steps,
        **weights_sha256(t.policy.adapter, t.state.ablated),
        "wall_s": metrics.wall_seconds([run.heartbeat(n) for n in run.attempts()]),
        "takeoff_step": metrics.take_off(rows),
        "collapsed": tripwires.collapsed(last),
        "left_out_problems": t.data.left_out,
        "base": {k: v for k, v in evals[0].items() if k not in ("step", "sec")} if evals[0]["step"] == 0 else None,
        **{k: v for k, v in last.items() if k not in ("step", "sec")},
    }
    with durable.building(run.path / f".adapter.{number}") as temporary:
        write_weights(temporary, t.policy, spec, result, t.state.ablated)
        with run.commit(number, "result", spec.config.steps):
            publish_weights(temporary, run)
            checkpoint.clear_leftovers(run)
            durable.write_json(run.result_path, result)
    return result
