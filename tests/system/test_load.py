"""No verdict from load: what else the machine does changes no label and no reward."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

from core.environment.problems import WRONG_SOLUTION, Problem, fenced, load_problems
from core.environment.rewards import Grade, GradeItem, grade
from core.sandbox.pool import Sandbox
from process.test_rewards import EMPTY, HONEST, PROBLEM, RIGHT, WRONG
from support.paths import REPO
from support.shared_data import ROWS, shared_file

BUSY_LOOPS = 20
BURN = "    def burn(self):\n        for _ in range({rounds}):\n            pass\n"


@contextlib.contextmanager
def load(loops: int) -> Iterator[None]:
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(loops)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def verdicts(grades: list[Grade]) -> list[dict]:
    return [{name: value for name, value in vars(g).items() if name != "seconds"} for g in grades]


def completions(problem: Problem) -> list[str]:
    """Right and wrong, with tests of every kind."""
    honest = f"\n\ndef run_tests():\n    {problem.asserts[0]}\n    {problem.asserts[-1]}\n"
    wrong = WRONG_SOLUTION.format(method=problem.method)
    right = problem.canonical_solution
    return [right, right + honest, wrong + honest, wrong + EMPTY, right + EMPTY]


def test_four_hundred_rows_have_the_same_labels_with_and_without_load() -> None:
    items = [GradeItem(p, "run_tests", fenced(c)) for p in load_problems(shared_file(ROWS)) for c in completions(p)]
    assert len(items) == 400
    with Sandbox(workers=2) as sandbox:
        alone = verdicts(grade(items, sandbox, full=False))
        with load(BUSY_LOOPS):
            beside = verdicts(grade(items, sandbox, full=False))
    assert beside == alone
    assert sum(v["gt_correct"] for v in alone) == 240


def heavy(solution: str, rounds: int) -> str:
    """A solution that computes for about a second before its first answer."""
    return solution.replace("        return", "        self.burn()\n        return") + BURN.format(rounds=rounds)


def test_slow_and_right_is_right_at_the_lowest_priority_beside_busy_loops() -> None:
    """At nice 19 beside one busy loop a core a child gets a hundredth of it: minutes for seconds of CPU."""
    codes = [heavy(RIGHT, 10_000_000) + HONEST, heavy(WRONG, 10_000_000) + HONEST, RIGHT]
    program = (
        "import os, sys\nos.nice(19)\nfrom system.test_load import PROBLEM, GradeItem, Sandbox, fenced, grade\n"
        "codes = eval(sys.stdin.read())\nwith Sandbox(workers=2, wall_limit_s=2.0) as sandbox:\n"
        "    print([g.label for g in grade([GradeItem(PROBLEM, 'run_tests', fenced(c)) for c in codes], sandbox)])\n"
    )
    with load(os.cpu_count() or 1):
        done = subprocess.run(
            [sys.executable, "-c", program],
            input=repr(codes),
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join((str(REPO), str(REPO / "tests")))},
        )
    assert done.stdout.strip() == "['Correct', 'Incorrect', 'Correct']", done.stderr


def test_who_sleeps_is_ended_at_any_load_and_who_computes_is_ended_by_its_cpu_time() -> None:
    sleeps = RIGHT.replace("return", "__import__('time').sleep(1000); return")
    naps = RIGHT.replace("return n + n", "[__import__('time').sleep(0.01) for _ in iter(int, 1)]")
    spins = RIGHT.replace("return n + n", "[0 for _ in iter(int, 1)]")
    items = [GradeItem(PROBLEM, "run_tests", fenced(c)) for c in (sleeps, naps, spins, RIGHT)]
    for loops in (0, 8):
        with load(loops), Sandbox(workers=2, cpu_limit_s=1, wall_limit_s=2.0) as sandbox:
            errors = [g.error for g in grade(items, sandbox, full=False)]
        assert errors == ["WallLimit", "WallLimit", "CpuLimit", None], loops
