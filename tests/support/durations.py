"""CPU seconds of each test file, recorded at every run and held against the share that it was given.

CPU time of the test process and of the children that it has waited for, so a busy machine accuses nobody. A process
that outlives its parent (a watch, its workers) is not seen. Shares: tests/durations.json, written by
`--record-durations`.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from support.paths import TESTS

SHARES = TESTS / "durations.json"
GROWN, SLACK_S = 1.5, 5.0  # a file is past its share at 1.5 times and 5 s more
_spent: dict[str, float] = defaultdict(float)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--record-durations", action="store_true", help="write this run's CPU seconds as the files' shares"
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[Any]:
    before = _cpu_s()
    item.user_properties.append(("cpu_before", before))
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[pytest.TestReport]:
    report = yield
    if report.when == "teardown":
        before = next(value for name, value in item.user_properties if name == "cpu_before")
        report.user_properties = [("cpu_s", _cpu_s() - float(before))]
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """In the process that prints, also for reports of xdist's workers."""
    if report.when == "teardown":
        _spent[report.nodeid.partition("::")[0]] += sum(s for name, s in report.user_properties if name == "cpu_s")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if hasattr(config, "workerinput") or not _spent:
        return
    shares = json.loads(SHARES.read_text()) if SHARES.exists() else {}
    if config.getoption("--record-durations"):
        shares |= {file: round(spent, 1) for file, spent in _spent.items()}
        kept = {file: share for file, share in sorted(shares.items()) if (TESTS.parent / file).exists()}
        SHARES.write_text(json.dumps(kept, indent=1) + "\n")
    terminalreporter.write_line(f"CPU of tests: {sum(_spent.values()):.0f} s")
    for file, spent in sorted(_spent.items(), key=lambda pair: -pair[1]):
        if spent > GROWN * shares.get(file, 0.0) + SLACK_S:
            share = f"its share is {shares[file]:.0f} s" if file in shares else "it has no share yet"
            terminalreporter.write_line(
                f"PAST ITS SHARE: {file} took {spent:.0f} s of CPU, {share} (tests/durations.json)"
            )


def _cpu_s() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
