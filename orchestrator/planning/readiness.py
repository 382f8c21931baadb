"""What this machine lacks to run a plan: said when it is planned, because it may be meant for another machine, and
refused when it is submitted here."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence

from core.spec import TrainConfig
from core.weights.problem import model_problem


def missing_here(configs: Iterable[TrainConfig]) -> list[str]:
    """A sentence for each thing without which runs of these configs would fail here; none: all is there."""
    listed = list(configs)
    problems = [model_problem(model) for model in sorted({config.model for config in listed})]
    found = [problem.sentence for problem in problems if problem]
    if any(config.device == "cuda" for config in listed) and not gpu_count():
        found.append(
            "device = 'cuda', and nvidia-smi shows no GPU on this machine: submit the plan on the box that has one "
            "(the same command plans it there under the same hash), or plan with --set device=cpu --set dtype=float32"
        )
    return found


def threads_beyond_cores(slots: int, configs: Sequence[TrainConfig]) -> list[str]:
    """The sentence where runs at a time would share cores; the registered number of threads stays what it is."""
    threads, cores = max(config.threads for config in configs), len(os.sched_getaffinity(0))
    if slots * threads <= cores:
        return []
    return [
        f"{slots} at a time x {threads} threads on the {cores} cores of this machine: they will wait for each other; "
        "submit with fewer --slots, or plan with --set threads=N, which makes it another plan"
    ]


def gpu_count() -> int:
    """As nvidia-smi lists them; 0 where it is not there or does not answer."""
    if shutil.which("nvidia-smi") is None:
        return 0
    try:
        listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return sum(line.startswith("GPU ") for line in listing.stdout.splitlines())
