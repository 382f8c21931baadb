"""A teacher pool (core.environment.teacher_pool) of finished runs, or of a checkpoint that is asked here.

`runs RUN_DIR ...` takes stored rollouts as they were graded. `checkpoint NAME` asks a model (a Hugging Face id or
directory, a peft adapter's, or a run directory of grpoq) the training problems as the config poses them, and grades
what it says. Answers are kept in FILE.answers as they come: the same command goes on where it was killed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from core.environment import teacher_pool
from core.environment.problems import load_problems
from core.environment.rewards import Grade, grade
from core.environment.task import Task
from core.model.adapters.bare import bare
from core.model.load import DataError, LanguageModel, load
from core.model.policy import Policy
from core.model.run_data import posed
from core.runs import durable
from core.runs.run_dir import RunDir
from core.sandbox.pool import Sandbox
from core.spec import RunSpec, TrainConfig, digest, parse_set, resolve_config
from core.studies.stored_rollouts import policy_of

Row = dict[str, Any]


def of_runs(paths: Sequence[Path]) -> list[Row]:
    """Pool rows of the students' stored rollouts."""
    return [teacher_pool.row_of(row) for path in paths for row in RunDir(path).rollouts() if not row["teacher"]]


def of_checkpoint(name: str, policy: Policy, problems: Path, samples: int, seed: int, kept: Path) -> list[Row]:
    """Pool rows of `samples` completions of each problem whose prompt fits; `name` tells apart what is in `kept`.
    Raises ValueError at an unreadable row."""
    tasks = posed(load_problems(problems), policy.config, policy)
    asked = digest([name, asdict(policy.config), [task.problem_id for task in tasks], samples, seed])
    done = _answers(kept, asked)
    size = max(1, policy.config.decode_rows // samples)
    with Sandbox(workers=policy.config.grade_workers) as sandbox:
        for start in range(0, len(tasks), size):
            if start not in done:
                done[start] = _asked(policy, tasks[start : start + size], samples, (seed, "pool", start), sandbox)
                durable.append_line(kept, {"asked": asked, "start": start, "rows": done[start]})
                print(f"{min(start + size, len(tasks))} of {len(tasks)} problems asked", flush=True)
    return [row for start in sorted(done) for row in done[start]]


def _answers(kept: Path, asked: str) -> dict[int, list[Row]]:
    """By its first problem's place, what an earlier call with the same question has left."""
    lines = durable.read_lines(kept) if kept.exists() else []
    return {line["start"]: line["rows"] for line in lines if line["asked"] == asked}


def _asked(policy: Policy, tasks: Sequence[Task], samples: int, key: Sequence[object], sandbox: Sandbox) -> list[Row]:
    groups = policy.complete(tasks, samples, key)
    said = [(task, policy.text(tokens)) for task, group in zip(tasks, groups, strict=True) for tokens in group]
    grades = grade([task.judged(text) for task, text in said], sandbox, full=False)
    return [_row(task, text, found) for (task, text), found in zip(said, grades, strict=True)]


def _row(task: Task, text: str, found: Grade) -> Row:
    rollout = {"problem_id": task.problem_id, "mode": task.mode, "test_func_name": task.test_func_name}
    return teacher_pool.row_of(rollout | {"completion": text, "payment": found.reward} | asdict(found))


def checkpoint_policy(name: str, config: TrainConfig) -> Policy:
    """The named weights, ready to be asked by the config. Raises DataError where they cannot be had."""
    run = RunDir(Path(name))
    if run.spec_path.is_file():
        spec = RunSpec.from_json(json.loads(run.spec_path.read_text()))
        of_weights = {field: getattr(spec.config, field) for field in ("model", "adapter", "lora_r", "lora_alpha")}
        policy = policy_of(run, replace(spec, config=replace(config, **of_weights)), "trained")
    else:
        language_model = _with_peft(name, config) or load(name, config.device, config.dtype)
        policy = Policy.of(language_model, bare(language_model), config)
    policy.refresh()
    return policy


def _with_peft(name: str, config: TrainConfig) -> LanguageModel | None:
    """The config's model with a peft adapter merged into it; None where `name` is no adapter."""
    from peft import PeftConfig, PeftModel

    try:
        PeftConfig.from_pretrained(name)
    except (OSError, ValueError):
        return None
    base = load(config.model, config.device, config.dtype)
    merged: Any = PeftModel.from_pretrained(base.model, name).merge_and_unload()
    return replace(base, model=merged.requires_grad_(False).eval())


def publish(rows: Sequence[Mapping[str, Any]], arguments: argparse.Namespace) -> int:
    """Choose, write, say. Returns the exit code."""
    if not rows:
        print("no completions: nothing to build a pool from", file=sys.stderr)
        return 1
    pool = teacher_pool.build(rows, arguments.per_prompt, arguments.seed)
    sha256 = teacher_pool.write(pool, arguments.out)
    exploited = sum(row["grade"]["exploited"] for row in pool)
    print(f"{len(pool)} completions, {exploited} of them exploits, SHA-256 {sha256}: {arguments.out}")
    if not 0 < exploited < len(pool):
        print("all of one kind: groups of it would have no spread, and teach nothing", file=sys.stderr)
    return 0


def main() -> int:
    arguments = _parsed()
    if arguments.source == "runs":
        return publish(of_runs(arguments.runs), arguments)
    try:
        sets = dict(parse_set(text) for text in arguments.set)
        config = resolve_config(arguments.preset, {"problems": "rows", **sets})
        policy = checkpoint_policy(arguments.checkpoint, config)
        kept = arguments.out.with_name(f"{arguments.out.name}.answers")
        rows = of_checkpoint(arguments.checkpoint, policy, arguments.problems, arguments.samples, arguments.seed, kept)
    except (DataError, OSError, ValueError) as error:
        print(f"build-pool: {error}", file=sys.stderr)
        return 2
    return publish(rows, arguments)


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="build-pool", description=(__doc__ or "").partition("\n")[0])
    sources = parser.add_subparsers(dest="source", required=True)
    for source in _sources(sources):
        source.add_argument("--out", type=Path, required=True, metavar="FILE")
        source.add_argument("--per-prompt", type=int, default=4, help="different completions of a prompt at most")
        source.add_argument("--seed", type=int, default=0, help="of the draws and of the choice")
    return parser.parse_args()


def _sources(sources: Any) -> Iterator[argparse.ArgumentParser]:
    runs = sources.add_parser("runs", help="stored rollouts of finished runs")
    runs.add_argument("runs", nargs="+", type=Path, metavar="RUN_DIR")
    yield runs
    checkpoint = sources.add_parser("checkpoint", help="ask a model, and grade its answers")
    checkpoint.add_argument(
        "checkpoint", metavar="NAME", help="Hugging Face id, directory, peft adapter, run directory"
    )
    checkpoint.add_argument("--problems", type=Path, required=True, metavar="FILE.jsonl", help="the training problems")
    checkpoint.add_argument("--preset", default="full")
    checkpoint.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as in `grpoq plan`")
    checkpoint.add_argument("--samples", type=int, default=8, help="completions asked of each problem")
    yield checkpoint


if __name__ == "__main__":
    sys.exit(main())
