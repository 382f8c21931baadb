"""A run of kind fit: do the longest step of training and a shard of evaluation fit on this machine, and how long do
they take? Run first, so that what cannot end is known in minutes and not after the training has been paid for.

The trainer is the arm's own, with its hooks. Longest: every prompt is stretched to max_prompt tokens, no completion
ends before max_new, and no group is tied, so that no batch of the plan can need more. What happens within a part
changes nothing that the next one sees; no checkpoint is kept, and no outcome is read.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from core.arms.arm import Step
from core.attempt import Attempt, Notice, Row, publishing, say, shard_rows
from core.environment.task import Posed, Task
from core.kinds.evaluate import shards_of
from core.model.policy import Policy
from core.sandbox.pool import Sandbox
from core.training.evaluate import outcomes
from core.training.step import optimize, reward, roll_out
from core.training.train import Trainer, prepare

log = logging.getLogger(__name__)

NO_TOKEN = -1
OUT_OF_MEMORY = ("out of memory", "ALLOC_FAILED", "can't allocate memory")  # of libraries without a type for it
LOWER = {
    "sample": "decode_rows",
    "train": "micro_batch, or set grad_checkpointing = true",
    "evaluate": "decode_rows",
}


class Longest(Policy):
    """The policy, asked in prompts of max_prompt tokens, answering in completions of max_new."""

    @classmethod
    def like(cls, policy: Policy) -> Longest:
        endless = dataclasses.replace(policy.language_model, end_ids=frozenset({NO_TOKEN}))
        return cls(**{**vars(policy), "language_model": endless})

    def prompt(self, asked: Posed) -> list[int]:
        tokens, length = super().prompt(asked), self.config.max_prompt
        return (tokens * -(-length // len(tokens)))[:length]


def work(attempt: Attempt) -> dict[str, Any]:
    """Metrics: `fits` 1.0 (what does not fit is an error that says what to lower); `seconds_per_step`, of real prompts
    and lengths with every group in the gradient, and its parts; `seconds_longest_step`; `seconds_eval_shard` of
    `eval_shard_problems` problems, `seconds_load`; `tokens_per_s` of sampling; `peak_GB_` of sample, train and evaluate
    at their longest, null on a CPU, which cannot tell them apart.
    """
    notice = Notice(attempt)
    with Sandbox(workers=attempt.spec.config.grade_workers, tick=notice.tick) as sandbox:
        began = time.perf_counter()
        t = prepare(attempt, sandbox, notice)
        loaded = round(time.perf_counter() - began, 3)
        judged = _evaluating(t.policy)
        shard = next(shards_of(t.data.held_out, judged.config))
        parts: dict[str, Callable[[], Row]] = {
            "longest step": lambda: _step(t, Longest.like(t.policy)),
            "a step": lambda: _step(t, t.policy),
            "longest evaluation": lambda: _longest_evaluation(t, judged, shard),
            "evaluation": lambda: _evaluation(t, judged, shard),
        }

        def worked(number: int) -> Row:
            with notice.may_stop():
                return list(parts.values())[number]()

        rows = dict(zip(parts, shard_rows(attempt, len(parts), worked), strict=True))
    metrics = _metrics(rows, len(shard)) | {"seconds_load": loaded}
    _say(metrics)
    with publishing(attempt, metrics) as result:
        return result


def _step(t: Trainer, policy: Policy) -> Row:
    """One step of the trainer from where it stands, then back: seconds of its parts, tokens, and peaks."""
    config, peaks = t.policy.config, dict[str, float | None]()
    arm_state = {name: tensor.clone() for name, tensor in t.state.arm.items()}
    parameters = {name: p.detach().clone() for name, p in policy.adapter.parameters.items()}
    step = Step(1, t.attempt.spec.seed, config, policy, t.arm_data, arm_state)
    with _within("sample", config.device, peaks):
        asked = roll_out(t.arm, step, t.data)
    rewards = reward(t.arm, step, asked, t.sandbox).rewards
    # Nobody is tied with anybody: what a base model's rewards happen to leave out of the gradient is no bound.
    unequal = (torch.arange(rewards.shape[1]) % 2).to(rewards.dtype).expand_as(rewards).clone()
    with _within("train", config.device, peaks):
        optimize(t.arm, step, unequal, t.state.optimizer)
    t.state.optimizer.state.clear()
    with torch.no_grad():
        for name, parameter in policy.adapter.parameters.items():
            parameter.copy_(parameters[name])
            parameter.grad = None
    policy.refresh()
    tokens = sum(len(tokens) for group in step.completions for tokens in group)
    return {"gen": step.row["gen"], "t_rew": step.row["t_rew"], "fb": step.row["fb"], "tokens": tokens, "peaks": peaks}


def _evaluating(policy: Policy) -> Policy:
    """As the plan's evaluations decode: a run that keeps no gradient has room for more rows."""
    rows = policy.config.eval_decode_rows or policy.config.decode_rows
    return dataclasses.replace(policy, config=dataclasses.replace(policy.config, decode_rows=rows))


def _longest_evaluation(t: Trainer, policy: Policy, shard: list[Task]) -> Row:
    peaks: dict[str, float | None] = {}
    with _within("evaluate", policy.config.device, peaks):
        Longest.like(policy).complete(shard, policy.config.eval_samples, (t.attempt.spec.seed, "fit"))
    return {"peaks": peaks}


def _evaluation(t: Trainer, policy: Policy, shard: list[Task]) -> Row:
    began = time.perf_counter()
    outcomes(policy, shard, policy.config.eval_samples, (t.attempt.spec.seed, "fit"), t.sandbox)
    return {"sec": round(time.perf_counter() - began, 4)}


@contextlib.contextmanager
def _within(phase: str, device: str, peaks: dict[str, float | None]) -> Iterator[None]:
    """Notes the phase's own peak where the device can tell (GB, 1e9 bytes); memory that ends in it is told with what to
    lower, in an error of the same type, by which the run's failure is classed."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        raise type(error)(f"fit, {phase} at the longest shape: lower {LOWER[phase]} in the plan; {error}") from error
    peaks[phase] = round(torch.cuda.max_memory_allocated() / 1e9, 3) if device == "cuda" else None


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(w in str(error) for w in OUT_OF_MEMORY)


def _metrics(rows: dict[str, Row], shard_problems: int) -> dict[str, Any]:
    longest, usual = rows["longest step"], rows["a step"]
    peaks = longest["peaks"] | rows["longest evaluation"]["peaks"]
    return {
        "fits": 1.0,
        "seconds_per_step": _seconds(usual),
        "seconds_sample": usual["gen"],
        "seconds_grade": usual["t_rew"],
        "seconds_train": usual["fb"],
        "seconds_longest_step": _seconds(longest),
        "seconds_eval_shard": rows["evaluation"]["sec"],
        "eval_shard_problems": shard_problems,
        "tokens_per_s": round(usual["tokens"] / max(usual["gen"], 1e-4), 1),
        **{f"peak_GB_{phase}": gigabytes for phase, gigabytes in peaks.items()},
    }


def _seconds(row: Row) -> float:
    return round(row["gen"] + row["t_rew"] + row["fb"], 4)


def _say(metrics: dict[str, Any]) -> None:
    for phase in LOWER:
        peak = metrics[f"peak_GB_{phase}"]
        log.info("%-9s peak %s", phase, "not told apart on this device" if peak is None else f"{peak:.2f} GB")
    say(
        f"seconds_per_step {metrics['seconds_per_step']:.2f}",
        metrics["seconds_per_step"] <= metrics["seconds_longest_step"],
        f"at most the longest step's {metrics['seconds_longest_step']:.2f}",
        "something else ran on this machine: the price made of it is no bound",
    )
