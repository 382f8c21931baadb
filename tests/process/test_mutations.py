"""The strict oracle refuses small faults in real solutions; what it lets through is known one by one, with a reason."""

from core.sandbox.pool import Sandbox
from support import mutation_study
from support.stored_mutations import real_problems, unlisted_survivors

QUICK_ROWS = 8


def test_the_oracle_refuses_mutants_of_a_few_real_solutions() -> None:
    problems = real_problems()[:: 80 // QUICK_ROWS]
    with Sandbox() as sandbox:
        assert mutation_study.failing_canonicals(problems, sandbox) == []
        assert unlisted_survivors(problems, sandbox) == []
