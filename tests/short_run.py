"""Six steps of a run in this process: the loop as the worker calls it, without the worker around it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import real_run
import small_policy
import torch

from core.run_dir import RunDir
from core.spec import RunSpec
from core.train import Attempt, Preempted, train

torch.set_num_threads(1)  # tests share cores, and a run sums in as many parts as there are threads
SMALL: dict[str, Any] = {"steps": 6, "refresh": 2, "eval_every": 6, "eval_problems": 2, "max_new": 12, "lora_r": 8}


def trained(path: Path, arm: str, adapter: str, stop_after: int | None = None, **fields: Any) -> RunDir:
    """Train in `path`; with `stop_after` one attempt ends there and a second one goes on from its checkpoint."""
    run = RunDir(path)
    config = small_policy.config("smoke", adapter=adapter, **(SMALL | fields))
    spec = RunSpec(run.run_id, "train", arm, arm, 7, "test", "test", "smoke", config)
    if stop_after is None:
        _attempt(run, spec, 1)
        return run
    try:
        _attempt(run, spec, 1, stop_after)
    except Preempted:
        _attempt(run, spec, 2)
        return run
    raise AssertionError(f"attempt 1 went on beyond step {stop_after}")


def _attempt(run: RunDir, spec: RunSpec, number: int, stop_after: int | None = None) -> None:
    run.attempt(number).mkdir(parents=True)
    finished = [0]

    def beat(step: int, phase: str) -> None:
        finished[0] = step

    def wants_stop() -> bool:  # asked when a step is done that no beat has told of yet
        return finished[0] + 1 == stop_after

    train(Attempt(run, spec, number, {}, beat, lambda: None, wants_stop, lambda: None))


def assert_resumed_equals_whole(path: Path, arm: str, adapter: str, **fields: Any) -> RunDir:
    """Stopped after step 3 of 6, just after a refresh, and resumed: the same bytes and rows. Returns the whole run."""
    whole = trained(path / "whole", arm, adapter, **fields)
    parts = trained(path / "parts", arm, adapter, stop_after=3, **fields)
    assert parts.attempts() == [1, 2]
    real_run.assert_equal_runs(whole, parts)
    return whole
