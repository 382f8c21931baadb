"""The stored study of docs/mutations.md, and survivors that it does not know."""

from __future__ import annotations

import json

from core.environment.problems import Problem, fenced, load_problems
from core.environment.rewards import GradeItem, grade
from core.sandbox.pool import Sandbox
from support import mutation_study
from support.paths import REPO
from support.shared_data import ROWS, shared_file

STORED = json.loads((REPO / "docs" / "results" / "mutations.json").read_text())


def real_problems() -> list[Problem]:
    """Skips the test where the rows are missing."""
    return load_problems(shared_file(ROWS))


def unlisted_survivors(problems: list[Problem], sandbox: Sandbox) -> list[tuple[str, str]]:
    """By the public interface, grade(), so that this holds for rewards and not only for one check."""
    mutants = mutation_study.mutants_of(problems, STORED["seed"])
    assert len(mutants) == mutation_study.MUTANTS_PER_ROW * len(problems)
    items = [GradeItem(m.problem, "gt_only", fenced(m.mutation.code)) for m in mutants]
    known = {(found["row"], found["mutation"]) for found in STORED["survivor_list"]}
    survived = {
        (m.problem.problem_id, str(m.mutation))
        for m, graded in zip(mutants, grade(items, sandbox, full=False), strict=True)
        if graded.gt_correct
    }
    return sorted(survived - known)
