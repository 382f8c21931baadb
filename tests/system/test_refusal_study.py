"""The other half of docs/mutations.md: right solutions that are refused, all rows again."""

import json

from core.sandbox.pool import Sandbox
from support import refusal_study
from support.paths import REPO
from support.stored_mutations import real_problems

STORED = json.loads((REPO / "docs" / "results" / "refused.json").read_text())


def test_the_study_of_right_solutions_gives_the_stored_refusals_again() -> None:
    with Sandbox() as sandbox:
        found = refusal_study.study(real_problems(), sandbox)
    assert found["refused"] == STORED["refused"]
    assert found["not_as_the_canonical"] == {} == STORED["not_as_the_canonical"]
    assert found["solutions"] == 80 and found["fewest_inputs_of_a_row"] >= 20
    assert refusal_study.UNKNOWN not in found["reasons"]
