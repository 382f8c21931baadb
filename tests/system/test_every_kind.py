"""Check, extract, steer, fit worked by the real worker: the same result as in process, and the figure it expected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.direction import directions
from support import in_process
from support.kind_runs import finished, log, planned

EXPECTED = {
    "check": "wrong 0/56 cells (112 gradings)  expect 0",
    "extract": "separation 1.00 (n 20 held-out pairs, gradient space)  expect > 0.90",
    "fit": "at most the longest step's",
    "steer": "exploit_rate_plus 0.00  expect well above base 0.00 and random 0.00",
}


@pytest.mark.parametrize("kind", EXPECTED)
def test_the_real_worker_leaves_the_same_result_and_says_what_it_expected(kind: str, tmp_path: Path) -> None:
    """Eval is worked by the real worker in test_eval_runs, in tests/process."""
    run, twin = (planned(tmp_path / folder / "runs", kind, kind) for folder in ("a", "b"))
    assert lasting(finished(run)) == lasting(in_process.attempt(twin) or {})
    assert EXPECTED[kind] in log(run)
    if kind == "extract":
        assert directions.read(run.direction_path)[1] == directions.read(twin.direction_path)[1]  # hash of V among it


def lasting(result: dict[str, Any]) -> dict[str, Any]:
    """Without what measures the machine."""
    kept = {name: value for name, value in result["metrics"].items() if not name.startswith(("seconds", "tokens_per"))}
    return result | {"metrics": kept}
