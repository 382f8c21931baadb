"""A worker that keeps the contract and trains nothing: a step is one line and a wait. Frozen in place of the real one.

GRPOQ_FAKE_STEP_S           seconds per step (default 0.01)
GRPOQ_FAKE_ERROR            "class:exit_code": error.json and that exit code, before the first step
GRPOQ_FAKE_ERROR_IN         only in runs whose id begins so
GRPOQ_FAKE_DIE_EARLY        end by SIGKILL before the first metrics row
GRPOQ_FAKE_SILENT           "run": beat once, then hang deaf to SIGTERM (first attempt only)
GRPOQ_FAKE_UNCLAIMED        end before the claim
GRPOQ_FAKE_CLAIM_S          seconds before the claim
GRPOQ_FAKE_FIGURES          "name=value,...": figures of the result, instead of the made up ones
Every execution appends to executions.jsonl of its run: begin and end, for the test that nothing runs twice at once.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path

from core.runs import durable
from core.runs.run_dir import Claim, Fenced, RunDir, boot_clock, identity

STARTED = time.monotonic()


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("--attempt", type=int)
    parser.add_argument("--take-over", action="store_true")
    arguments = parser.parse_args()
    if os.environ.get("GRPOQ_FAKE_UNCLAIMED"):
        return 1
    time.sleep(float(os.environ.get("GRPOQ_FAKE_CLAIM_S", "0")))
    run = RunDir(arguments.run)
    try:
        claim = run.claim(arguments.attempt, arguments.take_over)
    except Fenced as fenced:
        print(fenced, file=sys.stderr)
        return 79
    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stop.append(number))
    try:
        return work(run, claim, stop)
    except Fenced:
        return leave(claim, 79)


def work(run: RunDir, claim: Claim, stop: list[int]) -> int:
    spec = durable.read_json(run.spec_path)
    steps, every = spec["config"]["steps"], spec["config"]["checkpoint_every"]
    if os.environ.get("GRPOQ_FAKE_DIE_EARLY"):
        os.kill(os.getpid(), signal.SIGKILL)
    named = os.environ.get("GRPOQ_FAKE_ERROR_IN", "")
    if os.environ.get("GRPOQ_FAKE_ERROR") and run.run_id.startswith(named):
        kind, code = os.environ["GRPOQ_FAKE_ERROR"].split(":")
        row = {"class": kind, "message": f"made up {kind}", "exit_code": int(code), "time": time.time()}
        durable.write_json(claim.path / "error.json", row | {"traceback": ""})
        return int(code)
    if spec["kind"] != "train":
        return work_of_another_kind(run, claim, spec)
    durable.append_line(
        run.path / "executions.jsonl", {"attempt": claim.number, "cwd": str(Path.cwd()), "pid": os.getpid()}
    )
    pace = float(os.environ.get("GRPOQ_FAKE_STEP_S", "0.01"))
    step = newest_checkpoint(run)
    print(f"attempt {claim.number} starts after step {step}", flush=True)
    if os.environ.get("GRPOQ_FAKE_SILENT") and claim.number == 1:
        beat(claim, step, steps, pace, step)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)
    saved = step
    while step < steps:
        if stop or run.cancelled():
            save(run, claim, step)
            return leave(claim, 75)
        time.sleep(pace)
        step += 1
        value = int(hashlib.sha256(f"{spec['seed']} {step}".encode()).hexdigest()[:8], 16) / 2**32
        with (claim.path / "metrics.jsonl").open("a") as handle:
            handle.write(json.dumps({"step": step, "rew": value, "sec": pace}) + "\n")
        with (claim.path / "clocks.jsonl").open("a") as handle:
            handle.write(json.dumps({"step": step, "clock": boot_clock()}) + "\n")
        if step % every == 0:
            save(run, claim, step)
            saved = step
        beat(claim, step, steps, pace, saved)
    row = {"step": step, "hack_rate": 0.5, "pass_rate": 0.25, "n_hinted": 16, "n_pass": 16}
    durable.append_line(claim.path / "evals.jsonl", {"step": 0, "hack_rate": 0.0, "pass_rate": 0.0})
    durable.append_line(claim.path / "evals.jsonl", row)
    result = {
        "schema": 1, "run_id": run.run_id, "plan_hash": spec["plan_hash"], "arm": spec["arm"], "seed": spec["seed"],
        "steps": steps, "attempts": len(run.attempts()), "adapter_sha256": weights(run), "wall_s": 1.0,
        "hack_rate": 0.5, "pass_rate": 0.25, "hinted_pass_rate": 0.125, "empty_test_rate": 1.0, "takeoff_step": 3,
        "n_hinted": 16, **figures(),
    }  # fmt: skip
    with run.commit(claim.number, "result", steps):
        durable.write_json(run.result_path, result)
    return leave(claim, 0)


def work_of_another_kind(run: RunDir, claim: Claim, spec: dict) -> int:
    time.sleep(float(os.environ.get("GRPOQ_FAKE_STEP_S", "0.01")))
    metrics = {"separation": 0.95, "wrong": 0, "hack_rate": 0.5} | figures()
    result = {"schema": 1, "run_id": run.run_id, "kind": spec["kind"], "plan_hash": spec["plan_hash"]}
    with run.commit(claim.number, "result"):
        durable.write_json(run.result_path, result | {"metrics": metrics})
    return leave(claim, 0)


def figures() -> dict[str, float]:
    pairs = (item.split("=") for item in os.environ.get("GRPOQ_FAKE_FIGURES", "").split(",") if item)
    return {name: float(value) for name, value in pairs}


def weights(run: RunDir) -> str:
    return hashlib.sha256(json.dumps([row["rew"] for row in run.metrics()]).encode()).hexdigest()


def newest_checkpoint(run: RunDir) -> int:
    return max((int(p.parent.name[5:]) for p in run.checkpoints.glob("step_*/state.json")), default=0)


def save(run: RunDir, claim: Claim, step: int) -> None:
    with run.commit(claim.number, "checkpoint", step):
        folder = run.checkpoints / f"step_{step:06d}"
        folder.mkdir(parents=True, exist_ok=True)
        durable.write_json(
            folder / "state.json", {"step": step, "attempt": claim.number, "adapter_sha256": weights(run)}
        )


def beat(claim: Claim, step: int, steps: int, pace: float, saved: int) -> None:
    row = {
        "beat": time.time(),
        "clock": time.monotonic(),
        "started_clock": STARTED,
        "attempt": claim.number,
        "step": step,
        "steps": steps,
        "step_at": time.time(),
    }
    row |= {"seconds_per_step": pace, "phase": "train", "checkpoint_step": saved}
    durable.replace_json_fast(claim.path / "heartbeat.json", identity() | row)


def leave(claim: Claim, code: int) -> int:
    durable.write_json(claim.path / "exit.json", {"exit_code": code, "time": time.time()})
    return code


if __name__ == "__main__":
    sys.exit(main())
