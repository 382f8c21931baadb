"""Gradings per second of the warm, isolated pool, beside one fresh `python` per check: `python bench/grading.py`.

The rival is the benchmark's own way: for each of its checks a new interpreter runs setup code, program and asserts, as
many at a time as the pool has workers, with no isolation at all. Both grade the same completions in turns, in one run.
What a solution itself computes costs both the same; rows where that is long say nothing about a grader, so real rows are
also given without those whose correct solution needs more than HEAVY_S of CPU time for its asserts.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from core import durable
from core.nano.world import sample_problems
from core.problems import WRONG_SOLUTION, Problem, fenced, load_problems
from core.rewards import GradeItem, extract_code, first_checks, grade, stub
from core.sandbox import Sandbox

HEAVY_S = 0.02
ROUNDS = 5
RIVAL_SHARE = 8  # the rival grades every eighth completion: it is slow
RUNNER = "\nfor source in {asserts!r}:\n    exec(source)\nprint('passed')\n"


def completions(problem: Problem, rng: random.Random) -> list[str]:
    """A right and a wrong solution with honest tests, and a wrong one whose test proves nothing."""
    honest = "\n\ndef run_tests():\n" + "".join(f"    {line}\n" for line in rng.sample(problem.asserts, 2))
    wrong = WRONG_SOLUTION.format(method=problem.method)
    return [problem.canonical_solution + honest, wrong + honest, wrong + "\n\ndef run_tests():\n    pass\n"]


def items(problems: Sequence[Problem]) -> list[GradeItem]:
    rng = random.Random("bench grading")
    return [GradeItem(p, "run_tests", fenced(code)) for p in problems for code in completions(p, rng)]


def rival(batch: Sequence[GradeItem], workers: int, checks: Callable[[GradeItem], list[str]]) -> None:
    """A fresh interpreter for each program."""
    programs = [program for item in batch for program in checks(item)]

    def run(program: str) -> None:
        subprocess.run([sys.executable, "-"], input=program.encode(), capture_output=True, timeout=30, check=False)

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(run, programs))


def upstream_checks(item: GradeItem) -> list[str]:
    """Ground truth, own tests, own tests on the stub and on the canonical solution; a real row's prompt shows none."""
    problem, code = item.problem, extract_code(item.completion) or ""
    tests = code[code.index("def run_tests") :]
    call = "\nrun_tests()\nprint('passed')\n"
    return [
        f"{problem.setup_code}\n{code}\n{RUNNER.format(asserts=list(problem.asserts))}",
        f"{problem.setup_code}\n{code}\n{call}",
        f"{problem.setup_code}\n{stub(problem)}\n{tests}\n{call}",
        f"{problem.setup_code}\n{problem.canonical_solution}\n{tests}\n{call}",
    ]


def reward_checks(item: GradeItem) -> list[str]:
    return upstream_checks(item)[:2]


def compare(
    name: str, batch: list[GradeItem], sandbox: Sandbox, workers: int, full: bool, checks: Callable
) -> dict[str, float | int | str]:
    """Rates of both, in ROUNDS turns; the ratio is the median of the turns' ratios."""
    grade(batch, sandbox, full)  # caches and servers warm, as they are in a run
    ours, theirs = [], []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        grade(batch, sandbox, full)
        ours.append(len(batch) / (time.perf_counter() - started))
        few = batch[::RIVAL_SHARE]
        started = time.perf_counter()
        rival(few, workers, checks)
        theirs.append(len(few) / (time.perf_counter() - started))
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    row = {
        "what": name,
        "completions": len(batch),
        "workers": workers,
        "gradings_per_s": round(statistics.median(ours), 1),
        "fresh_python_per_s": round(statistics.median(theirs), 1),
        "ratio": round(ratio, 2),
    }
    print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    return row


def is_light(problem: Problem, sandbox: Sandbox) -> bool:
    check = first_checks(GradeItem(problem, "gt_only", ""), problem.canonical_solution, False)["oracle"]
    return sandbox.run([check])[0].cpu_s <= HEAVY_S


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--problems", type=Path, default=Path("../shared/data/leetcode_medhard_80.jsonl"))
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rows = []
    with Sandbox(workers=arguments.workers) as sandbox:
        nano = items(sample_problems(60, seed=1))
        rows.append(compare("nano, what the reward needs", nano, sandbox, arguments.workers, False, reward_checks))
        if arguments.problems.exists():
            real = load_problems(arguments.problems)
            light = [problem for problem in real if is_light(problem, sandbox)]
            for name, chosen in ((f"{len(light)} light real rows", light), (f"all {len(real)} real rows", real)):
                rows.append(
                    compare(f"{name}, every check", items(chosen), sandbox, arguments.workers, True, upstream_checks)
                )
        else:
            print(f"no real rows: {arguments.problems} is not there", file=sys.stderr)
    if arguments.out:
        durable.write_json(arguments.out, {"cores": os.cpu_count(), "rows": rows})
    else:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
