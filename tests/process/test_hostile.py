"""Completions that attack the grader (tests/hostile) get the verdict they deserve, and nothing gets out.

After every case: no canary was touched, no process is left, no secret stands in a result, and the same sandbox still
knows right from wrong. What no canary watches (timing, the kernel's own state) is not shown to be closed.
"""

import re
import time

import pytest

from core.environment.code_blocks import extract_code
from hostile.arena import (
    AT_EACH_COMMIT,
    CASES,
    arena_among,
    canaries_listening,
    gets_what_it_deserves,
)
from hostile.case import TRUTH, TRUTH_PATTERN
from support.patience import patient


@pytest.fixture(scope="module")
def canaries():
    with canaries_listening() as canaries:
        yield canaries


@pytest.fixture(scope="module")
def arena(canaries):
    with arena_among(canaries) as arena:
        yield arena


@pytest.mark.parametrize("name", AT_EACH_COMMIT)
def test_a_hostile_completion_gets_what_it_deserves_and_nothing_gets_out(name, arena):
    gets_what_it_deserves(name, arena)


@pytest.mark.parametrize(
    "text", ["```" + " " * 40_000 + "`", "```" + "a" * 40_000 + "`", "```" + "a" * 40_000, "```\n" * 10_000]
)
def test_no_completion_keeps_the_search_for_code_busy(text):
    started = time.process_time()
    extract_code(text)
    assert time.process_time() - started < patient(0.5)


def test_the_suite_is_large_and_cannot_give_the_secret_away():
    assert len(CASES) >= 160
    assert not any(TRUTH in case.code for case in CASES.values())
    assert re.fullmatch(TRUTH_PATTERN, TRUTH) and not re.search(TRUTH_PATTERN, TRUTH_PATTERN)
