"""Right solutions that are refused: what the labels make of one independent solution for each benchmark row.

    just refused FILE

A solution is called right by evidence: on some hundred inputs that the asserts do not hold it answers as the canonical
one does, or otherwise in a way that the row's rule accepts. Each was written from its prompt alone, by another
algorithm. Why one is refused is shown, not judged: the asserts that it fails break their own prompt's constraints (as
predicates below), or it passes once a name is given back that the row's setup code hides.
"""

import argparse
import dataclasses
import itertools
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from core.environment.accepted import accepted, decoded
from core.environment.asserts import Case
from core.environment.problems import Problem, fenced, load_problems
from core.environment.rewards import Grade, GradeItem, grade
from core.sandbox.jail.answers import matches
from core.sandbox.pool import Sandbox
from support.mutation_study import batched, cases_of, oracle_check
from support.perturbed_inputs import Arguments, arguments_of, call_of, perturbed_inputs

SOLUTIONS = Path(__file__).parents[1] / "data" / "other_solutions"
INPUTS, CALLS_PER_CHECK = 100, 10
SEED = 0
HIDDEN_BUILTIN = "\nimport builtins\npow = builtins.pow\n"

SEVERAL = "the prompt accepts other answers"
EXCLUDED = "asserts that the prompt's constraints exclude"
HIDDEN = "the setup code hides the builtin pow"
UNKNOWN = "not explained"


def solution_of(problem: Problem) -> str | None:
    path = SOLUTIONS / f"row_{problem.problem_id}.py"
    return path.read_text() if path.exists() else None


# ---- what the prompts of rows allow, where asserts go beyond it
def _pistons(height: int, positions: list[int], directions: str) -> bool:
    return len(positions) == len(directions) and all(0 <= position <= height for position in positions)


def _removals(source: str, pattern: str, targetIndices: list[int]) -> bool:
    letters = iter(source)
    in_range = all(0 <= index < len(source) for index in targetIndices)
    ascending = sorted(set(targetIndices)) == targetIndices
    return in_range and ascending and bool(targetIndices) and all(letter in letters for letter in pattern)


def _square(fruits: list[list[int]]) -> bool:
    return len(fruits) >= 2 and all(len(row) == len(fruits) for row in fruits)


def _anagrams(s: str, t: str, k: int) -> bool:
    return sorted(s) == sorted(t) and 1 <= k <= len(s) and len(s) % k == 0


def _has_outlier(nums: list[int]) -> bool:
    counts, total = Counter(nums), sum(nums)
    return any((total - x) % 2 == 0 and counts[(total - x) // 2] > ((total - x) // 2 == x) for x in counts)


def _disjoint(coins: list[list[int]], k: int) -> bool:
    ordered = sorted(coins)
    return k >= 1 and all(one[1] < other[0] for one, other in itertools.pairwise(ordered))


def _meetings(eventTime: int, k: int, startTime: list[int], endTime: list[int]) -> bool:
    if not (len(startTime) == len(endTime) >= 2 and 1 <= k <= len(startTime)):
        return False
    edges = [edge for meeting in zip(startTime, endTime, strict=True) for edge in meeting]
    whole = all(start < end for start, end in zip(startTime, endTime, strict=True))
    return whole and sorted(edges) == edges and edges[0] >= 0 and edges[-1] <= eventTime


def _has_parities(s: str, k: int) -> bool:
    """Some substring of at least k letters has a letter of odd and one of even frequency."""
    for start in range(len(s)):
        counts: Counter[str] = Counter()
        for end in range(start, len(s)):
            counts[s[end]] += 1
            if end - start + 1 >= k and len({n % 2 for n in counts.values()}) == 2:
                return len(s) >= 3 and set(s) <= set("01234")
    return False


def _positive(nums: list[int]) -> bool:
    return min(nums) >= 1


def _points(xCoord: list[int], yCoord: list[int]) -> bool:
    points = list(zip(xCoord, yCoord, strict=False))
    return len(xCoord) == len(yCoord) == len(set(points))


def _friends(word: str, numFriends: int) -> bool:
    return 1 <= numFriends <= len(word)


def _pieces(m: int, n: int, k: int) -> bool:
    return 2 <= k <= m * n


def _events(numberOfUsers: int, events: list[list[str]]) -> bool:
    named = {"ALL", "HERE", *(f"id{user}" for user in range(numberOfUsers))}
    texts = [token for kind, _, text in events if kind == "MESSAGE" for token in text.split()]
    leaving = {text for kind, _, text in events if kind == "OFFLINE"}
    return set(texts) <= named and leaving <= {str(user) for user in range(numberOfUsers)}


ALLOWED: dict[str, Callable[..., bool]] = {
    "3279": _pistons,
    "3284": _positive,
    "3316": _removals,
    "3363": _square,
    "3365": _anagrams,
    "3371": _has_outlier,
    "3382": _points,
    "3406": _friends,
    "3413": _disjoint,
    "3426": _pieces,
    "3433": _events,
    "3439": _meetings,
    "3445": _has_parities,
}


def allowed(problem: Problem, arguments: Arguments) -> bool:
    """True too where no predicate is written: then no assert of the row was seen to break its prompt."""
    predicate = ALLOWED.get(problem.problem_id)
    return predicate is None or predicate(**arguments)


# ---- is it right?
def agreement(problem: Problem, code: str, sandbox: Sandbox) -> tuple[int, list[str]]:
    """How many further inputs were tried, and the calls on which the solution is not right if the canonical one is."""
    examples = [arguments for case in cases_of(problem) if allowed(problem, arguments := arguments_of(case.call))]
    rng = random.Random(f"{problem.problem_id}/{SEED}")
    found = [a for a in perturbed_inputs(examples, INPUTS, rng) if allowed(problem, a)]
    calls = [call_of(problem.method, arguments) for arguments in found]
    healed = dataclasses.replace(problem, setup_code=problem.setup_code + HIDDEN_BUILTIN)
    listed = _answers(problem, problem.canonical_solution, calls, sandbox)
    usable = {call: answer for call, answer in listed.items() if not _is_raised(answer)}
    got = _answers(healed, code, list(usable), sandbox)
    return len(got), [call for call in got if not _right(problem, call, usable[call], got[call])]


def _answers(problem: Problem, code: str, calls: Sequence[str], sandbox: Sandbox) -> dict[str, Any]:
    """By call, but for those that share a check with one that takes too long."""
    base = oracle_check(problem, code)
    batches = list(batched(calls, CALLS_PER_CHECK))
    results = sandbox.run([dataclasses.replace(base, steps=batch) for batch in batches])
    told = [(batch, r.answers) for batch, r in zip(batches, results, strict=True) if r.answers is not None]
    return {call: answer for batch, found in told for call, answer in zip(batch, found, strict=True)}


def _is_raised(answer: object) -> bool:
    return isinstance(answer, dict) and "raised" in answer


def _right(problem: Problem, call: str, listed: object, answer: object) -> bool:
    case = Case(call, "", decoded(listed))
    return bool(accepted(problem, [case], [answer], matches(answer, case.expected)))


# ---- why is it refused?
def refusal(problem: Problem, code: str, graded: Grade, sandbox: Sandbox) -> dict[str, Any]:
    (result,) = sandbox.run([oracle_check(problem, code)])
    told = result.answers or []
    failed = [c for c, answer in zip(cases_of(problem), told, strict=False) if not matches(answer, c.expected)]
    excluded = [case for case in failed if not allowed(problem, arguments_of(case.call))]
    healed = dataclasses.replace(problem, setup_code=problem.setup_code + HIDDEN_BUILTIN)
    (mended,) = grade([GradeItem(healed, "gt_only", fenced(code))], sandbox)
    if graded.gt_accepted:
        reason = SEVERAL
    elif failed and len(excluded) == len(failed):
        reason = EXCLUDED
    else:
        reason = HIDDEN if mended.gt_correct else UNKNOWN
    return {
        "row": problem.problem_id,
        "reason": reason,
        "asserts": len(problem.asserts),
        "failed": len(failed),
        "failed_and_excluded": len(excluded),
        "gt_accepted": graded.gt_accepted,
        "example": failed[0].call if failed and len(failed[0].call) < 200 else None,
    }


def study(problems: Sequence[Problem], sandbox: Sandbox) -> dict[str, Any]:
    written = [(problem, code) for problem in problems if (code := solution_of(problem)) is not None]
    grades = grade([GradeItem(problem, "gt_only", fenced(code)) for problem, code in written], sandbox)
    tried = {problem.problem_id: agreement(problem, code, sandbox) for problem, code in written}
    refused = [
        refusal(problem, code, graded, sandbox)
        for (problem, code), graded in zip(written, grades, strict=True)
        if not graded.gt_correct
    ]
    return {
        "rows": len(problems),
        "solutions": len(written),
        "inputs_tried": sum(n for n, _ in tried.values()),
        "fewest_inputs_of_a_row": min(n for n, _ in tried.values()),
        "not_as_the_canonical": {row: calls[:3] for row, (_, calls) in tried.items() if calls},
        "refused_by_gt_correct": len(refused),
        "refused_by_gt_accepted": sum(row["gt_accepted"] is False for row in refused),
        "reasons": dict(Counter(row["reason"] for row in refused)),
        "refused": refused,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=Path, required=True, help="the benchmark's rows, one JSON object a line")
    parser.add_argument("--out", type=Path, help="where to write the result; standard output if left out")
    options = parser.parse_args()
    started = time.monotonic()
    with Sandbox() as sandbox:
        result = study(load_problems(options.problems), sandbox)
    text = json.dumps(result, indent=1) + "\n"
    if options.out is None:
        print(text, end="")
    else:
        options.out.write_text(text)
        print({key: value for key, value in result.items() if key != "refused"})
        print(f"{time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
