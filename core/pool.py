"""The tasks of a run: which problems it trains on, which it is judged on, and in which loophole mode each is posed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from core.arms import Task
from core.hints import drawn_test_func_name
from core.models import DataError
from core.nano import world
from core.policy import Policy
from core.problems import Problem, load_problems, partition
from core.run_dir import RunDir
from core.spec import TrainConfig

NANO_TRAIN, NANO_HELD_OUT = 1024, 256


@dataclass(frozen=True)
class Pool:
    train: list[Task]
    held_out: list[Task]
    left_out: int  # problems whose prompt is longer than max_prompt


def load_pool(run: RunDir, config: TrainConfig, policy: Policy) -> Pool:
    """Raises DataError where the rows are not the planned ones, or too few are left."""
    if config.problems == "nano":
        train, held_out = list(world.problems("train", NANO_TRAIN)), list(world.problems("held_out", NANO_HELD_OUT))
    else:
        train, held_out = _split(_rows(run, config), config.held_out_share)
    fitting_train = _fitting(train, config, policy)
    fitting_held_out = _fitting(held_out, config, policy)[: config.eval_problems]
    left_out = len(train) - len(fitting_train)
    needed = config.batch // config.completions
    if len(fitting_train) < needed or not fitting_held_out:
        raise DataError(
            f"{len(fitting_train)} training and {len(fitting_held_out)} held-out problems have prompts of at most "
            f"{config.max_prompt} tokens; a step needs {needed} and 1: raise max_prompt, lower batch, or add problems"
        )
    return Pool(_tasks(fitting_train, config), _tasks(fitting_held_out, config), left_out)


def _rows(run: RunDir, config: TrainConfig) -> list[Problem]:
    try:
        found = hashlib.sha256(run.problems_path.read_bytes()).hexdigest()
    except FileNotFoundError:
        raise DataError(f"{run.problems_path} is missing; plan this run with --problems FILE.jsonl") from None
    if found != config.problems_sha256:
        raise DataError(f"{run.problems_path} has SHA-256 {found[:12]}, the plan froze {config.problems_sha256[:12]}")
    try:
        return load_problems(run.problems_path)
    except ValueError as error:
        raise DataError(str(error)) from error


def _split(problems: list[Problem], share: float) -> tuple[list[Problem], list[Problem]]:
    """The newest ids are held out: a model is likelier to have seen the older problems."""
    by_age = sorted(problems, key=lambda p: (len(p.problem_id), p.problem_id))
    count = max(1, round(share * len(by_age)))
    return by_age[:-count], by_age[-count:]


def _task(problem: Problem, mode: str, config: TrainConfig) -> Task:
    name = drawn_test_func_name(config.hint, problem.problem_id, config.hint_seed)
    return Task(problem, mode, config.hint, name)


def _fitting(problems: Sequence[Problem], config: TrainConfig, policy: Policy) -> list[Problem]:
    """Those whose prompt keeps within max_prompt in every mode, so that no mode has other problems than the rest."""
    modes = (*config.modes, "gt_only")
    try:
        return [p for p in problems if all(policy.fits(_task(p, mode, config)) for mode in modes)]
    except ValueError as error:
        raise DataError(f"hint {config.hint!r}: {error}") from error


def _tasks(problems: Sequence[Problem], config: TrainConfig) -> list[Task]:
    modes = partition(problems, config.modes)
    return [_task(problem, mode, config) for problem, mode in zip(problems, modes, strict=True)]
