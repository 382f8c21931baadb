"""The jail's claims and the hostile suite at each level, as an ordinary user and as root.

At each commit test_jail and test_hostile run as whoever runs them, the hostile suite at the best level alone. Here
some of the completions are tried one by one, and all of them at once.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.ordinary_user import house, pytest_as_user
from support.paths import REPO

AT_ONCE = "test_all_at_once_in_any_order_get_the_same_verdicts"
HOSTILE = ("tests/process/test_hostile.py", f"tests/system/test_hostile_all.py::{AT_ONCE}")
LEVELS = ("bubblewrap", "namespaces", "landlock")
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root starts tests as another user")


@pytest.fixture(scope="module")
def of_the_user() -> Iterator[Path]:
    with house() as folder:
        yield folder


def assert_passed(done: subprocess.CompletedProcess) -> None:
    assert done.returncode == 0 and "[100%]" in done.stdout, done.stdout + done.stderr
    assert "does not work here" not in done.stdout, done.stdout


def test_what_is_claimed_of_the_jail_holds_for_an_ordinary_user(of_the_user):
    assert_passed(pytest_as_user(of_the_user, "tests/process/test_jail.py", "tests/process/test_sandbox.py"))


@pytest.mark.parametrize("level", LEVELS)
def test_hostile_completions_get_what_they_deserve_from_an_ordinary_users_grader(level, of_the_user):
    assert_passed(pytest_as_user(of_the_user, *HOSTILE, level=level, timeout_s=1200))


@pytest.mark.parametrize("level", LEVELS[1:])
def test_hostile_completions_get_what_they_deserve_at_the_next_best_levels(level):
    command = [sys.executable, "-m", "pytest", "-p", "no:xdist", "-q", *HOSTILE]
    environment = {**os.environ, "GRPOQ_SANDBOX": level}
    assert_passed(subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True, check=False))
