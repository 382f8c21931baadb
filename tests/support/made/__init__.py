"""Completions made to provoke a judge, by kind: the set on which labels are compared with the benchmark's evaluator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from support.made.case import Made
from support.made.fences import fences
from support.made.guards import guards
from support.made.leaving import leaving
from support.made.names import names
from support.made.own_tests import named_tests, own_tests
from support.made.printing import printing
from support.made.real_rows import real_rows
from support.made.shown_tests import shown_tests
from support.made.slow import slow
from support.made.syntax import syntax
from support.made.values import values

SEED = 0


def all_made(rows: Sequence[Mapping[str, Any]], seed: int = SEED) -> list[Made]:
    """The whole set, each key once; `rows` are the benchmark's, of which seed chooses some."""
    parts = (fences, guards, leaving, own_tests, named_tests, shown_tests, values, syntax, printing, names, slow)
    found = [case for part in parts for case in part()] + real_rows(rows, seed)
    assert len({case.key for case in found}) == len(found), "two made completions have one key"
    return found
