"""The mutation study of docs/mutations.md on all real rows, and its stored reasons."""

from core.sandbox.pool import Sandbox
from support import mutation_study
from support.mutation_study import SURVIVED, UNTOLD
from support.stored_mutations import STORED, real_problems, unlisted_survivors


def test_the_oracle_refuses_mutants_of_all_real_solutions_and_the_rest_once_an_input_tells_them() -> None:
    problems = real_problems()
    with Sandbox() as sandbox:
        assert mutation_study.failing_canonicals(problems, sandbox) == []
        assert unlisted_survivors(problems, sandbox) == []
        mutants = {(m.problem.problem_id, str(m.mutation)): m for m in mutation_study.mutants_of(problems, 0)}
        for found in STORED["survivor_list"]:
            if found["reason"] == UNTOLD:
                mutant = mutants[found["row"], found["mutation"]]
                call, answer = found["telling_input"], found["original_answers"]
                assert mutation_study.killed_with_added_case(mutant, call, answer, sandbox), found


def test_the_study_gives_the_stored_reasons_again() -> None:
    stored = {(found["row"], found["mutation"]): found for found in STORED["survivor_list"]}
    problems = [p for p in real_problems() if p.problem_id in {row for row, _ in stored}]
    with Sandbox() as sandbox:
        for verdict in mutation_study.verdicts(mutation_study.mutants_of(problems, STORED["seed"]), sandbox):
            if verdict.fate == SURVIVED:
                found = mutation_study.explained(verdict.mutant, sandbox)
                assert found.items() <= stored[found["row"], found["mutation"]].items()
