"""A command looks at its plan once: the engine, the specs and the results are asked for once, and only when needed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from core.runs import durable
from orchestrator.backends.local import LocalQueue
from orchestrator.backends.words import WAITING
from orchestrator.queue.watch import is_running
from orchestrator.reading.status import plan_status
from orchestrator.report.gather import gather
from orchestrator.state.cost import cost
from orchestrator.state.observed_plan import ObservedPlan
from support.fake_home import FakeHome
from support.finished_runs import MATRIX, WORKS, Study, study

GATE = '[[gate]]\nname = "h4"\nrun = "vanilla-s41"\nmetric = "hack_rate"\nat_least = 0.3\nbefore = ["erase"]\n'
BUDGET = "[budget]\nper_hour = 3600\ncap = 1000000\n"


@pytest.fixture
def made(fake: FakeHome) -> Study:
    """With a gate and a cap; of erase one seed waits in the queue."""
    made = study(fake, MATRIX.replace("[[hypothesis]]", GATE + BUDGET + "[[hypothesis]]", 1))
    made.finish_all(without=("erase-s43",))
    made.plan.record_request("local", 1)
    made.run("erase-s43").submit("local")
    return made


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Looks by plan, questions to the engine, and reads of files that are there, by `RUN/FILE`."""
    seen: Counter[str] = Counter()
    look, ask, read = ObservedPlan.__init__, LocalQueue.states, durable.read_json

    def counted_look(self: ObservedPlan, plan: Any, *more: Any, **named: Any) -> None:
        seen[f"look {plan.plan_id}"] += 1
        look(self, plan, *more, **named)

    def counted_ask(self: LocalQueue, runs: list[Any]) -> dict[str, str]:
        seen["engine"] += 1
        return ask(self, runs)

    def counted_read(path: Path) -> Any:
        seen[f"{path.parent.name}/{path.name}"] += path.is_file()
        return read(path)

    monkeypatch.setattr(ObservedPlan, "__init__", counted_look)
    monkeypatch.setattr(LocalQueue, "states", counted_ask)
    monkeypatch.setattr(durable, "read_json", counted_read)
    return seen


def reads(counts: Counter[str], file: str) -> set[int]:
    return {n for name, n in counts.items() if name.endswith(f"/{file}") and n}


def test_a_report_looks_once(made: Study, counts: Counter[str]) -> None:
    report = gather(ObservedPlan(made.plan))
    assert report.cost and report.gates and any(row.blinded for row in report.runs)
    assert {n for name, n in counts.items() if name.startswith("look ")} == {1}
    assert counts[f"look {made.plan.plan_id}"] == 1 and counts["engine"] == 1
    assert reads(counts, "result.json") == {1}


def test_status_and_cost_share_a_look(made: Study, counts: Counter[str]) -> None:
    observed = ObservedPlan(made.plan)
    status = plan_status(observed, all_kinds=True)
    assert status["counts"]["queued"] == 1 and not is_running(made.plan.home)
    assert cost(observed)["spent"] == status["cost"]["spent"] > 0
    assert counts["engine"] == 1 and reads(counts, "result.json") == {1}


def test_every_run_is_observed_once_although_money_is_counted_before(
    made: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestrator.state import observed_plan

    seen: Counter[str] = Counter()
    observe = observed_plan.observe

    def counted(run: Any, *more: Any) -> Any:
        seen[run.run_id] += 1
        return observe(run, *more)

    monkeypatch.setattr(observed_plan, "observe", counted)
    observed = ObservedPlan(made.plan)
    assert observed.purse.cap is not None and observed.purse.spent > 0
    for run_id in made.plan.run_ids:
        observed.decision(run_id)
    assert set(seen.values()) == {1} and seen.keys() == set(made.plan.run_ids)


def test_an_engine_is_not_asked_about_what_is_done_or_was_never_submitted(made: Study, counts: Counter[str]) -> None:
    made.finish("erase-s43", *WORKS["erase"])
    observed = ObservedPlan(made.plan)
    assert {observed.state(i) for i in made.plan.run_ids} == {"done"}
    assert counts["engine"] == 0 and observed.unreachable == ""


def test_a_result_that_comes_meanwhile_is_seen(made: Study) -> None:
    observed = ObservedPlan(made.plan)
    run = made.run("erase-s43")
    assert observed.result(run.run_id) is None and observed.backend.states([run]) == {run.run_id: WAITING}
    made.finish("erase-s43", *WORKS["erase"])
    assert (observed.result(run.run_id) or {})["run_id"] == run.run_id
