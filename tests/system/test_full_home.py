"""A home on a file system that fills up: a sentence each time, nothing lost, and on it goes when there is room.

A real small tmpfs; where this user may not mount one, the tests say so.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.store.home import Home
from orchestrator.store.plan_dir import choose_plan
from support.fake_home import FakeHome, until

PLAN = ("plan", "smoke", "--arms", "vanilla", "--set", "disk_floor_gb=0", "--set", "steps=30", "--seeds", "41,42")


@pytest.fixture
def small(fake: FakeHome) -> Iterator[FakeHome]:
    place = fake.home.path / "small"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a tmpfs here: {mounted.stderr.decode().strip()}")
    fake.home = Home(place)
    yield fake
    fake.end_everything()
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(home: Home) -> Path:
    """Every block of it."""
    ballast = home.path / "ballast"
    descriptor = os.open(ballast, os.O_WRONLY | os.O_CREAT)
    with contextlib.suppress(OSError):
        while os.write(descriptor, bytes(4096)):
            pass
    os.close(descriptor)
    return ballast


def test_planning_on_a_full_disk_is_a_sentence_and_completes_with_room(small: FakeHome) -> None:
    ballast = fill(small.home)
    done = small.grpoq(*PLAN, expect=None)
    assert done.returncode in (1, 2) and "Traceback" not in done.stderr, done.stderr
    assert "No space left" in done.stderr or "disk is full" in done.stderr
    ballast.unlink()
    small.grpoq(*PLAN)
    small.grpoq("submit", "--backend", "local")
    assert "2 of 2 done" in small.grpoq("wait", "--timeout", "60").stdout


def test_submitting_to_a_full_disk_acknowledges_nothing_and_works_with_room(small: FakeHome) -> None:
    small.grpoq(*PLAN)
    ballast = fill(small.home)
    done = small.grpoq("submit", "--backend", "local", expect=None)
    assert done.returncode and "Traceback" not in done.stderr and "submitted" not in done.stdout
    assert small.grpoq("status").returncode == 0
    ballast.unlink()
    small.grpoq("submit", "--backend", "local")
    assert "2 of 2 done" in small.grpoq("wait", "--timeout", "60").stdout


def test_a_disk_that_fills_under_running_workers_loses_nothing(small: FakeHome) -> None:
    """Workers die of it, the watch goes on, and with room again every run ends by itself."""
    small.grpoq(*PLAN[:-1], "41,42,43", "--slots", "1")
    small.grpoq("submit", "--backend", "local", GRPOQ_FAKE_STEP_S="0.1")
    plan = choose_plan(small.home, None)
    first, *_ = plan.runs()
    until(lambda: len(first.metrics()) >= 3, "it trains")
    ballast = fill(small.home)
    until(lambda: not first.attempts() or not first.is_alive(first.attempts()[-1]), "the worker dies of it", 60)
    assert small.watch_pid() is not None
    ballast.unlink()
    small.grpoq("wait", "--timeout", "90", expect=None)
    for run in plan.runs():
        if not run.has_result():  # three deaths before a row count as no progress, and only a person may say go on
            small.grpoq("retry", run.run_id)
    assert "3 of 3 done" in small.grpoq("wait", "--timeout", "90").stdout
    assert [row["step"] for row in first.metrics()] == list(range(1, 31))
