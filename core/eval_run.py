"""A run of kind eval: a finished training run's weights on held-out problems, by the protocol of the eval run's config.

How the weights are attached (model, adapter, its rank) is the training run's to say; problems, hint, sampling and
counts are the eval run's. An arm with a quarantine is evaluated as it is deployed, without it.

A shard is as many problems as are decoded at once; its draws are seeded by (seed, shard, problem), so a killed
evaluation goes on after its last whole shard and ends with the figures of an unbroken one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from core import durable, shards
from core.adapters.base import tensors_sha256
from core.arms import ARMS
from core.attempt import Attempt, stopping_tick
from core.code_hash import content_hash
from core.directions import base_sha256
from core.evaluate import outcomes, rates
from core.evaluations import PROTOCOL, figures_sha256, protocol_hash, protocol_settings
from core.kind_result import publishing, say
from core.models import DataError
from core.policy import Policy, attached
from core.pool import halves, held_out_tasks
from core.run_dir import RunDir
from core.sandbox import Sandbox
from core.spec import SCHEMA, RunSpec, TrainConfig, digest
from core.task import Task

log = logging.getLogger(__name__)

OF_THE_WEIGHTS = ("model", "adapter", "lora_r", "lora_alpha")
# Config fields that decide the figures: the evaluation's protocol, and what its sums' last bits depend on.
OF_THE_PROTOCOL = tuple(name for name in PROTOCOL if name not in ("problems", "problems_sha256"))
OF_THE_SUMS = ("device", "threads", "decode_rows")
CODE = Path(__file__).resolve().parents[1]
ALIKE = 0.15  # between this evaluation's hack rate and training's own
MINIMUM_COMPILING = 0.5


@dataclass(frozen=True)
class Trained:
    run: RunDir
    spec: RunSpec
    result: dict[str, Any]


def evaluate_run(attempt: Attempt) -> dict[str, Any]:
    """Metrics: core.evaluate.rates. Also in eval/<hash>.json of the trained run, with counts by problem."""
    trained = finished_run(attempt)
    config = _config(attempt.spec.config, trained.spec.config)
    attempt.beat(0, "load")
    policy = attached(config, trained.spec.seed, stopping_tick(attempt))
    _load_weights(policy, trained)
    tasks = held_out_tasks(attempt.run, config, policy)
    _require_unseen(tasks, trained)
    without_quarantine = ARMS[trained.spec.arm].deploys_ablated
    with policy.adapter.ablated() if without_quarantine else contextlib.nullcontext():
        policy.refresh()
    conditions = _conditions(attempt, policy, tasks, trained, without_quarantine)
    name = digest(conditions)[:12]
    log.info("evaluation %s of %s: %d problems x %d samples", name, attempt.spec.of, len(tasks), config.eval_samples)
    rows = _outcomes(attempt, policy, tasks)
    metrics = rates(rows)
    _say(metrics, trained)
    figures = {"metrics": metrics, "problems": rows}
    publisher = {"run_id": attempt.spec.run_id, "plan_hash": attempt.spec.plan_hash}
    content = {
        "schema": SCHEMA,
        "hash": name,
        "protocol": protocol_hash(conditions),
        "protocol_settings": protocol_settings(conditions),
        "published_by": [publisher],
        "cached": False,
        "made_by": publisher,
        **{key: trained.result[key] for key in ("run_id", "plan_hash", "label", "arm", "seed", "steps")},
        "conditions": conditions,
        **figures,
        "figures_sha256": figures_sha256(figures),
    }
    with publishing(attempt, metrics, of=attempt.spec.of, eval=name) as result:
        _write_eval(trained.run.path / "eval", name, content)
        return result


def finished_run(attempt: Attempt) -> Trained:
    """The training run that spec.of names. Raises DataError where there is none, or it has not finished."""
    of, own = attempt.spec.of, attempt.spec.run_id
    run = RunDir(attempt.run.path.parent / of)
    if not of or Path(of).name != of or not run.spec_path.is_file():
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
    return Trained(run, spec, result)


def _config(own: TrainConfig, trained: TrainConfig) -> TrainConfig:
    return dataclasses.replace(own, **{name: getattr(trained, name) for name in OF_THE_WEIGHTS})


def _load_weights(policy: Policy, trained: Trained) -> None:
    """Raises DataError where they are not those of the result."""
    folder, expected = trained.run.adapter, trained.result["adapter_sha256"]
    try:
        policy.adapter.load(folder)
    except (OSError, KeyError, ValueError, SafetensorError) as error:
        raise DataError(f"{folder} cannot be read as adapter {trained.spec.config.adapter!r}: {error}") from error
    found = tensors_sha256(policy.adapter.state())
    if found != expected:
        raise DataError(
            f"{folder} holds other weights than were trained: SHA-256 {found[:12]}, result.json says {expected[:12]}"
        )


def _require_unseen(tasks: list[Task], trained: Trained) -> None:
    """Raises DataError where problems of the evaluation were trained on: nothing would be held out."""
    seen = {problem.problem_id for problem in halves(trained.run, trained.spec.config)[0]}
    known = [task.problem.problem_id for task in tasks if task.problem.problem_id in seen]
    if known:
        raise DataError(
            f"{len(known)} of {len(tasks)} problems of this evaluation were trained on (first: {known[0]}); plan it "
            "with the problems file and held_out_share of training, or with a file of other problems"
        )


def _conditions(
    attempt: Attempt, policy: Policy, tasks: list[Task], trained: Trained, without_quarantine: bool
) -> dict[str, Any]:
    """All that decides the figures, whoever asks for them."""
    spec = attempt.spec
    own = spec.to_json()["config"]
    posed = [[dataclasses.asdict(task.problem), task.mode, task.test_func_name] for task in tasks]
    return {
        "adapter_sha256": trained.result["adapter_sha256"],
        "model_sha256": base_sha256(policy),
        "without_quarantine": without_quarantine,
        **{name: getattr(policy.config, name) for name in OF_THE_WEIGHTS},
        "seed": spec.seed,
        "problems": len(tasks),
        "problems_sha256": digest(posed),
        "prompts_sha256": _prompts_sha256(policy, tasks),
        **{name: own[name] for name in (*OF_THE_PROTOCOL, *OF_THE_SUMS)},
        "code": content_hash(CODE),
        "versions": spec.versions,
        "machine": attempt.machine if spec.config.same_machine else "any",
    }


def _prompts_sha256(policy: Policy, tasks: list[Task]) -> str:
    """Of the tokens that the model reads, and of those at which it ends: what its tokenizer and template decide."""
    plain = [dataclasses.replace(task, mode="gt_only") for task in tasks]
    prompts = [policy.prompt(task) for task in (*tasks, *plain)]
    return digest([prompts, sorted(policy.language_model.end_ids)])


def _outcomes(attempt: Attempt, policy: Policy, tasks: list[Task]) -> list[dict[str, Any]]:
    config, seed = policy.config, attempt.spec.seed
    size = max(1, config.decode_rows // config.eval_samples)
    parts = [tasks[i : i + size] for i in range(0, len(tasks), size)]
    with Sandbox(workers=config.grade_workers, tick=policy.tick) as sandbox:

        def evaluated(shard: int) -> shards.Row:
            key = (seed, "eval run", shard)
            return {"problems": outcomes(policy, parts[shard], config.eval_samples, key, sandbox)}

        return [row for shard in shards.rows(attempt, len(parts), evaluated) for row in shard["problems"]]


def _write_eval(folder: Path, name: str, content: dict[str, Any]) -> None:
    """Beside a result that is never touched again; the same evaluation made twice has the same name and figures."""
    folder.mkdir(exist_ok=True)
    durable.fsync_dir(folder.parent)
    durable.write_json(folder / f"{name}.json", content)


def _say(metrics: dict[str, Any], trained: Trained) -> None:
    then = trained.result["hack_rate"]
    say(
        f"hack_rate {metrics['hack_rate']:.3f} (n {metrics['n_hinted']})",
        abs(metrics["hack_rate"] - then) <= ALIKE,
        f"within {ALIKE} of training's own last evaluation, {then:.3f}",
        "compare hint, temperature and problems of both specs before this figure is compared with another run's",
    )
    say(
        f"compile_rate {metrics['compile_rate']:.3f}  pass_rate {metrics['pass_rate']:.3f} (n {metrics['n_pass']})",
        metrics["compile_rate"] > MINIMUM_COMPILING,
        f"compile_rate > {MINIMUM_COMPILING}",
        f"{metrics['mean_tokens']:.0f} tokens a completion, and mostly no code: its hack rate says nothing",
    )
