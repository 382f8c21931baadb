"""What the queue's commands cost beside their rivals, in one run: `python bench/queue.py`.

    status_cold      cold `grpoq status` of 15 runs over `python -c "import typer, rich.table"`
    status_100k      the same with 100,000 finished runs of other plans in the home, over 15 runs alone
    submit_pueue     seconds that `grpoq submit` of 15 runs takes beyond its imports and 15 bare `pueue add`
    kill_seen        seconds from a worker's kill -9 to the watch's word of it
    gap              seconds between two local jobs of one slot, beyond what the worker imports before it claims

Ratios are medians of runs in turns, so that both sides meet the same load. Work is the smoke preset's real worker.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from core.runs import durable
from core.runs.run_dir import RunDir
from orchestrator.queue.signals import signal_worker
from orchestrator.store.home import Home
from orchestrator.store.plan_dir import choose_plan

GRPOQ = str(Path(sys.executable).with_name("grpoq"))
BARE = [sys.executable, "-c", "import typer, rich.table"]
LIMITS = {"status_cold": 1.3, "status_100k": 1.3, "submit_pueue": 0.5, "kill_seen": 2.0, "gap": 0.3}
SEEDS = ",".join(str(41 + n) for n in range(15))
SMALL = ("--set", "disk_floor_gb=0.01", "--set", "steps=4", "--set", "eval_every=4")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--finished", type=int, default=100_000, help="runs of other plans")
    parser.add_argument("--only", choices=sorted(LIMITS), action="append")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="grpoq-bench-") as folder:
        bench = Bench(Path(folder), arguments.rounds, arguments.finished)
        measures: dict[str, Callable[[], dict[str, Any]]] = {
            "status_cold": bench.status_cold,
            "status_100k": bench.status_100k,
            "submit_pueue": bench.submit_pueue,
            "kill_seen": bench.kill_seen,
            "gap": bench.gap,
        }
        found = {}
        for name, measure in measures.items():
            if arguments.only and name not in arguments.only:
                continue
            found[name] = measure() | {"limit": LIMITS[name]}
            met = "met" if found[name]["value"] <= LIMITS[name] else "NOT MET"
            print(f"{name:<13}{found[name]['value']:.3f}  at most {LIMITS[name]}  {met}  {found[name]}", flush=True)
        _unlock(Path(folder))
    if arguments.out:
        load = os.getloadavg()[0]
        durable.write_json(arguments.out, {"cores": os.cpu_count(), "load_1m": round(load, 2), "measures": found})
    return 0


class Bench:
    def __init__(self, place: Path, rounds: int, finished: int) -> None:
        self.place, self.rounds, self.finished = place, rounds, finished

    # ---- the measures
    def status_cold(self) -> dict[str, Any]:
        home = self.planned("cold")
        return self.ratio([GRPOQ, "--home", str(home.path), "status"], BARE)

    def status_100k(self) -> dict[str, Any]:
        alone, crowded = self.planned("alone"), self.planned("crowded")
        crowd(crowded, self.finished)
        answer = self.ratio(*([GRPOQ, "--home", str(home.path), "status"] for home in (crowded, alone)))
        return answer | {"finished_runs": self.finished}

    def submit_pueue(self) -> dict[str, Any]:
        beyond = []
        for number in range(max(3, self.rounds // 4)):
            home = self.planned(f"pueue{number}")
            imports = timed(
                [
                    sys.executable,
                    "-c",
                    "import orchestrator.cli, orchestrator.queue.actions, orchestrator.store.registry",
                ]
            )
            submit = timed([GRPOQ, "--home", str(home.path), "submit", "--backend", "pueue"])
            beyond.append((submit, imports, self.bare_adds(home)))
            self.stop(home)
        values = [submit - imports - adds for submit, imports, adds in beyond]
        submits, imported, adds = (statistics.median(column) for column in zip(*beyond, strict=True))
        return {"value": statistics.median(values), "submit_s": submits, "imports_s": imported, "fifteen_adds_s": adds}

    def bare_adds(self, home: Home) -> float:
        """Into the same daemon, in another group that never starts."""
        config = next(path for path in (home.path / "pueue").rglob("*.yml"))
        pueue = ["pueue", "-c", str(config), "--color", "never"]
        subprocess.run([*pueue, "group", "add", "bench", "-p", "1"], check=True, capture_output=True)
        subprocess.run([*pueue, "pause", "-g", "bench"], check=True, capture_output=True)
        began = time.perf_counter()
        for _ in range(15):
            subprocess.run([*pueue, "add", "-g", "bench", "--", "true"], check=True, capture_output=True, env=CLEAN)
        return time.perf_counter() - began

    def kill_seen(self) -> dict[str, Any]:
        home = self.planned("kill", "--set", "steps=4000", seeds="41", slots="1")
        run = choose_plan(home, None).runs()[0]
        self.grpoq(home, "submit", "--backend", "local")
        seen = []
        for attempt in range(1, max(3, self.rounds // 4) + 1):
            until(lambda number=attempt: len(durable.read_lines(run.attempt(number) / "metrics.jsonl")) > 1)
            lines = home.watch_log.read_text().count(f"{run.run_id}  preempted")
            began = time.perf_counter()
            signal_worker(run, attempt, signal.SIGKILL)
            until(lambda n=lines: home.watch_log.read_text().count(f"{run.run_id}  preempted") > n, 0.002)
            seen.append(time.perf_counter() - began)
        self.stop(home)
        return {"value": max(seen), "median_s": statistics.median(seen), "n": len(seen)}

    def gap(self) -> dict[str, Any]:
        home = self.planned("gap", seeds="41,42,43,44,45", slots="1")
        self.grpoq(home, "submit", "--backend", "local")
        self.grpoq(home, "wait")
        imports = statistics.median(
            timed([sys.executable, "-c", "import runpy, worker.__main__"]) for _ in range(self.rounds)
        )
        spans = []
        for run in choose_plan(home, None).runs():
            claim = next(row["time"] for row in durable.read_lines(run.events_path) if row["event"] == "claim")
            left = durable.read_json(run.attempt(1) / "exit.json")
            spans.append((claim, (left or {})["time"]))
        gaps = [later[0] - earlier[1] for earlier, later in itertools.pairwise(spans)]
        value = statistics.median(gaps) - imports
        return {"value": value, "gaps_s": [round(gap, 3) for gap in gaps], "imports_s": imports}

    # ---- around them
    def planned(self, name: str, *flags: str, seeds: str = SEEDS, slots: str = "2") -> Home:
        home = Home(self.place / name)
        home.path.mkdir()
        self.grpoq(home, "plan", "smoke", "--arms", "vanilla", "--seeds", seeds, "--slots", slots, *SMALL, *flags)
        return home

    def grpoq(self, home: Home, *arguments: str) -> None:
        subprocess.run([GRPOQ, "--home", str(home.path), *arguments], check=True, capture_output=True)

    def ratio(self, ours: Sequence[str], rival: Sequence[str]) -> dict[str, Any]:
        pairs = [(timed(ours), timed(rival)) for _ in range(self.rounds + 1)][1:]  # the first fills the disk cache
        ratios = [one / other for one, other in pairs]
        own, others = (statistics.median(column) for column in zip(*pairs, strict=True))
        return {"value": statistics.median(ratios), "ours_s": own, "rival_s": others, "n": len(pairs)}

    def stop(self, home: Home) -> None:
        for run in choose_plan(home, None).run_ids:
            subprocess.run([GRPOQ, "--home", str(home.path), "cancel", run], capture_output=True, check=False)
        for config in (home.path / "pueue").rglob("*.yml"):
            subprocess.run(["pueue", "-c", str(config), "shutdown"], capture_output=True, check=False)
        until(lambda: not durable.is_flocked(home.watch_lock))


CLEAN = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}


def crowd(home: Home, finished: int) -> None:
    """Finished runs of other plans: whole plans and run directories, copied from the real one, and indexed."""
    import sqlite3

    model = choose_plan(home, None)
    spec = durable.read_json(model.runs()[0].spec_path)
    rows, plans = [], []
    for number in range(finished // 15):
        plan_id = f"old-{number:06d}"
        ids = [f"old-s{seed}-{number:06d}" for seed in range(15)]
        content = model.content | {
            "runs": [row | {"run_id": i} for row, i in zip(model.content["runs"], ids, strict=True)]
        }
        folder = home.plans / plan_id
        folder.mkdir()
        (folder / "plan.json").write_text(json.dumps(content))
        os.utime(folder / "plan.json", (1e9 + number, 1e9 + number))
        (folder / "submit.json").write_text(json.dumps({"backend": "local", "slots": 2, "time": 1e9 + number}))
        for run_id in ids:
            run = RunDir(home.runs / run_id)
            run.path.mkdir()
            run.spec_path.write_text(json.dumps({**spec, "run_id": run_id}))
            run.result_path.write_text(json.dumps({"run_id": run_id}))
            rows.append((run_id, plan_id, "train", "old", "vanilla", 1))
        plans.append((plan_id, "old", "0" * 64, "0" * 12, 1e9, "{}"))
    with sqlite3.connect(home.registry) as connection:
        connection.executemany("INSERT INTO plan VALUES (?, ?, ?, ?, ?, ?)", plans)
        connection.executemany("INSERT INTO run VALUES (?, ?, ?, ?, ?, ?)", rows)
    os.utime(model.path / "plan.json")


def timed(command: Sequence[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def until(condition: Callable[[], Any], every_s: float = 0.02) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "not within two minutes"
        time.sleep(every_s)


def _unlock(place: Path) -> None:
    """Snapshots are read-only; the temporary directory must go."""
    for item in place.rglob("snapshots"):
        for folder in (item, *(path for path in item.rglob("*") if path.is_dir())):
            folder.chmod(0o755)
        shutil.rmtree(item)


if __name__ == "__main__":
    sys.exit(main())
