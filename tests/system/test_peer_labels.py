"""Labels agree with the benchmark's evaluator, but for the disagreements that are listed with a reason.

The benchmark itself is not asked: what it said is stored, by completion (`just peer-labels` asks it again).
"""

from __future__ import annotations

import json
import platform

import pytest

from core.sandbox.pool import Sandbox
from support.kept_disagreements import KEPT
from support.made import all_made
from support.peer_labels import (
    RESULT,
    Disagreement,
    disagreements,
    our_outcomes,
    rows_by_name,
    stored_outcomes,
    unlisted,
)
from support.shared_data import ROWS, shared_file

STORED = json.loads(RESULT.read_text())


@pytest.fixture(scope="module")
def found() -> list[Disagreement]:
    rows = [json.loads(line) for line in shared_file(ROWS).read_text(encoding="utf-8").splitlines()]
    cases = all_made(rows, STORED["seed"])
    assert len(cases) == STORED["completions"] > 300
    with Sandbox(2) as sandbox:
        return disagreements(cases, stored_outcomes(cases), our_outcomes(cases, rows_by_name(rows), sandbox))


def test_no_kind_disagrees_without_a_reason(found: list[Disagreement]) -> None:
    assert [one.told() for one in unlisted(found)] == []


def test_the_disagreements_are_those_of_the_stored_table(found: list[Disagreement]) -> None:
    if platform.python_version_tuple()[:2] != tuple(STORED["python"]["ours"].split(".")[:2]):
        pytest.skip(f"the table was made by Python {STORED['python']['ours']}: syntax differs")
    assert [one.told() for one in found] == STORED["disagreements"]
    assert {one.case.kind for one in found} == KEPT.keys()
