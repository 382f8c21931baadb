"""Runs of kinds other than train, on random weights, worked to their end by the real worker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from core.runs import durable
from core.runs.run_dir import RunDir
from core.spec import RunSpec, resolve_config
from support import real_run
from support.patience import patient

SMALL = {"disk_floor_gb": 0.01, "steer_samples": 1, "check_problems": 1}


def planned(runs: Path, name: str, kind: str, of: str = "", **fields: Any) -> RunDir:
    run = RunDir(runs / name)
    run.path.mkdir(parents=True)
    spec = RunSpec(
        name, kind, name, "vanilla", 7, "test", "0" * 64, "smoke", resolve_config("smoke", SMALL | fields), of=of
    )
    durable.write_json(run.spec_path, spec.to_json())
    return run


def result(run: RunDir) -> dict[str, Any]:
    found = json.loads(run.result_path.read_text())
    spec = json.loads(run.spec_path.read_text())
    assert {key: found[key] for key in ("schema", "run_id", "kind", "plan_hash")} == {
        "schema": 1,
        **{key: spec[key] for key in ("run_id", "kind", "plan_hash")},
    }
    return found


def log(run: RunDir, number: int = 1) -> str:
    return (run.attempt(number) / "worker.log").read_text()


def finished(run: RunDir) -> dict[str, Any]:
    assert real_run.worker(run).wait(patient(120)) == 0, (run.path / "test-worker.log").read_text()[-3000:]
    beat = run.heartbeat(run.attempts()[-1])
    assert beat is not None and beat["steps"] is None and beat["step"] == 0 and beat["checkpoint_step"] is None
    return result(run)
