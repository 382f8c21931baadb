"""python tests/support/mirror_process.py TRACKER HOME PLAN FOLDER KILL...

Mirrors PLAN into FOLDER once for each KILL, `operation:occurrence:before|after`, and is killed there with -9; then once
in peace. A KILL of `grow` is a mirror that goes with the runs while these make the steps of their later.jsonl. Prints
as JSON what the tracker's own reader finds in the end: {run: {"points": [[step, {name: value}], ...], "config": ...}}.
The library is imported once and each mirror is a fork: importing is what takes long.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.runs import durable
from orchestrator.store.home import Home
from orchestrator.store.plan_dir import choose_plan
from orchestrator.trackers import TRACKERS, Entry, Tracker, follow, mirror

OPERATIONS = ("begin", "log", "flush", "end")  # of a tracker; `seal` is the state file
LIBRARIES = {
    "tensorboard": ("tensorboard.summary.writer.event_file_writer",),
    "wandb": ("wandb",),
    "trackio": ("trackio",),
}


def grow(name: str, home: Home, plan_id: str, folder: Path) -> None:
    """All runs a step each, a look, and so on to their end: they are open in the tracker at the same time."""
    plan = choose_plan(home, plan_id)
    (folder / mirror.FOLDER).mkdir(parents=True)
    growing = mirror.Mirror(TRACKERS[name].open(folder), plan, folder, False, print)
    rows = {run.run_id: durable.read_lines(run.path / "later.jsonl") for run in plan.runs()}
    for step in range(max(map(len, rows.values()))):
        for run in plan.runs():
            for row in rows[run.run_id][step : step + 1]:
                durable.append_line(run.attempt(1) / "metrics.jsonl", row)
        growing.one_pass(dict.fromkeys(plan.run_ids, "running"))
    growing.one_pass(dict.fromkeys(plan.run_ids, "done"))
    growing.close()


def mirror_in_a_fork(name: str, home: Home, plan_id: str, folder: Path, kill: str) -> int:
    """The exit status; negative: the signal."""
    pid = os.fork()
    if pid == 0:
        try:
            if kill == "grow":
                grow(name, home, plan_id, folder)
                os.kill(os.getpid(), signal.SIGKILL)  # all is on disk by now
            if kill:
                _arm(name, kill)
            follow.track(home, choose_plan(home, plan_id), name, folder, follow=False, health=False)
            sys.stdout.flush()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _arm(name: str, kill: str) -> None:
    """Wrap what the mirror calls, so that this process dies at the point."""
    operation, occurrence, when = kill.split(":")
    seen: Counter[str] = Counter()

    def deadly(function: Callable[..., Any], called: str) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **keywords: Any) -> Any:
            seen[called] += 1
            here = called == operation and seen[called] == int(occurrence)
            if here and when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            answer = function(*arguments, **keywords)
            if here:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        return wrapped

    opened = TRACKERS[name].open

    def open_armed(folder: Path) -> Tracker:
        tracker = opened(folder)
        for called in OPERATIONS:
            setattr(tracker, called, deadly(getattr(tracker, called), called))
        return tracker

    TRACKERS[name] = Entry(open_armed)
    mirror.durable = _Durable(deadly(durable.write_json, "seal"))  # type: ignore[assignment]


class _Durable:
    """core.runs.durable as the mirror uses it."""

    read_json = staticmethod(durable.read_json)

    def __init__(self, write_json: Callable[..., Any]) -> None:
        self.write_json = write_json


def read_tensorboard(folder: Path, plan_id: str) -> dict[str, Any]:
    """Every event of every file, as the loader gives them, nothing merged."""
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    found: dict[str, Any] = {}
    for place in sorted((folder / plan_id).iterdir()):
        points, config = [], {}
        for path in sorted(place.iterdir()):
            for event in LegacyEventFileLoader(str(path)).Load():
                values = {v.tag: v.simple_value for v in event.summary.value if v.HasField("simple_value")}
                if values:
                    points.append([event.step, values])
                for value in event.summary.value:
                    if value.metadata.plugin_data.plugin_name == "hparams":
                        data = HParamsPluginData.FromString(value.metadata.plugin_data.content)
                        config = {
                            key: getattr(kept, str(kept.WhichOneof("kind")))
                            for key, kept in data.session_start_info.hparams.items()
                        }
        found[place.name] = {"points": points, "config": config}
    return found


def read_wandb(folder: Path, plan_id: str) -> dict[str, Any]:
    """By `wandb leet inspect`, of every log: two of one run would stand there as two."""
    from wandb.util import get_core_path

    found: dict[str, Any] = {}
    for path in sorted((folder / "wandb").glob("offline-run-*/*.wandb")):
        command = [get_core_path(), "leet", "inspect", "--no-observability", "--json", "--run-file", str(path)]
        lines = subprocess.run([*command, str(folder / "wandb")], capture_output=True, text=True, check=True).stdout
        rows = [json.loads(line) for line in lines.splitlines()]
        run = next(row["run"] for row in rows if row["type"] == "run")
        items = [row["history"] for row in rows if row["type"] == "history"]
        points = [
            [item["step"]["num"], {k: v for k, v in item["item"].items() if not k.startswith("_")}] for item in items
        ]
        name = run["display_name"]
        assert name not in found, f"two logs of {name}"
        assert path.name == f"run-{run['run_id']}.wandb" and run["run_id"].startswith(name) and not run.get("resume")
        found[name] = {"points": points, "config": run["config"]["update"]}
    return found


def read_trackio(folder: Path, plan_id: str) -> dict[str, Any]:
    os.environ["TRACKIO_DIR"] = str(folder)
    import trackio
    from trackio.sqlite_storage import SQLiteStorage

    found: dict[str, Any] = {}
    for run in trackio.Api().runs(plan_id):
        assert run.name not in found, f"two runs {run.name}"
        rows = SQLiteStorage.get_logs(plan_id, run.name, run_id=run.id)
        points = [[row["step"], {k: v for k, v in row.items() if k not in ("step", "timestamp")}] for row in rows]
        found[run.name] = {"points": points, "config": run.config}
    return found


READERS = {"tensorboard": read_tensorboard, "wandb": read_wandb, "trackio": read_trackio}


def main(name: str, home: str, plan_id: str, folder: str, *kills: str) -> None:
    if name == "trackio":
        os.environ["TRACKIO_DIR"] = folder  # it looks when it is imported
    for module in LIBRARIES[name]:
        importlib.import_module(module)
    stdout, sys.stdout = sys.stdout, sys.stderr
    for kill in kills:
        status = mirror_in_a_fork(name, Home(Path(home)), plan_id, Path(folder), kill)
        assert status == -signal.SIGKILL, f"{kill}: the mirror ended with {status}, the point was not passed"
    assert mirror_in_a_fork(name, Home(Path(home)), plan_id, Path(folder), "") == 0
    print(json.dumps(READERS[name](Path(folder), plan_id)), file=stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
