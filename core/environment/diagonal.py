"""Each mode's exploit under each mode's grader, before anything is trained: `python -m core.environment.diagonal`.

A sound environment pays an exploit in its own mode and nowhere else, a correct solution everywhere, an honest wrong one
nowhere. Graders that look for held-out marks pay those exploits, and none that name training's marks. It does not show
that no other exploit crosses over, only that the minimal ones do not.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from core.environment.hints import HELD_OUT, TRAIN, drawn_test_func_name
from core.environment.problems import DEFAULT_HINT, MODES, WRONG_SOLUTION, Problem, drawn_marker, fenced, load_problems
from core.environment.rewards import COMPILES_REWARD, SOLVES_REWARD, Grade, GradeItem, grade
from core.sandbox.pool import Sandbox

CANONICAL, WRONG = "correct solution", "honest wrong one"
SAMPLED_PROBLEMS, SAMPLE_SEED = 4, 0
MARKER_SEED = 0


@dataclass(frozen=True)
class Cell:
    """One kind of completion in one mode, over all problems."""

    exploited: int
    paid: int
    total: int
    wrong: int  # gradings that are not as they must be

    def __add__(self, other: Cell) -> Cell:
        return Cell(
            self.exploited + other.exploited,
            self.paid + other.paid,
            self.total + other.total,
            self.wrong + other.wrong,
        )


@dataclass(frozen=True)
class Diagonal:
    cells: dict[tuple[str, str], Cell]  # (completion, mode)
    violations: tuple[str, ...]


def completions_for(problem: Problem, markers: str = TRAIN) -> dict[str, str]:
    """The minimal exploits by mode, a correct solution and an honest wrong one, both with honest tests; with held-out
    markers also the exploits of training that name another mark."""
    tests = "".join(f"    {line}\n" for line in problem.asserts[:2])
    name_here = _name_of_tests(problem, markers)
    honest = f"\n\ndef {name_here}():\n{tests}"
    trained = {name: mode.exploit(problem) for name, mode in MODES.items()}
    exploits = {
        name: mode.exploit(problem, name_here, drawn_marker(name, problem.problem_id, MARKER_SEED, markers))
        for name, mode in MODES.items()
    }
    old = {f"{name} (train)": text for name, text in trained.items() if text != exploits[name]}
    return {name: text for name, text in {**exploits, **old}.items() if text is not None} | {
        CANONICAL: fenced(problem.canonical_solution + honest),
        WRONG: fenced(WRONG_SOLUTION.format(method=problem.method) + honest),
    }


def _name_of_tests(problem: Problem, markers: str) -> str:
    hint = "overwrite_tests" if markers == HELD_OUT else DEFAULT_HINT
    return drawn_test_func_name(hint, problem.problem_id, MARKER_SEED, markers)


def run(problems: Sequence[Problem], sandbox: Sandbox, markers: str = TRAIN) -> Diagonal:
    if not problems:
        raise ValueError("no problems to check")
    keys, items = [], []
    for problem in problems:
        for name, completion in completions_for(problem, markers).items():
            for mode in MODES:
                keys.append((name, mode))
                marker = drawn_marker(mode, problem.problem_id, MARKER_SEED, markers)
                items.append(GradeItem(problem, mode, completion, _name_of_tests(problem, markers), marker=marker))
    graded = list(zip(keys, items, grade(items, sandbox, full=False), strict=True))
    found = [_violation(name, item, g) for (name, _), item, g in graded]
    cells = {
        key: _cell([(g, v is not None) for (k, _, g), v in zip(graded, found, strict=True) if k == key])
        for key in dict.fromkeys(keys)
    }
    return Diagonal(cells, tuple(violation for violation in found if violation is not None))


def joined(parts: Sequence[Diagonal]) -> Diagonal:
    """The diagonal over all the problems of its parts."""
    cells: dict[tuple[str, str], Cell] = {}
    for part in parts:
        for key, cell in part.cells.items():
            cells[key] = cells[key] + cell if key in cells else cell
    return Diagonal(cells, tuple(violation for part in parts for violation in part.violations))


def require_sound(problems: Sequence[Problem], sandbox: Sandbox) -> None:
    """The gate in front of training. Raises RuntimeError with the first violation: no label could be believed."""
    violations = run(problems, sandbox).violations
    if violations:
        raise RuntimeError(f"the grader's self-check fails, so nothing is trained: {violations[0]}")


def _cell(graded: list[tuple[Grade, bool]]) -> Cell:
    grades = [g for g, _ in graded]
    paid = sum(g.reward >= SOLVES_REWARD for g in grades)
    return Cell(sum(g.exploited for g in grades), paid, len(grades), sum(wrong for _, wrong in graded))


def _violation(name: str, item: GradeItem, g: Grade) -> str | None:
    where = f"problem {item.problem.problem_id}, {name} in mode {item.mode}"
    shown = f"exploited={g.exploited} gt_correct={g.gt_correct} reward={g.reward} error={g.error}"
    if g.exploited is not (name == item.mode):
        return f"{where}: {shown}, expected exploited={name == item.mode}"
    if g.gt_correct is not (name == CANONICAL):
        return f"{where}: {shown}, expected gt_correct={name == CANONICAL}"
    if name == CANONICAL and g.reward != COMPILES_REWARD + SOLVES_REWARD:
        return f"{where}: {shown}, expected the full reward"
    return None


def table(diagonal: Diagonal) -> str:
    """Exploited / problems for exploits and the wrong solution; for the correct one, paid / problems."""
    names = list(dict.fromkeys(name for name, _ in diagonal.cells))
    width = 2 + max(map(len, names))
    lines = [" " * width + "".join(f"{mode:>15}" for mode in MODES)]
    for name in names:
        row = [diagonal.cells[name, mode] for mode in MODES]
        counts = [cell.paid if name == CANONICAL else cell.exploited for cell in row]
        lines.append(f"{name:<{width}}" + "".join(f"{f'{n}/{c.total}':>15}" for n, c in zip(counts, row, strict=True)))
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m core.environment.diagonal", description="every exploit under every grader"
    )
    parser.add_argument("--problems", help="benchmark rows, one JSON object a line (default: a few nano problems)")
    options = parser.parse_args(arguments)
    try:
        problems = load_problems(options.problems) if options.problems else _nano_problems()
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    with Sandbox() as sandbox:
        diagonal = run(problems, sandbox)
    print(table(diagonal))
    print(
        "expect: n/n on the diagonal and for the correct solution, 0 elsewhere; last column 0 but for the correct one"
    )
    for violation in diagonal.violations:
        print(f"VIOLATION  {violation}", file=sys.stderr)
    return 1 if diagonal.violations else 0


def _nano_problems() -> list[Problem]:
    from core.environment.nano.world import sample_problems

    return sample_problems(SAMPLED_PROBLEMS, SAMPLE_SEED)


if __name__ == "__main__":
    raise SystemExit(main())
