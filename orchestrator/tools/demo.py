"""`just demo`: three seeds on which hacking emerges, one of them killed on the way, and proof that it did no harm.

The proof is a twin: seed 41 once more, in a home of its own, left in peace. Both must end with the same weights and
the same metrics. The twin has the same plan, so its run id is the same too.

`just demo-full`: the fifteen runs of `nano15`, the shape of `full` at nano size, from plan to report without a hand,
two of them killed at random. What the report says is what came out.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from core.runs.compare import compare
from orchestrator.planning.matrix import find_matrix, read_matrix
from orchestrator.planning.plan import draft_plan
from orchestrator.planning.resolve import read_choices
from orchestrator.queue import actions
from orchestrator.queue.signals import signal_worker
from orchestrator.reading.status import plan_status
from orchestrator.refusal import Refused
from orchestrator.report.write import write_report
from orchestrator.state.decide import TERMINAL
from orchestrator.state.observed_plan import ObservedPlan
from orchestrator.store.home import Home
from orchestrator.terminal import columns
from orchestrator.tools import scratch_home
from orchestrator.wording import duration

Rows = list[dict[str, Any]]  # of `plan_status`
SEEDS = (41, 42, 43)
SHORTER = ("steps=80", "adapter=lora", "lr=1.5e-3", "measure=false")  # of the preset `nano`
FULL, KILLS = "nano15", 2
FULL_POLL_S = 1.0


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m orchestrator.tools.demo", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--full", action="store_true", help=f"the fifteen runs of {FULL} instead")
    parser.add_argument("--home", help="a directory of its own; wiped if a demo made it; default: demo, or demo-full")
    parser.add_argument("--plan", metavar="NAME|FILE", help=f"take its vanilla arm (nano); --full: all of it ({FULL})")
    parser.add_argument("--seed", type=int, help="of --full's kills; default: another one each time")
    parser.add_argument("--set", action="append", default=[], metavar="key=value", dest="overrides")
    arguments = parser.parse_args()
    name = arguments.home or ("demo-full" if arguments.full else "demo")
    place = Path(name).absolute()
    try:
        if arguments.full:
            seed = random.SystemRandom().randrange(10_000) if arguments.seed is None else arguments.seed
            return demo_full(place, arguments.plan or FULL, seed, arguments.overrides)
        return demo(place, arguments.plan or "nano", [*(() if arguments.plan else SHORTER), *arguments.overrides])
    except Refused as refusal:
        print(f"grpoq: {refusal}", file=sys.stderr)
        return refusal.exit_code
    except KeyboardInterrupt:
        print(f"\nstopped looking; the runs go on. See them: grpoq --home {name} status", file=sys.stderr)
        return 130


def demo(place: Path, name: str, overrides: list[str]) -> int:
    began = time.monotonic()
    home, twin_home = Home(place), Home(place / "twin")
    scratch_home.clear(place, (home.path, twin_home.path))
    choices = read_choices("vanilla", ",".join(map(str, SEEDS)), None, None, overrides)
    draft = draft_plan(read_matrix(find_matrix(name)), choices)
    plan, twin_plan = scratch_home.planned(home, draft), scratch_home.planned(twin_home, draft)
    victim, twin = plan.runs()[0], twin_plan.runs()[0]
    for other in twin_plan.runs()[1:]:
        actions.cancel(twin_home, twin_plan, other)
    print(f"Planned {plan.plan_id}: a small model trains on {len(SEEDS)} seeds, and can cheat by writing empty tests.")
    print(
        f"Seed {SEEDS[0]} trains twice: here, where it will be killed, and as a twin in {twin_home.path}, in peace.\n"
    )
    actions.submit(twin_home, twin_plan, "local", 1)
    actions.submit(home, plan, "local", 1)  # one slot each, two processes in all

    def look() -> Rows:
        row = next(r for r in plan_status(ObservedPlan(twin_plan))["runs"] if r["run_id"] == twin.run_id)
        return [*plan_status(ObservedPlan(plan))["runs"], {**row, "label": "twin of vanilla"}]

    killed, resumed, widened = False, False, plan.slots == 1
    rows: Rows = []
    for rows in _follow(look, began, lambda rows: ", ".join(map(_short, rows)), 10.0, 0.25, _table):
        row = next(r for r in rows if r["run_id"] == victim.run_id)
        kept, attempt = row["checkpoint_step"] or 0, row["attempt"]
        if not killed and row["state"] == "running" and 0 < kept < row["step"] < row["steps"]:
            killed = signal_worker(victim, attempt, signal.SIGKILL)
            if killed:
                _say(
                    began,
                    f"kill -9 of seed {row['seed']}, pid {row['pid']}, at step {row['step']}; saved is step {kept}.",
                )
        elif killed and not resumed and attempt > 1:
            resumed = True
            _say(began, f"Seed {row['seed']} is back by itself: attempt {attempt} goes on from step {kept}.")
        if not widened and rows[-1]["state"] in TERMINAL:
            widened = True
            actions.submit(home, plan, "local", plan.slots)
            _say(began, f"The twin is {rows[-1]['state']}; its slot goes to the other seeds.")

    bad = [row for row in rows if row["state"] != "done"]
    for row in bad:
        print(f"{row['run_id']} is {row['state']}: {row['note']}; see grpoq --home {home.path} logs {row['run_id']}")
    if bad:
        return 1
    if not killed:
        print(f"Seed {SEEDS[0]} ended before it could be killed between two checkpoints: nothing is proved.")
    same = compare(victim, twin)
    for what, equal in same.items():
        print(f"killed run and unbroken twin: {what} {'EQUAL' if equal else 'DIFFERENT'}")
    print()
    write_report(home, plan, None, False, _width())
    print(f"\nThe demo took {duration(time.monotonic() - began)}. Its home is {home.path}; look around with")
    print(f"  grpoq --home {os.path.relpath(home.path)} status vanilla-s{SEEDS[0]}")
    return 0 if resumed and all(same.values()) else 1


def demo_full(place: Path, name: str, seed: int, overrides: list[str]) -> int:
    began = time.monotonic()
    scratch_home.clear(place, (place,))
    home = Home(place)
    choices = read_choices(None, None, None, None, ["disk_floor_gb=0.2", *overrides])
    plan = scratch_home.planned(home, draft_plan(read_matrix(find_matrix(name)), choices))
    kinds = Counter(row["kind"] for row in plan.content["runs"])
    print(f"Planned {plan.plan_id}: {kinds['train']} training runs, a check in front and {kinds['eval']} evaluations.")
    print(f"{KILLS} workers will be killed with -9 on the way (seed {seed}).\n")
    actions.submit(home, plan, "local", None)

    def look() -> Rows:
        return plan_status(ObservedPlan(plan), all_kinds=True)["runs"]

    # When: by runs that are done, so that a slow box and a quick one see the same; within a run at a random step.
    draw, killed, rows = random.Random(seed), 0, []
    due = sorted(draw.sample(range(1, kinds["train"] - 1), KILLS))
    for rows in _follow(look, began, _counts, 30.0, FULL_POLL_S):
        training = [row for row in rows if row["kind"] == "train"]
        if killed == KILLS or sum(row["state"] == "done" for row in training) < due[killed]:
            continue
        running = [row for row in training if row["state"] == "running"]
        running = [row for row in running if draw.random() < row["step"] / row["steps"] * FULL_POLL_S]
        row = draw.choice(running) if running else None
        if row and signal_worker(home.run(row["run_id"]), row["attempt"], signal.SIGKILL):
            killed += 1
            _say(
                began, f"kill -9 of {row['run_id']} at step {row['step']}; saved is step {row['checkpoint_step'] or 0}."
            )

    print(f"\nAll runs have ended after {duration(time.monotonic() - began)}; {killed} were killed on the way.\n")
    write_report(home, plan, None, False, _width())
    print(f"plan to report: {duration(time.monotonic() - began)}")
    return 0 if killed == KILLS and all(row["state"] == "done" for row in rows) else 1


# ---- looking
def _follow(
    look: Callable[[], Rows], began: float, line: Callable[[Rows], str], line_every_s: float, poll_s: float,
    table: Callable[[Rows], list[str]] | None = None,
) -> Iterator[Rows]:  # fmt: skip
    """Rows until nothing moves any more, for its caller to act on. In between a line now and then, or a live table on
    a terminal."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console, next_line = Console(highlight=False), 0.0
    live = Live(console=console, refresh_per_second=4, transient=True) if table and console.is_terminal else None
    with live or contextlib.nullcontext():
        while True:
            rows = look()
            yield rows
            if all(row["state"] in (*TERMINAL, "blocked") for row in rows):  # blocked by a gate that has failed
                return
            if live and table:
                live.update(Text("\n".join([f"after {_clock(began)}", *table(rows)])))
            elif time.monotonic() - began >= next_line:
                next_line = time.monotonic() - began + line_every_s
                _say(began, line(rows))
            time.sleep(poll_s)


def _say(began: float, sentence: str) -> None:
    print(f"[{_clock(began)}] {sentence}", flush=True)


def _clock(began: float) -> str:
    return "{}:{:02d}".format(*divmod(int(time.monotonic() - began), 60))


def _table(rows: Rows) -> list[str]:
    table = [["run", "", "state", "step", "eta", "attempt"]]
    for row in rows:
        done = 20 * row["step"] // row["steps"]
        eta = duration(row["eta_s"]) if row["eta_s"] is not None else ""
        bar = "#" * done + "." * (20 - done)
        steps = f"{row['step']}/{row['steps']}"
        table.append([f"{row['label']}-s{row['seed']}", bar, row["state"], steps, eta, str(row["attempt"] or "")])
    return columns(table, _width())


def _short(row: dict[str, Any]) -> str:
    name = f"s{row['seed']}" if row["label"] != "twin of vanilla" else "twin"
    return f"{name} {row['step']}/{row['steps']}" if row["state"] == "running" else f"{name} {row['state']}"


def _counts(rows: Rows) -> str:
    done = sum(row["state"] == "done" for row in rows)
    running = [f"{row['label']}-s{row['seed']}" for row in rows if row["state"] == "running"]
    return f"{done} of {len(rows)} done; running: {', '.join(running) or 'none'}"


def _width() -> int:
    return shutil.get_terminal_size((80, 24)).columns


if __name__ == "__main__":
    sys.exit(main())
