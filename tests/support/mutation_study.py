"""How sharp the strict oracle is: five small faults in every canonical solution, and what becomes of each.

    just mutations FILE

A mutant that is still judged correct (a survivor) is explained by evidence, not by opinion: is the changed place ever
run by the row's asserts, and does any of some hundred further inputs tell mutant and original apart? If one does, it is
added to the asserts, and the oracle must then refuse the mutant. Where none does, "equivalent" means on these inputs.
Not shown by that: that a telling input obeys the constraints in the row's prose (see perturbed_inputs), or that none
exists. So each survivor has also been read by hand: survivors_by_hand.json.
"""

import argparse
import collections
import dataclasses
import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.environment.asserts import Case, parse_asserts
from core.environment.problems import Problem, fenced, load_problems
from core.environment.rewards import GradeItem, first_checks, is_correct
from core.sandbox.jail.answers import RAISED, matches
from core.sandbox.pool import Check, Sandbox
from core.sandbox.results import ExecutionResult
from support.mutations import HITS, Mutation, chosen_mutations, probed
from support.perturbed_inputs import arguments_of, call_of, perturbed_inputs

MUTANTS_PER_ROW = 5
INPUTS = 600
CALLS_PER_CHECK = 20
TIME_LIMITS = ("CpuLimit", "WallLimit")

NOT_RUN = "not reached: the asserts never run the changed place"
UNTOLD = "not reached by the row's asserts: another input tells it apart"
EQUIVALENT = "equivalent on every input tried"
SURVIVED, WRONG, RAISING, TOO_SLOW, DIED = "survived", "wrong answer", "raised", "time limit", "process died"

STUCK_LIMIT = 3
BY_HAND = Path(__file__).with_name("survivors_by_hand.json")  # row id -> mutation -> equivalent (in the prose), why


@dataclass(frozen=True)
class Mutant:
    problem: Problem
    mutation: Mutation


@dataclass(frozen=True)
class Verdict:
    mutant: Mutant
    fate: str  # SURVIVED, or what killed it
    loosely_correct: bool  # the foolable == check's opinion: an honest mutant gives both oracles the same one
    cpu_s: float


def mutants_of(problems: Sequence[Problem], seed: int) -> list[Mutant]:
    return [
        Mutant(problem, mutation)
        for problem in problems
        for mutation in chosen_mutations(problem.canonical_solution, problem.problem_id, seed, MUTANTS_PER_ROW)
    ]


def oracle_check(problem: Problem, code: str) -> Check:
    return first_checks(GradeItem(problem, "gt_only", fenced(code)), code, full=False)["oracle"]


def failing_canonicals(problems: Sequence[Problem], sandbox: Sandbox) -> list[str]:
    results = sandbox.run([oracle_check(p, p.canonical_solution) for p in problems])
    return [p.problem_id for p, r in zip(problems, results, strict=True) if not is_correct(r, cases_of(p))]


def verdicts(mutants: Sequence[Mutant], sandbox: Sandbox) -> list[Verdict]:
    items = [(m, GradeItem(m.problem, "gt_only", fenced(m.mutation.code))) for m in mutants]
    checks = [first_checks(item, m.mutation.code, full=True) for m, item in items]
    oracles = sandbox.run([check["oracle"] for check in checks])
    equalities = sandbox.run([check["equality"] for check in checks])
    return [
        Verdict(mutant, fate(oracle, cases_of(mutant.problem)), equality.done, oracle.cpu_s)
        for mutant, oracle, equality in zip(mutants, oracles, equalities, strict=True)
    ]


def cases_of(problem: Problem) -> tuple[Case, ...]:
    return parse_asserts(problem.asserts, problem.method)


def fate(oracle: ExecutionResult, cases: Sequence[Case]) -> str:
    """What the first failing case shows, where the process lived to report its answers."""
    if is_correct(oracle, cases):
        return SURVIVED
    if oracle.error in TIME_LIMITS:
        return TOO_SLOW
    if oracle.answers is None:
        return RAISING if oracle.error is not None and oracle.error.endswith(("Error", "Exception")) else DIED
    failing = [a for a, case in zip(oracle.answers, cases, strict=True) if not matches(a, case.expected)]
    return RAISING if is_raised(failing[0]) else WRONG


def is_raised(answer: object) -> bool:
    return isinstance(answer, dict) and RAISED in answer


def explained(mutant: Mutant, sandbox: Sandbox, inputs: int = INPUTS, seed: int = 0) -> dict[str, Any]:
    """A survivor's reason and evidence."""
    problem, mutation = mutant.problem, mutant.mutation
    hits = times_run(mutant, sandbox)
    examples = [arguments_of(case.call) for case in cases_of(problem)]
    rng = random.Random(f"{problem.problem_id}/{mutation}/{seed}")
    calls = [call_of(problem.method, arguments) for arguments in perturbed_inputs(examples, inputs, rng)]
    right = answers(problem, problem.canonical_solution, calls, sandbox)
    # As an added assert an answer must be a literal, which those with a tag (core.sandbox.jail.answers) are not.
    usable = [call for call, answer in right.items() if answer is not None and not isinstance(answer, dict)]
    got = answers(problem, mutation.code, usable, sandbox)
    telling = sorted((call for call in got if got[call] != right[call]), key=lambda call: (len(call), call))
    found: dict[str, Any] = {
        "row": problem.problem_id,
        "method": problem.method,
        "mutation": str(mutation),
        "reason": NOT_RUN if hits == 0 else UNTOLD if telling else EQUIVALENT,
        "times_run_by_asserts": hits,
        "asserts": len(problem.asserts),
        "inputs_tried": len(got),
        "inputs_telling": len(telling),
    }
    if telling:
        call = telling[0]
        found["telling_input"] = call
        found["original_answers"], found["mutant_answers"] = right[call], shown(got[call])
        found["killed_once_added"] = killed_with_added_case(mutant, call, right[call], sandbox)
    return found


def shown(answer: object) -> object:
    """None: no answer within the time limit."""
    return "no answer in time" if answer is None else answer


def killed_with_added_case(mutant: Mutant, call: str, answer: object, sandbox: Sandbox) -> bool:
    problem = mutant.problem
    added = dataclasses.replace(problem, asserts=(*problem.asserts, f"assert {call} == {answer!r}"))
    codes = (problem.canonical_solution, mutant.mutation.code)
    original, mutated = sandbox.run([oracle_check(added, code) for code in codes])
    return is_correct(original, cases_of(added)) and not is_correct(mutated, cases_of(added))


def times_run(mutant: Mutant, sandbox: Sandbox) -> int:
    """How often the row's asserts bring the original to the changed place."""
    problem = mutant.problem
    program = probed(problem.canonical_solution, mutant.mutation)
    check = oracle_check(problem, program)
    (result,) = sandbox.run([dataclasses.replace(check, steps=(*check.steps, f"{HITS}[0]"))])
    assert result.answers is not None and is_correct(
        dataclasses.replace(result, answers=result.answers[:-1]), cases_of(problem)
    ), f"row {problem.problem_id}: the probe changes what the original does: {result.error}"
    return int(result.answers[-1])


def answers(problem: Problem, code: str, calls: Sequence[str], sandbox: Sandbox) -> dict[str, Any]:
    """Tagged answers by call; null where the process gave none, tried alone. After a few of these the rest is left."""
    base = oracle_check(problem, code)
    found: dict[str, Any] = {}
    batches = list(batched(calls, CALLS_PER_CHECK))
    while batches and sum(answer is None for answer in found.values()) < STUCK_LIMIT:
        batch = batches.pop(0)
        (result,) = sandbox.run([dataclasses.replace(base, steps=batch)])
        if result.answers is not None:
            found |= dict(zip(batch, result.answers, strict=True))
        elif len(batch) == 1:
            found[batch[0]] = None
        else:
            batches = [batch[: len(batch) // 2], batch[len(batch) // 2 :], *batches]
    return found


def batched(calls: Sequence[str], size: int) -> Iterator[tuple[str, ...]]:
    for start in range(0, len(calls), size):
        yield tuple(calls[start : start + size])


def study(problems: Sequence[Problem], seed: int, sandbox: Sandbox) -> dict[str, Any]:
    mutants = mutants_of(problems, seed)
    judged = verdicts(mutants, sandbox)
    explanations = [explained(verdict.mutant, sandbox) for verdict in judged if verdict.fate == SURVIVED]
    by_hand = json.loads(BY_HAND.read_text())
    for found in explanations:
        found["by_hand"] = by_hand.get(found["row"], {}).get(found["mutation"])
    fates = collections.Counter(verdict.fate for verdict in judged)
    opinions = collections.Counter(found["by_hand"] and found["by_hand"]["equivalent"] for found in explanations)
    applied = collections.Counter(verdict.mutant.mutation.operator for verdict in judged)
    survived = collections.Counter(v.mutant.mutation.operator for v in judged if v.fate == SURVIVED)
    return {
        "seed": seed,
        "rows": len(problems),
        "canonical_failures": failing_canonicals(problems, sandbox),
        "mutants": len(mutants),
        "killed": {name: fates[name] for name in (WRONG, RAISING, TOO_SLOW, DIED)},
        "survivors": fates[SURVIVED],
        "survivors_by_reason": {
            reason: sum(found["reason"] == reason for found in explanations) for reason in (NOT_RUN, UNTOLD, EQUIVALENT)
        },
        "survivors_read_by_hand": {
            "equivalent": opinions[True],
            "missed by the asserts": opinions[False],
            "not read": opinions[None],
        },
        "operators": {name: {"mutants": applied[name], "survivors": survived[name]} for name in sorted(applied)},
        "two_oracles_disagree": [
            {"row": v.mutant.problem.problem_id, "mutation": str(v.mutant.mutation), "strict": v.fate}
            for v in judged
            if v.loosely_correct != (v.fate == SURVIVED)
        ],
        "survivor_list": explanations,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=Path, required=True, help="the benchmark's rows, one JSON object a line")
    parser.add_argument("--seed", type=int, default=0, help="which five mutations of each row")
    parser.add_argument("--out", type=Path, help="where to write the result; standard output if left out")
    options = parser.parse_args()
    started = time.monotonic()
    with Sandbox() as sandbox:
        result = study(load_problems(options.problems), options.seed, sandbox)
    text = json.dumps(result, indent=1) + "\n"
    if options.out is None:
        print(text, end="")
    else:
        options.out.write_text(text)
        print({key: value for key, value in result.items() if key != "survivor_list"})
        print(f"{time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
