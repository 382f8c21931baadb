"""The table of states, a line per row; and that everything but the three ends has a way on."""

from __future__ import annotations

import itertools

import pytest

from orchestrator.backends.words import ENDED, RUNNING, UNKNOWN, UNREACHABLE, WAITING
from orchestrator.state.decide import ALWAYS, STATES, TERMINAL, THREE_TIMES, decide
from orchestrator.state.observed_run import Facts

TRIED = {"submission": 1, "attempt": 1, "backend": ENDED}


def err(kind: str) -> dict[str, str]:
    return {"class": kind, "message": "why"}


@pytest.mark.parametrize(
    "facts, state, note, due",
    [
        # 1: a result beats everything
        (Facts(has_result=True, alive=True, cancelled=True, error=err("code")), "done", "", ""),
        # 2: a living lease
        (Facts(**TRIED, alive=True, silent_s=1), "running", "", ""),
        (Facts(**TRIED, alive=True, silent_s=90), "running", "silent 1m", ""),
        (Facts(**TRIED, alive=True, silent_s=121), "running", "stalled 2m", "end"),
        (Facts(**TRIED, alive=True, silent_s=121, stall_limit_s=600), "running", "silent 2m", ""),
        (Facts(**TRIED, alive=True, silent_s=1, cancelled=True), "running", "cancelling", "stop"),
        (Facts(**TRIED, alive=True, silent_s=900, cancelled=True), "running", "stalled 15m", "end"),
        (Facts(submission=2, attempt=1, alive=True, backend=WAITING), "running", "", ""),  # adopted, not doubled
        (Facts(**TRIED, alive=True, silent_s=1, over_budget="spent"), "running", "stopping: budget", "end"),
        # 2b: a lease on a host that nobody here can look at
        (Facts(**TRIED, away="b", silent_s=1), "running", "on b", ""),
        (Facts(**TRIED, away="b", silent_s=121), "running", "on b, silent 2m", "take_over"),
        (Facts(**TRIED, away="b", silent_s=121, hold="budget: x"), "running", "on b, silent 2m; budget: x", ""),
        (Facts(submission=2, attempt=1, away="b", silent_s=121, backend=WAITING), "queued", "", ""),  # overtaken once
        (Facts(**TRIED, away="b", silent_s=1, cancelled=True), "running", "cancelling", ""),
        (Facts(**TRIED, away="b", silent_s=121, cancelled=True), "cancelled", "", ""),
        # 3: A stop request
        (Facts(**TRIED, cancelled=True), "cancelled", "", ""),
        (Facts(**TRIED, cancelled=True, error=err("stalled")), "cancelled", "", ""),
        (Facts(cancelled=True, plan_submitted=True), "cancelled", "", ""),
        (Facts(submission=1, cancelled=True, backend=WAITING), "cancelled", "", "withdraw"),
        (Facts(submission=1, cancelled=True, backend=RUNNING), "running", "cancelling", "withdraw"),
        (Facts(submission=1, attempt=1, cancelled=True, backend=RUNNING), "cancelled", "", ""),  # it has ended
        # 4: an error
        (Facts(**TRIED, error=err("code"), same_errors=1), "failed", "code", ""),
        (Facts(**TRIED, error=err("never heard of"), same_errors=1), "failed", "never heard of", ""),
        (Facts(**TRIED, error=err("stalled"), same_errors=3), "preempted", "stalled, retry 3 of 3", "submit"),
        (Facts(**TRIED, error=err("stalled"), same_errors=4), "failed", "stalled", ""),
        (Facts(**TRIED, error=err("preempted"), same_errors=99), "preempted", "preempted", "submit"),
        # 5: nobody answers
        (Facts(submission=1, backend=UNREACHABLE), "queued", "backend unreachable", ""),
        # 6: the backend says running, or a word of its own
        (Facts(submission=1, backend=RUNNING), "running", "starting", ""),
        (Facts(submission=1, backend="Locked"), "running", "starting (backend says 'Locked')", ""),
        # 7: it waits
        (Facts(submission=1, backend=WAITING), "queued", "", ""),
        (Facts(submission=1, backend=WAITING, hold="disk: full"), "queued", "disk: full", "withdraw"),
        # 8: it is gone
        (Facts(**TRIED), "preempted", "killed", "submit"),
        (Facts(**TRIED, saved=True), "preempted", "checkpoint saved", "submit"),
        (Facts(submission=1, lost=1, since_submission_s=5), "preempted", "submission 1 was lost", "submit"),
        (Facts(**TRIED, deaths_without_progress=2), "preempted", "killed", "submit"),
        (Facts(**TRIED, deaths_without_progress=3), "failed", "no_progress", "record_error"),
        (Facts(submission=6, backend=ENDED, lost=6), "failed", "no_progress", "record_error"),
        (Facts(**TRIED, oom="struck"), "preempted", "host_oom", "record_error"),
        (Facts(**TRIED, saved=True, over_budget="spent"), "failed", "budget", "record_error"),
        # 8b: no room or no money
        (Facts(**TRIED, hold="disk: full"), "preempted", "killed; disk: full", ""),
        (Facts(hold="budget: spent", plan_submitted=True), "planned", "budget: spent", ""),
        # 9: nothing was asked of it yet
        (Facts(gate="waits for h4", plan_submitted=True), "blocked", "waits for h4", ""),
        (Facts(), "planned", "", ""),
        (Facts(plan_submitted=True), "planned", "", "submit"),
    ],
)  # fmt: skip
def test_state_table(facts: Facts, state: str, note: str, due: str) -> None:
    decision = decide(facts)
    assert (decision.state, decision.note, decision.due) == (state, note, due)


@pytest.mark.parametrize(
    "kind", ["cuda_oom", "tripwire", "code", "data", "plan", "checkpoints", "budget", "no_progress"]
)
def test_these_errors_are_never_retried_by_themselves(kind: str) -> None:
    assert decide(Facts(**TRIED, error=err(kind), same_errors=1)).state == "failed"


@pytest.mark.parametrize("kind", ["stalled", "host_oom", "gpu_busy", "disk"])
def test_these_errors_are_retried_three_times(kind: str) -> None:
    found = [decide(Facts(**TRIED, error=err(kind), same_errors=n)).due for n in (1, 2, 3, 4)]
    assert found == ["submit", "submit", "submit", ""]


def test_lost_submissions_back_off_to_a_minute() -> None:
    waits = [decide(Facts(submission=n, backend=UNKNOWN, lost=n)).due_in_s for n in (1, 2, 3, 6, 7, 40)]
    assert waits == [1, 2, 4, 32, 60, 60]


def test_every_run_that_has_not_ended_has_a_way_on() -> None:
    """Of a submitted plan: something is due, or a process or an engine has the run in hand, or a gate is named."""
    options = itertools.product(
        (0, 2), (0, 1, 2), (False, True), (False, True), (None, *ALWAYS, *THREE_TIMES, "code"),
        (WAITING, RUNNING, ENDED, UNKNOWN, UNREACHABLE), (0, 3), ("", "h4"),
    )  # fmt: skip
    for submission, attempt, alive, cancelled, kind, word, deaths, gate in options:
        if alive and not attempt:
            continue
        facts = Facts(
            submission=submission, attempt=attempt, alive=alive, cancelled=cancelled, backend=word, gate=gate,
            error=err(kind) if kind else None, same_errors=1, deaths_without_progress=deaths, plan_submitted=True,
        )  # fmt: skip
        decision = decide(facts)
        in_hand = alive or word in (WAITING, RUNNING, UNREACHABLE) or decision.state == "blocked"
        assert decision.state in STATES
        assert decision.state in TERMINAL or decision.due or in_hand, facts
        assert not (decision.due == "submit" and alive), f"a second one beside a living one: {facts}"
        assert not (decision.due == "submit" and cancelled), f"revives a cancelled run: {facts}"
