"""Paths of files that are no part of the repository: benchmark rows, a recorded answer of pueue. Found here alone.

The variable GRPOQ_SHARED names their folder; by default it is `../shared` beside the checkout, or `shared` within it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.paths import REPO

VARIABLE = "GRPOQ_SHARED"
ROWS = "data/leetcode_medhard_80.jsonl"  # 80 of the benchmark's 119 test rows
PUEUE_STATUS = "fixtures/pueue_404_status.json"  # what `pueue status --json` of 4.0.4 printed


def shared_file(name: str) -> Path:
    """The file's path. Where it is missing the test is skipped; in CI, or where GRPOQ_SHARED is set, it fails."""
    named = os.environ.get(VARIABLE)
    folders = [Path(named).expanduser()] if named else [REPO.parent / "shared", REPO / "shared"]
    found = next((folder / name for folder in folders if (folder / name).is_file()), None)
    if found is None:
        sentence = f"{name} is not in {' or '.join(map(str, folders))}; set {VARIABLE} to the folder that holds it"
        (pytest.fail if named or os.environ.get("CI") == "true" else pytest.skip)(sentence)
    assert found is not None
    return found
