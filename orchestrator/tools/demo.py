"""`just demo`: three seeds on which hacking emerges, one of them killed on the way, and proof that it did no harm.

The proof is a twin: seed 41 once more, in a home of its own, left in peace. Both must end with the same weights and
the same metrics. The twin has the same plan, slots included, so its run id and its thread count are the same too.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.runs.compare import compare
from core.runs.run_dir import RunDir
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
from orchestrator.terminal import columns, in_words
from orchestrator.tools.demo_home import clear, clock

SEEDS = (41, 42, 43)
LINE_EVERY_S = 10.0


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m orchestrator.tools.demo", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--home", default="demo", help="a directory of its own; wiped if a demo made it")
    parser.add_argument("--preset", default="nano", help="the plan to take the vanilla arm of")
    parser.add_argument("--set", action="append", default=[], metavar="key=value", dest="overrides")
    arguments = parser.parse_args()
    try:
        shorter = ["steps=80", "adapter=lora", "lr=1.5e-3", "measure=false"] if arguments.preset == "nano" else []
        return demo(Path(arguments.home).absolute(), arguments.preset, [*shorter, *arguments.overrides])
    except Refused as refusal:
        print(f"grpoq: {refusal}", file=sys.stderr)
        return refusal.exit_code
    except KeyboardInterrupt:
        print(f"\nstopped looking; the runs go on. See them: grpoq --home {arguments.home} status", file=sys.stderr)
        return 130


def demo(place: Path, preset: str, overrides: list[str]) -> int:
    began = time.monotonic()
    clear(place, (place, place / "twin"))
    home, twin_home = Home(place), Home(place / "twin")
    plan, twin_plan = _plan(home, preset, overrides, SEEDS), _plan(twin_home, preset, overrides, SEEDS)
    victim, twin = plan.runs()[0], twin_plan.runs()[0]
    for other in twin_plan.runs()[1:]:
        actions.cancel(twin_home, twin_plan, other)
    print(f"Planned {plan.plan_id}: a small model trains on {len(SEEDS)} seeds, and can cheat by writing empty tests.")
    print(
        f"Seed {SEEDS[0]} trains twice: here, where it will be killed, and as a twin in {twin_home.path}, in peace.\n"
    )
    actions.submit(twin_home, twin_plan, "local", 1)
    actions.submit(home, plan, "local", 1)  # one slot each, two processes in all
    story = _Story(home, plan, victim, twin_home, twin_plan, twin)
    _follow(story)
    return _verdict(story, began)


def _plan(home: Home, preset: str, overrides: list[str], seeds: tuple[int, ...]) -> PlanDir:
    choices = read_choices("vanilla", ",".join(map(str, seeds)), None, None, overrides)
    draft = planning.draft_plan(read_matrix(find_matrix(preset)), choices)
    planning.require_room(home, draft)
    return planning.write_plan(home, draft)[0]


class _Story:
    """What has happened so far: the kill, the resumption, the second slot."""

    def __init__(
        self, home: Home, plan: PlanDir, victim: RunDir, twin_home: Home, twin_plan: PlanDir, twin: RunDir
    ) -> None:
        self.home, self.plan, self.victim = home, plan, victim
        self.twin_home, self.twin_plan, self.twin = twin_home, twin_plan, twin
        self.killed_at: int | None = None
        self.resumed = False
        self.widened = plan.slots == 1

    def rows(self) -> list[dict[str, Any]]:
        twins = [r for r in plan_status(self.twin_home, self.twin_plan)["runs"] if r["run_id"] == self.twin.run_id]
        return [*plan_status(self.home, self.plan)["runs"], {**twins[0], "label": "twin of vanilla"}]

    def advance(self, rows: list[dict[str, Any]]) -> Iterator[str]:
        """Do what is due and say it."""
        row = next(r for r in rows if r["run_id"] == self.victim.run_id)
        kept, attempt = row["checkpoint_step"] or 0, row["attempt"]
        if self.killed_at is None and row["state"] == "running" and 0 < kept < row["step"] < row["steps"]:
            if signal_worker(self.victim, attempt, signal.SIGKILL):
                self.killed_at = row["step"]
                yield f"kill -9 of seed {row['seed']}, pid {row['pid']}, at step {row['step']}; saved is step {kept}."
        elif self.killed_at is not None and not self.resumed and attempt > 1:
            self.resumed = True
            yield f"Seed {row['seed']} is back by itself: attempt {attempt} goes on from step {kept}."
        if not self.widened and rows[-1]["state"] in TERMINAL:
            self.widened = True
            actions.submit(self.home, self.plan, "local", self.plan.slots)
            yield f"The twin is {rows[-1]['state']}; its slot goes to the other seeds."


def _follow(story: _Story) -> None:
    """Live table on a terminal; elsewhere a line every ten seconds."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(highlight=False)
    width = shutil.get_terminal_size((80, 24)).columns
    began, next_line = time.monotonic(), 0.0
    with Live(console=console, refresh_per_second=4, transient=True) if console.is_terminal else _NoLive() as live:
        while True:
            rows = story.rows()
            elapsed = clock(time.monotonic() - began)
            for sentence in story.advance(rows):
                console.print(f"[{elapsed}] {sentence}", markup=False, soft_wrap=True)
            if all(row["state"] in TERMINAL for row in rows):
                return
            if isinstance(live, Live):
                live.update(Text("\n".join([f"after {elapsed}", *_table(rows, width)])))
            elif time.monotonic() >= next_line:
                next_line = time.monotonic() + LINE_EVERY_S
                print(f"[{elapsed}] " + ", ".join(_short(row) for row in rows), flush=True)
            time.sleep(0.25)


class _NoLive:
    def __enter__(self) -> _NoLive:
        return self

    def __exit__(self, *_: object) -> None:
        return None


def _table(rows: list[dict[str, Any]], width: int) -> list[str]:
    table = [["run", "", "state", "step", "eta", "attempt"]]
    for row in rows:
        done = 20 * row["step"] // row["steps"]
        eta = in_words(row["eta_s"]) if row["eta_s"] is not None else ""
        bar = "#" * done + "." * (20 - done)
        steps = f"{row['step']}/{row['steps']}"
        table.append([f"{row['label']}-s{row['seed']}", bar, row["state"], steps, eta, str(row["attempt"] or "")])
    return columns(table, width)


def _short(row: dict[str, Any]) -> str:
    name = f"s{row['seed']}" if row["label"] != "twin of vanilla" else "twin"
    return f"{name} {row['step']}/{row['steps']}" if row["state"] == "running" else f"{name} {row['state']}"


def _verdict(story: _Story, began: float) -> int:
    rows = story.rows()
    bad = [row for row in rows if row["state"] != "done"]
    for row in bad:
        print(
            f"{row['run_id']} is {row['state']}: {row['note']}; see grpoq --home {story.home.path} logs {row['run_id']}"
        )
    if bad:
        return 1
    if story.killed_at is None:
        print("Seed 41 ended before it could be killed between two checkpoints: nothing is proved.")
    same = compare(story.victim, story.twin)
    for what, equal in same.items():
        print(f"killed run and unbroken twin: {what} {'EQUAL' if equal else 'DIFFERENT'}")
    print()
    write_report(story.home, story.plan, None, False, shutil.get_terminal_size((80, 24)).columns)
    print(f"\nThe demo took {in_words(time.monotonic() - began)}. Its home is {story.home.path}; look around with")
    print(f"  grpoq --home {os.path.relpath(story.home.path)} status vanilla-s{SEEDS[0]}")
    return 0 if story.killed_at is not None and story.resumed and all(same.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
