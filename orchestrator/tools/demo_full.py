"""`just demo-full`: fifteen runs from plan to report without a hand, two of them killed on the way at random.

The matrix is `nano15`: the shape of `full` at nano size. What the report says is what came out.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from orchestrator.planning import plan as planning
from orchestrator.planning.matrix import find_matrix, read_matrix
from orchestrator.planning.resolve import read_choices
from orchestrator.queue import actions
from orchestrator.queue.signals import signal_worker
from orchestrator.reading.status import plan_status
from orchestrator.refusal import Refused
from orchestrator.report.write import write_report
from orchestrator.state.decide import TERMINAL
from orchestrator.store.home import Home
from orchestrator.store.plan_dir import PlanDir
from orchestrator.terminal import in_words
from orchestrator.tools.demo_home import clear, clock

MATRIX = "nano15"
KILLS = 2
LINE_EVERY_S = 30.0
POLL_S = 1.0


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m orchestrator.tools.demo_full", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--home", default="demo-full", help="a directory of its own; wiped if a demo made it")
    parser.add_argument("--seed", type=int, help="of the kills; default: another one each time")
    parser.add_argument("--set", action="append", default=[], metavar="key=value", dest="overrides")
    arguments = parser.parse_args()
    try:
        seed = random.SystemRandom().randrange(10_000) if arguments.seed is None else arguments.seed
        return demo(Path(arguments.home).absolute(), seed, arguments.overrides)
    except Refused as refusal:
        print(f"grpoq: {refusal}", file=sys.stderr)
        return refusal.exit_code
    except KeyboardInterrupt:
        print(f"\nstopped looking; the runs go on. See them: grpoq --home {arguments.home} status", file=sys.stderr)
        return 130


def demo(place: Path, seed: int, overrides: list[str]) -> int:
    began = time.monotonic()
    clear(place, (place,))
    home = Home(place)
    draft = planning.draft_plan(
        read_matrix(find_matrix(MATRIX)), read_choices(None, None, None, None, ["disk_floor_gb=0.2", *overrides])
    )
    planning.require_room(home, draft)
    plan = planning.write_plan(home, draft)[0]
    training = sum(row["kind"] == "train" for row in plan.content["runs"])
    print(f"Planned {plan.plan_id}: {training} training runs, a check in front and {_evaluations(plan)} evaluations.")
    print(f"{KILLS} workers will be killed with -9 on the way (seed {seed}).\n")
    actions.submit(home, plan, "local", None)
    killed = _follow(home, plan, random.Random(seed), began)
    print(f"\nAll runs have ended after {in_words(time.monotonic() - began)}; {killed} were killed on the way.\n")
    write_report(home, plan, None, False, shutil.get_terminal_size((80, 24)).columns)
    print(f"plan to report: {in_words(time.monotonic() - began)}")
    status = plan_status(home, plan, all_kinds=True)
    return 0 if set(status["counts"]) == {"done"} and killed == KILLS else 1


def _evaluations(plan: PlanDir) -> int:
    return sum(row["kind"] == "eval" for row in plan.content["runs"])


def _follow(home: Home, plan: PlanDir, draw: random.Random, began: float) -> int:
    """Until nothing moves any more; returns how many workers were killed. When: by runs that are done, so that a slow
    box and a quick one see the same, and within a run at a random step."""
    training = sum(row["kind"] == "train" for row in plan.content["runs"])
    due = sorted(draw.sample(range(1, training - 1), KILLS))
    killed, next_line = 0, 0.0
    while True:
        rows = plan_status(home, plan, all_kinds=True)["runs"]
        elapsed = time.monotonic() - began
        done = sum(row["kind"] == "train" and row["state"] == "done" for row in rows)
        if killed < KILLS and done >= due[killed]:
            killed += _kill_one(home, rows, draw, elapsed)
        if all(row["state"] in (*TERMINAL, "blocked") for row in rows):  # blocked by a gate that has failed
            return killed
        if elapsed >= next_line:
            next_line = elapsed + LINE_EVERY_S
            print(f"[{clock(elapsed)}] {_words(rows)}", flush=True)
        time.sleep(POLL_S)


def _kill_one(home: Home, rows: list[dict[str, Any]], draw: random.Random, elapsed: float) -> int:
    """A training run at or after a random step; 0 where there is none at the moment."""
    running = [row for row in rows if row["kind"] == "train" and row["state"] == "running"]
    running = [row for row in running if draw.random() < row["step"] / row["steps"] * POLL_S]
    if not running:
        return 0
    row = draw.choice(running)
    done = signal_worker(home.run(row["run_id"]), row["attempt"], signal.SIGKILL)
    if done:
        kept = row["checkpoint_step"] or 0
        print(f"[{clock(elapsed)}] kill -9 of {row['run_id']} at step {row['step']}; saved is step {kept}.", flush=True)
    return int(done)


def _words(rows: list[dict[str, Any]]) -> str:
    counts = Counter(row["state"] for row in rows)
    running = [f"{row['label']}-s{row['seed']}" for row in rows if row["state"] == "running"]
    return f"{counts['done']} of {len(rows)} done; running: {', '.join(running) or 'none'}"


if __name__ == "__main__":
    sys.exit(main())
