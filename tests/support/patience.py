"""How long a test waits before it calls something hung. On a busy machine things take long, and are not wrong."""

from __future__ import annotations

import os

PATIENCE = float(os.environ.get("GRPOQ_TEST_PATIENCE", 5))  # times what a quiet machine of two cores needs at most


def patient(seconds: float) -> float:
    return seconds * PATIENCE
