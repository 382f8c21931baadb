"""The visit as a command: which phases, in which order, in which processes, and the table at the end."""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.gpu import inside
from bench.gpu.agreement import AGREEMENT
from bench.gpu.arms import ARMS_RESUMED
from bench.gpu.backward import BACKWARD
from bench.gpu.decode import DECODE
from bench.gpu.evaluation import EVALUATION
from bench.gpu.killed import KILLED
from bench.gpu.lease import LEASE
from bench.gpu.machine import MACHINE
from bench.gpu.model import MODEL
from bench.gpu.phase import Phase, Visit
from bench.gpu.processes import Line, visited
from bench.gpu.step import STEP
from bench.gpu.svd import SVD

PROGRAM = Path(__file__).parents[1] / "gpu_check.py"
ORDER = (LEASE, MACHINE, ARMS_RESUMED, MODEL, DECODE, BACKWARD, STEP, AGREEMENT, EVALUATION, SVD, KILLED)
PHASES = {phase.name: phase for phase in ORDER}
TOTAL_S = 480.0
REHEARSED = 20  # times as long, where it runs on a CPU that others use too


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(arguments)
    patience = REHEARSED if options.device == "cpu" else 1
    chosen = [PHASES[name] for name in options.only or PHASES]
    phases = [dataclasses.replace(phase, budget_s=patience * phase.budget_s) for phase in chosen]
    if options.inside:
        inside.work(phases, Visit(options.device, options.tiny, options.inside), options.ends_in)
        return 0

    def command(group: Sequence[Phase], left_s: float) -> list[str]:
        only = [word for phase in group for word in ("--only", phase.name)]
        flags = [*Visit(options.device, options.tiny, Path(folder)).flags(), "--ends-in", f"{left_s:.1f}"]
        return [sys.executable, str(PROGRAM), *flags, *only]

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the processes of the visit end with this one
    began, lines = time.monotonic(), []
    with tempfile.TemporaryDirectory(prefix="gpu-check-", dir=options.folder) as folder:
        for line in visited(phases, command, Path(folder), patience * TOTAL_S):
            print(json.dumps(line), flush=True)
            lines.append(line)
            if options.out:  # as far as it has come
                options.out.write_text("".join(json.dumps(line) + "\n" for line in lines))
    print(table(lines, time.monotonic() - began))
    return int(any(line["passed"] is False for line in lines))


def table(lines: Sequence[Line], seconds: float) -> str:
    """One line a phase, and one for all."""
    words = {True: "pass", False: "FAIL", None: "-"}
    rows = [
        f"{words[row['passed']]:4}  {row['phase']:10}  {row['seconds']:6.1f} s  {row['says']}"[:300] for row in lines
    ]
    counts = ", ".join(f"{sum(row['passed'] is value for row in lines)} {word}" for value, word in words.items())
    return "\n".join(["", *rows, f"{counts} (not judged here)  {seconds:.0f} s"])


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What only a GPU can show of this code, in eight minutes.")
    parser.add_argument("--only", action="append", choices=list(PHASES), help="this phase; may be given again")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--tiny", action="store_true", help="small sizes, to rehearse")
    parser.add_argument("--out", type=Path, help="a file for the lines of JSON")
    parser.add_argument("--folder", type=Path, help="for 8 GB of weights meanwhile (default: the system's own)")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)  # folder of the visit that this is a process of
    parser.add_argument("--ends-in", type=float, default=TOTAL_S, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)
