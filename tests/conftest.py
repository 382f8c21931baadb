"""Fixtures that several files use, and what every run records."""

import os

# Before torch is loaded: threads of two test processes on two cores spin against each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from support.durations import (
    pytest_addoption,
    pytest_runtest_logreport,
    pytest_runtest_makereport,
    pytest_runtest_protocol,
    pytest_terminal_summary,
)
from support.fake_home import fake

__all__ = [
    "fake",
    "pytest_addoption",
    "pytest_runtest_logreport",
    "pytest_runtest_makereport",
    "pytest_runtest_protocol",
    "pytest_terminal_summary",
]
