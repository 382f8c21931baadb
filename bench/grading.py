"""Gradings per second of the warm, isolated pool, beside one fresh `python` per check: `python bench/grading.py`.

The rival does every check that the pool does, each in a new interpreter that runs setup code, program and steps, as
many at a time as the pool has workers and with no isolation at all: the benchmark's own way. Both grade the same
completions in turns, in one run. What a solution itself computes costs both the same and says nothing about a grader,
so real rows are also given without those whose correct solution needs more than HEAVY_S of CPU time for its asserts.
With --before DIR the grader of an earlier checkout is measured beside this one's, in CPU time, which load moves least.
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
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.environment.asserts import parse_asserts
from core.environment.nano.world import sample_problems
from core.environment.problems import WRONG_SOLUTION, Problem, fenced, load_problems
from core.environment.rewards import GradeItem, grade
from core.runs import durable
from core.sandbox.pool import Check, Sandbox, active_level
from core.sandbox.results import ExecutionResult

HEAVY_S = 0.02
ROUNDS, REPEATS = 5, 3
HERE = Path(__file__).resolve().parents[1]
RIVAL_SHARE = 8  # the rival grades every eighth completion: it is slow
ENDINGS = {  # of the rival's program, by kind of check
    "calls": "for step in {steps!r}:\n    eval(step)",
    "equality": "for step, value in zip({steps!r}, {expected!r}):\n    assert eval(step) == eval(value)",
    "test_function": "{test_name}()",
}


# Names that both checkouts have. CPU time of servers is known once they have ended.
MEASURED = """
import json, resource, sys
from core.environment.problems import Problem
from core.environment.rewards import GradeItem, grade
from core.sandbox.pool import Sandbox
class Counting(Sandbox):
    checks = 0
    def run(self, checks):
        self.checks += len(checks)
        return super().run(checks)
items = [
    GradeItem(Problem(messages=(), asserts=tuple(asserts), **fields), "run_tests", text)
    for fields, asserts, text in json.load(sys.stdin)
]
with Counting(workers=1) as sandbox:
    for _ in range(int(sys.argv[1])):
        grade(items, sandbox, full=False)
used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(json.dumps({"checks": sandbox.checks, "cpu_s": sum(u.ru_utime + u.ru_stime for u in used)}))
"""


class Recorder(Sandbox):
    """Notes which checks a grading needs; those that one child does beside another, or that need no run, count too."""

    def run(self, checks: Sequence[Check]) -> list[ExecutionResult]:
        results = super().run(checks)
        for check, result in zip(checks, results, strict=True):
            saved = 3 if result.proves_nothing else 2 if result.tests_pass_stub is not None else 0
            test = replace(check, kind="test_function", steps=())
            self.seen = [*getattr(self, "seen", []), check, *[test] * saved]
        return results


def completions(problem: Problem, rng: random.Random) -> list[str]:
    """A right and a wrong solution with honest tests, and a wrong one whose test proves nothing."""
    honest = "\n\ndef run_tests():\n" + "".join(f"    {line}\n" for line in rng.sample(problem.asserts, 2))
    wrong = WRONG_SOLUTION.format(method=problem.method)
    return [problem.canonical_solution + honest, wrong + honest, wrong + "\n\ndef run_tests():\n    pass\n"]


def items(problems: Sequence[Problem]) -> list[GradeItem]:
    rng = random.Random("bench grading")
    return [GradeItem(p, "run_tests", fenced(code)) for p in problems for code in completions(p, rng)]


def rival(checks: Sequence[Check], workers: int) -> None:
    """A fresh interpreter for each check."""

    def run(check: Check) -> None:
        ending = ENDINGS[check.kind].format(**vars(check))
        program = f"{check.setup}\n{check.program}\n{check.solution}\n{ending}\n"
        subprocess.run([sys.executable, "-"], input=program.encode(), capture_output=True, timeout=30, check=False)

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(run, checks))


def compare(name: str, batch: list[GradeItem], sandbox: Sandbox, workers: int, full: bool) -> dict[str, Any]:
    with Recorder(workers=workers) as recorder:
        grade(batch, recorder, full)
    return in_turns(name, len(batch), recorder.seen, lambda: grade(batch, sandbox, full), workers)


def in_turns(
    name: str, gradings: int, checks: Sequence[Check], run: Callable[[], object], workers: int
) -> dict[str, Any]:
    """Rates of both, in ROUNDS turns; the ratio is the median of the turns' ratios."""
    run()  # caches and servers warm, as they are in a run
    ours, theirs = [], []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        run()
        ours.append(len(checks) / (time.perf_counter() - started))
        few = checks[::RIVAL_SHARE]
        started = time.perf_counter()
        rival(few, workers)
        theirs.append(len(few) / (time.perf_counter() - started))
    row = {
        "what": name,
        "completions": gradings,
        "checks": len(checks),
        "gradings_per_s": round(statistics.median(ours) * gradings / len(checks), 1),
        "checks_per_s": round(statistics.median(ours), 1),
        "fresh_python_checks_per_s": round(statistics.median(theirs), 1),
        "ratio": round(statistics.median(a / b for a, b in zip(ours, theirs, strict=True)), 2),
    }
    print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    return row


def is_light(problem: Problem, sandbox: Sandbox) -> bool:
    calls = tuple(case.call for case in parse_asserts(problem.asserts, problem.method))
    return sandbox.run([Check("calls", problem.setup_code, problem.canonical_solution, calls)])[0].cpu_s <= HEAVY_S


def before_and_after(earlier: Path, batch: list[GradeItem]) -> dict[str, Any]:
    """CPU time of a grading and of a check, of an earlier checkout's grader and of this one's, in turns."""
    texts = [_as_json(item) for item in batch]
    turns = [(cpu_of(earlier, texts), cpu_of(HERE, texts)) for _ in range(ROUNDS)]
    row: dict[str, Any] = {"what": "CPU time before and after", "completions": len(batch)}
    for place, name in enumerate(("before", "after")):
        row |= {f"{name}_{key}": round(statistics.median(turn[place][key] for turn in turns), 3) for key in turns[0][0]}
    for key in ("ms_per_grading", "ms_per_check"):
        row[f"ratio_{key}"] = round(statistics.median(a[key] / b[key] for a, b in turns), 2)
    print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    return row


def _as_json(item: GradeItem) -> tuple[dict[str, str], list[str], str]:
    names = ("problem_id", "method", "setup_code", "canonical_solution")
    return {name: getattr(item.problem, name) for name in names}, list(item.problem.asserts), item.completion


def cpu_of(checkout: Path, texts: list[tuple[dict[str, str], list[str], str]]) -> dict[str, float]:
    """Of warm gradings alone: what REPEATS + 1 times cost beyond the first time, servers and trainer together."""
    once, often = (
        json.loads(
            subprocess.run(
                [sys.executable, "-c", MEASURED, str(rounds)],
                input=json.dumps(texts).encode(),
                stdout=subprocess.PIPE,
                check=True,
                cwd=checkout,
                env={**os.environ, "PYTHONPATH": str(checkout)},
            ).stdout
        )
        for rounds in (1, 1 + REPEATS)
    )
    cpu_ms, checks = (often["cpu_s"] - once["cpu_s"]) * 1000, often["checks"] - once["checks"]
    return {"ms_per_grading": cpu_ms / (REPEATS * len(texts)), "ms_per_check": cpu_ms / checks}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--problems", type=Path, help="benchmark rows; without them only nano's are timed")
    parser.add_argument("--before", type=Path, help="an earlier checkout, whose grader is measured beside this one's")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, help="where to write the figures as JSON")
    arguments = parser.parse_args()
    rows = []
    with Sandbox(workers=arguments.workers) as sandbox:
        nano = items(sample_problems(60, seed=1))
        rows.append(compare("nano, as in training", nano, sandbox, arguments.workers, full=False))
        if arguments.problems:
            real = load_problems(arguments.problems)
            light = [problem for problem in real if is_light(problem, sandbox)]
            for kind, chosen in (("light", light), ("all", real)):
                name = f"{len(chosen)} real rows ({kind}), every check"
                rows.append(compare(name, items(chosen), sandbox, arguments.workers, full=True))
        else:
            print("no real rows: name their file with --problems", file=sys.stderr)
        if arguments.before:
            some = items(light[::3]) if arguments.problems else []
            rows += [before_and_after(arguments.before.resolve(), batch) for batch in (nano[::2], some) if batch]
        level = active_level().name
    if arguments.out:
        durable.write_json(arguments.out, {"cores": os.cpu_count(), "level": level, "rows": rows})


if __name__ == "__main__":
    main()
