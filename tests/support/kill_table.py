"""`just kill-table`: every named point, found as tests/system/test_kills.py does, into docs/kills.md."""

from __future__ import annotations

import tempfile
from pathlib import Path

from support import kill_chains
from support.kill_home import SCENARIOS, Stage
from support.paths import REPO

HEAD = """# Where kill -9 was tried

Each row is a point at which a process was ended by SIGKILL: `phase:function:operation:occurrence`. It dies right before
the operation; at `write` half of the data is on disk; `-after` is right after it. Points are found in a traced run
(`tests/support/kill_at/kill_points.py` wraps what changes the world: open for writing, write, fsync, rename, replace,
mkdir, rmdir, chmod, flock, SQLite's commit, starting a process, signalling one). Then follows what the third column
says, and in the end the home must equal the unbroken twin's, to the bytes of the weights, with exactly one result
per run and nothing that `python -m orchestrator.tools.audit HOME` finds. Repeated occurrences within one function are
left out.

Beside these: 100 kills of workers and watch at random moments, and 10 of real workers (`tests/system/test_kills.py`).
Written by `just kill-table`: {count} points, some of them with two things that follow.

| point | dies | what follows |
|---|---|---|
"""
STATES = {
    "plan": "nothing is there yet",
    "submit": "planned",
    "resume": "submitted; the worker died, and so did the watch",
    "retry": "cancelled",
    "cancel": "queued",
    "cancel-running": "its worker lives",
    "watch": "one run waits, one died, one died three times without a row",
    "watch-again": "one run waits; a worker that takes its time before the claim",
    "watch-stalled": "its worker is stopped by SIGSTOP",
}


def rows(folder: Path) -> list[tuple[str, str, str]]:
    found = []
    for name, scenario in SCENARIOS.items():
        dies = f"`grpoq {scenario.dies[0]}` ({STATES[name]})"
        again = "the same command again" if scenario.follows == scenario.dies else f"`grpoq {scenario.follows[0]}`"
        again += " at once" if name == "watch-again" else ""
        found += [(point, dies, again) for point in Stage(name, folder / name).points]
    twin = kill_chains.planned(folder / "twin", ["twin"])["twin"]
    points = kill_chains.traced(twin)
    return found + [(point, "the real worker", "nothing: the watch starts the next attempt") for point in points]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = rows(Path(folder))
    table = "".join(f"| `{point}` | {dies} | {follows} |\n" for point, dies, follows in found)
    (REPO / "docs" / "kills.md").write_text(HEAD.format(count=len({row[0] for row in found})) + table)
    print(f"{len({row[0] for row in found})} points")


if __name__ == "__main__":
    main()
