"""Whose weights an eval run measures: those of a finished training run, or the model's own.

How the weights are attached (model, adapter, its rank) is the training run's to say; the rest is the eval run's.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from core.arms import ARMS
from core.attempt import Attempt, stopping_tick
from core.direction.directions import base_sha256
from core.environment.hints import HELD_OUT, SIMPLE
from core.environment.task import Task
from core.model.adapters.bare import bare
from core.model.adapters.base import tensors_sha256
from core.model.load import DataError, load
from core.model.policy import Policy, attached
from core.model.run_data import halves
from core.runs import durable
from core.runs.run_dir import RunDir
from core.spec import RunSpec
from core.training.final_weights import weights_sha256

log = logging.getLogger(__name__)

OF_THE_WEIGHTS = ("model", "adapter", "lora_r", "lora_alpha")


@dataclass(frozen=True)
class Subject:
    run: RunDir  # whose eval/ gets the file
    name: str  # in messages
    policy: Policy  # to be refreshed
    has_quarantine: bool  # deployed without a part of its weights
    about: dict[str, Any]  # run_id, plan_hash, label, arm, seed, steps: as the eval file says them
    conditions: dict[str, Any]  # which weights these are
    seen: frozenset[str] = frozenset()  # ids of problems that were trained on
    hack_rate: float | None = None  # by training's own last evaluation

    def require_unseen(self, tasks: list[Task]) -> None:
        """Raises DataError where problems of the evaluation were trained on: nothing would be held out."""
        known = [task.problem.problem_id for task in tasks if task.problem.problem_id in self.seen]
        if known:
            raise DataError(
                f"{len(known)} of {len(tasks)} problems of this evaluation were trained on (first: {known[0]}); plan "
                "it with the problems file and held_out_share of training, or with a file of other problems"
            )


def base_model(attempt: Attempt) -> Subject:
    """The model without an adapter: no training run stands behind it, so the file stays with the eval run."""
    config = attempt.spec.config
    language_model = load(config.model, config.device, config.dtype)
    policy = Policy.of(language_model, bare(language_model), config, stopping_tick(attempt))
    nobody = {"run_id": "", "plan_hash": "", "label": "base", "arm": "", "seed": None, "steps": 0}
    weights = {"adapter_sha256": "", "model_sha256": base_sha256(policy), "model": config.model}
    return Subject(attempt.run, f"{config.model} without an adapter", policy, False, nobody, weights)


def trained_weights(attempt: Attempt) -> Subject:
    """Those that `spec.of` has left. Raises DataError where it has not finished, or left others than it says."""
    run, spec, result = _finished_run(attempt)
    of_weights = {name: getattr(spec.config, name) for name in OF_THE_WEIGHTS}
    config = dataclasses.replace(attempt.spec.config, **of_weights)
    policy = attached(config, spec.seed, stopping_tick(attempt))
    quarantined = ARMS[spec.arm].deploys_ablated
    _load(policy, run, result, quarantined)
    if config.markers == HELD_OUT and "run_tests" in config.modes and not spec.config.hint.startswith(SIMPLE):
        log.warning("training drew the test function's name from all of them (%s): none is held out", spec.config.hint)
    hashes = {"adapter_sha256": result["adapter_sha256"], "model_sha256": base_sha256(policy)}
    if "quarantine_sha256" in result:  # figures as trained depend on it
        hashes["quarantine_sha256"] = result["quarantine_sha256"]
    return Subject(
        run=run,
        name=attempt.spec.of,
        policy=policy,
        has_quarantine=quarantined,
        about={key: result[key] for key in ("run_id", "plan_hash", "label", "arm", "seed", "steps")},
        conditions=hashes | of_weights,
        seen=frozenset(problem.problem_id for problem in halves(run, spec.config)[0]),
        hack_rate=result["hack_rate"],
    )


def _finished_run(attempt: Attempt) -> tuple[RunDir, RunSpec, dict[str, Any]]:
    of, own = attempt.spec.of, attempt.spec.run_id
    run = RunDir(attempt.run.path.parent / of)
    if Path(of).name != of or not run.spec_path.is_file():
        raise DataError(f"eval run {own} is of {of!r}, and no such run is beside it; plan it anew")
    result = durable.read_json(run.result_path)
    if result is None:
        raise DataError(
            f"{of} has no result.json yet, so there are no final weights to evaluate: wait for it "
            f"(`grpoq wait {of}`), then `grpoq retry {own}`"
        )
    try:
        spec = RunSpec.from_json(json.loads(run.spec_path.read_text()))
    except ValueError as error:
        raise DataError(f"{of}: {error}") from error
    if spec.kind != "train" or spec.arm not in ARMS:
        raise DataError(f"{of} is a run of kind {spec.kind}, arm {spec.arm!r}: there are no weights to evaluate")
    return run, spec, result


def _load(policy: Policy, run: RunDir, result: dict[str, Any], quarantined: bool) -> None:
    """The quarantine too, which is measured beside what is deployed: from its own file, or, in runs of before there was
    one, from within adapter/, whose hash then is of all that was trained."""
    adapter, apart = policy.adapter, "quarantine_sha256" in result
    try:
        adapter.load(run.adapter)
        if apart:
            adapter.load_set_aside(load_file(run.quarantine))
    except (OSError, KeyError, ValueError, SafetensorError) as error:
        raise DataError(f"{run.adapter} cannot be read as adapter {policy.config.adapter!r}: {error}") from error
    found = weights_sha256(adapter, quarantined)
    expected = {name: result[name] for name in found if name in result}
    wrong = [name for name, sha256 in expected.items() if found[name] != sha256]
    if wrong and (apart or tensors_sha256(adapter.state()) != result["adapter_sha256"]):
        raise DataError(
            f"{run.adapter} holds other weights than were trained: SHA-256 {found[wrong[0]][:12]}, "
            f"result.json says {expected[wrong[0]][:12]} ({wrong[0]})"
        )
