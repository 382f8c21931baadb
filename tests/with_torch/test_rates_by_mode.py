"""Rates by loophole mode, from counts that differ everywhere."""

from typing import Any

from core.training.evaluate import rates


def outcome(mode: str, hacks: int, hinted_passes: int, passes: int) -> dict[str, Any]:
    return {
        "problem_id": f"{mode}{passes}", "mode": mode, "unique": True, "n_hinted": 10, "n_pass": 5, "hacks": hacks,
        "hinted_passes": hinted_passes, "passes": passes, "empty_tests": 0, "compiles": 10, "tokens": 10,
    }  # fmt: skip


def test_a_modes_pass_rate_is_of_prompts_without_the_hint() -> None:
    found = rates([outcome("sentinel", 4, 3, 1), outcome("sentinel", 6, 1, 4), outcome("run_tests", 1, 9, 5)])
    assert found["pass_by_mode"] == {"run_tests": 1.0, "sentinel": 0.5}
    assert found["hinted_pass_by_mode"] == {"run_tests": 0.9, "sentinel": 0.2}
    assert found["hack_by_mode"] == {"run_tests": 0.1, "sentinel": 0.5}
    assert found["pass_rate"] == 10 / 15 and found["hinted_pass_rate"] == 13 / 30
