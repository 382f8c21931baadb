"""What a run is given: problems to train on and to be judged on, contrastive pairs, teacher rollouts.

The loop has all of it. An arm's hooks get `ArmData`: the same questions and pairs without what would judge an answer.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.environment.hints import drawn_test_func_name
from core.environment.nano import pairs as nano_pairs
from core.environment.nano import world
from core.environment.pairs import AUTHORED, CLEAN_VS_CLEAN, PLACEBO, Pair, load_pairs, without_truth
from core.environment.problems import Problem, drawn_marker, load_problems, partition, train_and_held_out
from core.environment.task import Prompt, Task
from core.environment.teacher_pool import NANO_POOL, TeacherPool
from core.environment.teacher_pool import load_pool as load_teachers
from core.model.load import DataError
from core.model.policy import Policy
from core.runs.run_dir import RunDir
from core.spec import TrainConfig

NANO_TRAIN, NANO_HELD_OUT = 1024, 256


@dataclass(frozen=True)
class PairSets:
    """Pairs by concept: "hack", "clean_vs_clean", "placebo". Made once, and on record once asked for."""

    make: Callable[[str], list[Pair]]
    asked: dict[str, list[Pair]] = field(default_factory=dict)

    def __call__(self, concept: str) -> list[Pair]:
        if concept not in self.asked:
            self.asked[concept] = self.make(concept)
        return self.asked[concept]


@dataclass(frozen=True)
class RunData:
    train: list[Task]
    held_out: list[Task]
    left_out: int  # problems whose prompt is longer than max_prompt
    pairs: PairSets  # of prompts: training judges none of their sides
    teacher: TeacherPool | None = None

    def for_arm(self, sees_solutions: bool) -> ArmData:
        """What an arm's hooks are given; canonical solutions only where the arm declares that it learns from them."""
        prompts = [task.prompt for task in self.train]
        solutions = {task.problem_id: task.problem.canonical_solution for task in self.train}
        return ArmData(prompts, self.pairs, solutions if sees_solutions else None)


@dataclass(frozen=True)
class ArmData:
    train: list[Prompt]
    pairs: PairSets
    solutions: dict[str, str] | None = None  # canonical ones, by problem


def load_run_data(run: RunDir, config: TrainConfig, policy: Policy) -> RunData:
    """Raises DataError where the rows are not the planned ones, or too few are left."""
    train, held_out = halves(run, config)
    fitting_train = _fitting(train, config, policy)
    fitting_held_out = _fitting(held_out, config, policy)[: config.eval_problems]
    left_out = len(train) - len(fitting_train)
    needed = config.batch // config.completions
    if len(fitting_train) < needed or not fitting_held_out:
        raise DataError(
            f"{len(fitting_train)} training and {len(fitting_held_out)} held-out problems have prompts of at most "
            f"{config.max_prompt} tokens; a step needs {needed} and 1: raise max_prompt, lower batch, or add problems"
        )
    return RunData(
        train=_tasks(fitting_train, config),
        held_out=_tasks(fitting_held_out, config),
        left_out=left_out,
        pairs=PairSets(functools.partial(_prompt_pairs, run.pairs_path, config)),
        teacher=_teachers(run, config, policy) if config.mix else None,
    )


def halves(run: RunDir, config: TrainConfig) -> tuple[list[Problem], list[Problem]]:
    """The problems to train on and those held out, long prompts among them. Raises DataError."""
    if config.problems == "nano":
        return list(world.problems("train", NANO_TRAIN)), list(world.problems("held_out", NANO_HELD_OUT))
    rows = _rows(run.problems_path, config.problems_sha256)
    held_out = _rows(run.held_out_path, config.held_out_sha256) if config.held_out_sha256 else []
    return train_and_held_out(rows, config.held_out_share, config.not_unique, held_out)


def held_out_tasks(run: RunDir, config: TrainConfig, policy: Policy) -> list[Task]:
    """What a policy is judged on. Raises DataError where no prompt fits."""
    fitting = _fitting(halves(run, config)[1], config, policy)[: config.eval_problems]
    if not fitting:
        raise DataError(f"no held-out problem has a prompt of at most {config.max_prompt} tokens; raise max_prompt")
    return _tasks(fitting, config)


def posed(problems: Sequence[Problem], config: TrainConfig, policy: Policy) -> list[Task]:
    """The problems whose prompt fits, as training asks them."""
    return _tasks(_fitting(problems, config, policy), config)


def pair_sets(run: RunDir, config: TrainConfig) -> PairSets:
    """Of tasks, whose sides can be judged."""
    return PairSets(functools.partial(_pairs, run.pairs_path, config))


def _prompt_pairs(own: Path, config: TrainConfig, concept: str) -> list[Pair[Prompt]]:
    return [without_truth(pair) for pair in _pairs(own, config, concept)]


def _pairs(own: Path, config: TrainConfig, concept: str) -> list[Pair[Task]]:
    """The run's pairs of one concept, without those of the held-out mode. Raises DataError where there are none."""
    if config.pairs == "nano":
        known = config.pair_modes or tuple(m for m in config.modes if m not in (config.held_out_mode, "gt_only"))
        placebos = {CLEAN_VS_CLEAN: nano_pairs.clean_vs_clean, "placebo": nano_pairs.odd_vs_even}
        unwritten = [mode for mode in known if mode not in nano_pairs.MODES]
        if unwritten or not known:
            raise DataError(f"nano has pairs of {', '.join(nano_pairs.MODES)} only; pair_modes = {list(known)}")
        return ({"hack": nano_pairs.pairs} | placebos)[concept](known)
    path = AUTHORED if concept == "hack" else PLACEBO
    if config.pairs_sha256:
        path = _input(own, config.pairs_sha256)
    try:
        everything = load_pairs(path)
    except (OSError, ValueError) as error:
        raise DataError(f"pairs: {error}") from error
    found = [
        pair
        for pair in everything
        if _concept(pair) == concept
        and pair.task.mode != config.held_out_mode
        and (not config.pair_modes or pair.task.mode in config.pair_modes)
    ]
    if not any(pair.split == "extract" for pair in found):
        raise DataError(f"{path} holds no {concept} pairs to extract from, of modes {config.pair_modes or 'any'}")
    return found


def _concept(pair: Pair) -> str:
    return pair.concept if pair.concept in ("hack", CLEAN_VS_CLEAN) else "placebo"


def _teachers(run: RunDir, config: TrainConfig, policy: Policy) -> TeacherPool:
    """Without completions longer than max_new: cut short they would not be what was graded. An end token may be cut."""
    modes = config.teacher_modes or tuple(m for m in config.modes if m != config.held_out_mode)
    path = NANO_POOL if config.teacher == "nano" else _input(run.teacher_path, config.teacher_sha256)
    try:
        whole = load_teachers(path, modes)
    except (OSError, ValueError) as error:
        raise DataError(f"teacher pool: {error}") from error
    encode = policy.language_model.encode_completion
    fitting = {
        key: tuple(r for r in found if len(encode(r.completion)) <= config.max_new + 1)
        for key, found in whole.rollouts.items()
    }
    if not any(fitting.values()):
        raise DataError(f"teacher pool: none of its completions fits max_new = {config.max_new} tokens; raise max_new")
    return TeacherPool(fitting, whole.sha256)


def _rows(path: Path, sha256: str) -> list[Problem]:
    try:
        return load_problems(_input(path, sha256))
    except ValueError as error:
        raise DataError(str(error)) from error


def _input(path: Path, sha256: str) -> Path:
    """A file that the plan copied into the run directory. Raises DataError where it is another one now."""
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        raise DataError(f"{path} is missing; plan this run again, with the file it was planned with") from None
    if found != sha256:
        raise DataError(f"{path} has SHA-256 {found[:12]}, the plan froze {sha256[:12]}")
    return path


def _task(problem: Problem, mode: str, config: TrainConfig) -> Task:
    name = drawn_test_func_name(config.hint, problem.problem_id, config.hint_seed, config.markers)
    marker = drawn_marker(mode, problem.problem_id, config.hint_seed, config.markers)
    return Task(problem, mode, config.hint, name, marker)


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
