"""python -m worker RUN_DIR [--attempt N] [--take-over]

Claims its attempt with the standard library alone, before any import that can fail; then works as the run's kind says,
and leaves either result.json, what a later attempt goes on from and exit.json, or error.json. Exit codes:
docs/architecture.md.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import sys
import time
import traceback
from pathlib import Path

from core.runs.code_hash import content_hash
from core.runs.run_dir import Claim, Fenced, RunDir
from worker import last_words, secrets
from worker.arithmetic import CannotHonour
from worker.failures import classify, require_disk, sentence
from worker.heartbeat import Heartbeat
from worker.preemption import StopRequest

log = logging.getLogger("worker")
CODE = Path(__file__).resolve().parents[1]


def main(argv: list[str] | None = None) -> int:
    arguments = _parse(argv)
    run = RunDir(arguments.run.absolute())
    if not run.spec_path.is_file():
        print(
            f"worker: {run.path} is no run directory: it has no spec.json; make one with `grpoq plan`", file=sys.stderr
        )
        return 2
    if run.has_result():
        print(f"worker: {run.run_id} is done; nothing is left to do")
        return 0
    _enter_snapshot(run)
    stop = StopRequest()
    try:
        claim = run.claim(arguments.attempt, arguments.take_over)
    except Fenced as refused:
        print(f"worker: {refused}", file=sys.stderr)
        return 79
    except OSError as error:  # not even a claim fits on the disk: nothing is written, and the code says why
        if classify(error).error_class != "disk":
            raise
        with contextlib.suppress(OSError):
            print(f"worker: {sentence(error, classify(error), run)}", file=sys.stderr)
        return 80
    try:
        _log_to(claim)
        return _leave(claim, _work(run, claim, stop))
    except Fenced as fenced:
        log.warning("%s", fenced)
        return 79
    except BaseException as error:
        if run.newest_number() > claim.number:  # whoever overtook us may have cleared away what we were writing
            log.warning("overtaken by attempt %d, then: %r", run.newest_number(), error)
            return 79
        failure = classify(error)
        if failure.quiet:
            log.info("%s", error)
            return _leave(claim, failure.exit_code)
        message = sentence(error, failure, run)
        log.error("%s: %s", failure.error_class, message, exc_info=error)
        row = {"class": failure.error_class, "message": message, "time": time.time()}
        row |= {"exit_code": failure.exit_code, "traceback": "".join(traceback.format_exception(error))}
        last_words.write(claim.path, "error.json", row)
        return failure.exit_code


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m worker", description="Run one run directory to its end.")
    parser.add_argument("run", type=Path, metavar="RUN_DIR")
    parser.add_argument("--attempt", type=int, metavar="N", help="the submission's number; without it, a new one")
    parser.add_argument("--take-over", action="store_true", help="go on although an older attempt is alive")
    return parser.parse_args(argv)


def _enter_snapshot(run: RunDir) -> None:
    """A run executes the code that its plan froze, also when started by hand from an edited checkout."""
    name = run.snapshot()
    frozen = _snapshots(run) / name
    if not name or not frozen.is_dir() or frozen.resolve() == CODE:
        return
    environment = os.environ | {"PYTHONPATH": str(frozen)}
    if "PYTHONPYCACHEPREFIX" not in environment:
        environment["PYTHONDONTWRITEBYTECODE"] = "1"  # root could write into the read-only snapshot
    arguments = [sys.executable, "-m", "worker", str(run.path), *_rest(sys.argv[1:])]
    os.chdir(frozen)
    os.execve(sys.executable, arguments, environment)


def _require_frozen_code(run: RunDir) -> None:
    """Raises CannotHonour where this process is not the code that the plan froze, to the byte."""
    name = run.snapshot()
    if not name:
        return
    if (_snapshots(run) / name).resolve() != CODE:
        raise CannotHonour(f"snapshot {name} is missing from {_snapshots(run)}: restore it, or plan anew")
    found = content_hash(CODE)
    if found != name:
        raise CannotHonour(f"the code in {CODE} has been changed: its hash is {found}, the plan froze {name}")


def _snapshots(run: RunDir) -> Path:
    return _home(run) / "snapshots"


def _home(run: RunDir) -> Path:
    return run.path.parent.parent


def _rest(argv: list[str]) -> list[str]:
    """The flags as they came; RUN_DIR is passed anew, because the working directory changes."""
    parsed = _parse(argv)
    flags = [] if parsed.attempt is None else ["--attempt", str(parsed.attempt)]
    return [*flags, *(["--take-over"] if parsed.take_over else [])]


def _work(run: RunDir, claim: Claim, stop: StopRequest) -> int:
    from core.spec import KINDS, RunSpec
    from worker import arithmetic, gpu, inputs

    spec = RunSpec.from_json(json.loads(run.spec_path.read_text()))
    config = spec.config
    heartbeat = Heartbeat(claim, config.steps if spec.kind == "train" else None)
    heartbeat.beat(0, "start")
    snapshot = run.snapshot() or "(none)"
    log.info("run %s  kind %s  plan %s  snapshot %s", spec.run_id, spec.kind, spec.plan_hash, snapshot)
    if spec.kind not in KINDS:
        raise CannotHonour(f"this code knows no kind of run {spec.kind!r}, only {', '.join(KINDS)}; plan anew")
    log.info("attempt %d  pid %d  argv %s", claim.number, os.getpid(), " ".join(sys.argv))
    log.info("config %s", spec.to_json()["config"])
    if run.cancelled():
        log.info("cancelled before it began")
        return 75
    _require_frozen_code(run)
    found = secrets.load(_home(run) / "secrets.env")
    log.info("secrets %s", ", ".join(found) or "(none)")
    arithmetic.require_versions(spec.versions)
    arithmetic.set_environment(config.threads)
    require_disk(run, config.disk_floor_gb)
    inputs.require_model(config)
    if config.device == "cuda":
        gpu.take(heartbeat.tick, config.gpu_memory_gb)
    machine = arithmetic.prepare_torch(config)
    if config.device == "cuda":
        machine["driver"] = gpu.driver()
    log.info("machine %s", machine)

    from core.attempt import Attempt
    from core.kinds import WORK_BY_KIND

    def wants_stop() -> bool:
        if run.newest_number() > claim.number:
            raise Fenced(f"attempt {claim.number} was overtaken by {run.newest_number()}; it writes nothing more")
        return stop.received is not None or run.cancelled()

    def enough_disk() -> None:
        require_disk(run, config.disk_floor_gb)

    beat, tick = heartbeat.beat, heartbeat.tick
    attempt = Attempt(run, spec, claim.number, machine, beat, tick, wants_stop, enough_disk)
    result = WORK_BY_KIND[spec.kind](attempt)
    log.info("done: %s", {k: v for k, v in result.items() if k != "base"})
    return 0


def _leave(claim: Claim, code: int) -> int:
    last_words.write(claim.path, "exit.json", {"exit_code": code, "time": time.time()})
    return code


def _log_to(claim: Claim) -> None:
    """worker.log, and standard output for whoever started us. A line that a full disk refuses is lost in silence."""
    logging.raiseExceptions = False
    handlers: list[logging.Handler] = [
        logging.FileHandler(claim.path / "worker.log"),
        logging.StreamHandler(sys.stdout),
    ]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname).1s %(message)s", handlers=handlers)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("transformers").setLevel(logging.ERROR)


if __name__ == "__main__":
    code = main()
    logging.shutdown()
    last_words.flush_output()
    os._exit(code)  # all that counts is on disk; taking torch apart would hold the slot for another second
