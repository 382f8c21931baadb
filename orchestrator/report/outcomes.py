"""What is known of each planned training run: its row in the report, and its rates by problem.

A run counts where it finished, is of this plan, kept a row for every step, and no rule leaves it out. Every other one
stays in the table with the reason, so that no mean is taken over the survivors in silence.
"""

from __future__ import annotations

import statistics
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.runs.run_dir import RunDir
from core.spec import RunSpec
from core.statistics import comparison
from core.statistics.evaluations import Choice, Evaluation, Rates, choose
from core.tripwires import collapsed
from orchestrator.report.model import LAST_STEP, RATES, RunRow
from orchestrator.state.decide import Decision
from orchestrator.state.lifetimes import total_seconds
from orchestrator.state.observed_plan import ObservedPlan, gate_rows
from orchestrator.state.observed_run import exit_code
from orchestrator.state.progress import steps_done
from orchestrator.store.plan_dir import PlanDir, all_plans
from orchestrator.store.preregistration import Registered

IN_TRAINING = "result.json (last evaluation in training)"


@dataclass(frozen=True)
class Outcome:
    """A run's row, and behind it what contrasts are made of. Rates by problem are None where only totals are known."""

    row: RunRow
    spec: RunSpec | None
    finished: bool  # it has an outcome that may be read
    left_out: bool  # and would count, but for a rule of the plan
    hack: Rates | None
    passing: Rates | None
    metrics: list[dict[str, Any]]  # rows by step
    evals: list[dict[str, Any]]


@dataclass(frozen=True)
class Outcomes:
    plan: PlanDir
    observed: ObservedPlan
    registered: Registered
    evaluations: Choice
    runs: tuple[Outcome, ...]  # by label in the plan's order, then seed
    gates: list[dict[str, Any]]
    hidden: frozenset[str] = frozenset()  # labels whose outcomes were taken out

    def of(self, label: str) -> list[Outcome]:
        return [outcome for outcome in self.runs if outcome.row.label == label]

    @property
    def labels(self) -> list[str]:
        return list(dict.fromkeys(outcome.row.label for outcome in self.runs))


def read_outcomes(observed: ObservedPlan) -> Outcomes:
    """All of them; `redacted` takes out what is blinded."""
    plan = observed.plan
    registered = Registered.of_plan(plan.content)
    planned = [row for row in plan.content["runs"] if row["kind"] == "train"]
    labels = list(dict.fromkeys(row["label"] for row in planned))
    planned.sort(key=lambda row: (labels.index(row["label"]), row["seed"]))
    announced = {row["run_id"] for row in plan.content["runs"] if row["kind"] == "eval"}
    made = sorted(((p.content.get("created", 0.0), p.content["hash"]) for p in all_plans(plan.home)), reverse=True)
    newest_first = [plan.content["hash"], *(plan_hash for _, plan_hash in made)]
    chosen = _used(
        choose([plan.home.run(row["run_id"]) for row in planned], announced, newest_first), observed, announced
    )
    reader = _Reader(plan, observed, registered, chosen, {row["label"]: row["arm"] for row in planned})
    runs = tuple(reader.outcome(row) for row in planned)
    return Outcomes(plan, observed, registered, chosen, runs, gate_rows(observed))


def _used(found: Choice, observed: ObservedPlan, announced: set[str]) -> Choice:
    """Evaluations that the plan did not announce and that cover few of the finished runs are left aside."""
    finished = [row["run_id"] for row in observed.plan.content["runs"] if observed.state(row["run_id"]) == "done"]
    covered = sum(run_id in found.by_run for run_id in finished)
    registered = any(announced & set(evaluation.published_by) for evaluation in found.by_run.values())
    if registered or 2 * covered >= sum(observed.plan.rows()[i]["kind"] == "train" for i in finished):
        return found
    return Choice("", {}, {}, found.notes, found.measured)


@dataclass(frozen=True)
class _Reader:
    plan: PlanDir
    observed: ObservedPlan
    registered: Registered
    chosen: Choice
    arm_of: Mapping[str, str]  # by label

    def outcome(self, planned: dict[str, Any]) -> Outcome:
        run_id, label = planned["run_id"], planned["label"]
        run, spec, decision = self.plan.home.run(run_id), self.observed.spec(run_id), self.observed.decision(run_id)
        result = self.observed.result(run_id) or {}
        steps, evals = run.metrics(), run.evals()
        evaluation = self._evaluation(run_id, result)
        wrong = self._wrong(run, spec, result, decision, [row["step"] for row in steps])
        unlike = "" if wrong else self._unlike(evaluation)
        by_rule = "" if wrong or unlike else self._left_out(result)
        rule = unlike or by_rule
        finished = bool(result) and not wrong
        metrics = (evaluation.metrics if evaluation else result) if finished else {}
        hack, passing = (evaluation.hack_rates, evaluation.pass_rates) if finished and evaluation else (None, None)
        row = RunRow(
            run_id=run_id,
            label=label,
            arm=planned["arm"],
            seed=planned["seed"],
            state=decision.state,
            note=decision.note,
            role=self.registered.role(label, planned["arm"], self.arm_of),
            counted=finished and not rule,
            why_not=wrong or rule,
            blinded=False,
            source=f"eval/{evaluation.hash}.json" if evaluation else IN_TRAINING if result else "",
            rates={name: metrics.get(name) for name in RATES},
            bounds=_bounds(run_id, metrics, hack, passing),
            n_hinted=metrics.get("n_hinted"),
            n_pass=metrics.get("n_pass"),
            n_problems=len(hack) if hack else None,
            takeoff_step=result.get("takeoff_step") if finished else None,
            collapsed=_collapsed(evals, result, decision),
            hack_by_mode=metrics.get("hack_by_mode", {}),
            pass_by_mode=_pass_by_mode(metrics, passing),
            as_trained=_as_trained(metrics),
            unique={name: metrics["unique"].get(name) for name in RATES} if metrics.get("unique") else {},
            health={name: steps[-1].get(name) for name in LAST_STEP} if steps else {},
            steps=spec.config.steps if spec and decision.state == "done" else steps_done(run),
            steps_planned=spec.config.steps if spec else 0,
            attempts=len(run.attempts()),
            preemptions=preemptions(run),
            wall_s=round(total_seconds(self.observed.lifetimes(run)), 1) if run.attempts() else None,
            cost=self.observed.share(run),
            adapter_sha256=result.get("adapter_sha256", ""),
            snapshot=run.snapshot(),
        )
        return Outcome(row, spec, finished, finished and bool(by_rule), hack, passing, steps, evals)

    def _evaluation(self, run_id: str, result: dict[str, Any]) -> Evaluation | None:
        """Of the very weights that the result names."""
        found = self.chosen.by_run.get(run_id)
        if found is None or found.conditions.get("adapter_sha256") != result.get("adapter_sha256"):
            return None
        return found

    def _wrong(
        self, run: RunDir, spec: RunSpec | None, result: dict[str, Any], decision: Decision, steps: list[int]
    ) -> str:
        """Why nothing may be read from it; empty: nothing is wrong."""
        ours = self.plan.content["hash"]
        for name, found in (("spec.json", spec.plan_hash if spec else ours), ("result.json", result.get("plan_hash"))):
            if result and found != ours:
                return f"of another plan: its {name} says plan hash {str(found)[:12]}, this plan is {ours[:12]}"
        if result and result.get("run_id", run.run_id) != run.run_id:
            return f"its result.json is that of {result['run_id']}"
        if decision.state != "done":
            return f"not finished: {decision.state}{f', {decision.note}' if decision.note else ''}"
        if not result:
            return "its result.json is torn"
        planned = spec.config.steps if spec else result.get("steps", 0)
        if steps != list(range(1, planned + 1)):
            return f"it kept {len(steps)} metrics rows of {planned} steps: not read"
        return ""

    def _left_out(self, result: dict[str, Any]) -> str:
        collapsed = result.get("collapsed") and "collapsed" in self.plan.content["rules"]["exclude"]
        return "collapsed: left out by rule" if collapsed else ""

    def _unlike(self, evaluation: Evaluation | None) -> str:
        """Two protocols in one mean would be neither: beside evaluated runs the others are shown, and not counted."""
        if evaluation is None and self.chosen.by_run:
            return f"not evaluated by protocol {self.chosen.protocol} like the rest (`grpoq eval`)"
        return ""


def _collapsed(evals: list[dict[str, Any]], result: dict[str, Any], decision: Decision) -> bool | None:
    """A run that its tripwire ended collapsed as much as one that was let go on."""
    if result or decision.state != "failed":
        return result.get("collapsed")
    if (decision.error or {}).get("class") != "tripwire":
        return None
    known = [row for row in evals if row.get("pass_rate") is not None]
    return len(known) > 1 and collapsed(known[-1]) and not collapsed(known[0])


def preemptions(run: RunDir) -> int:
    """Attempts that were killed, or left on a notice, before the run was done."""
    found = 0
    for number in run.attempts():
        ended_well = run.has_result() and number == run.attempts()[-1]
        error = (run.error(number) or {}).get("class")
        if not ended_well and not run.is_alive(number):
            found += exit_code(run, number) in (None, 75) and error in (None, "preempted")
    return found


def seed_of(text: str) -> int:
    """Of a bootstrap: the same for the same run or contrast, whoever makes the report."""
    return zlib.crc32(text.encode())


def _bounds(
    run_id: str, metrics: dict[str, Any], hack: Rates | None, passing: Rates | None
) -> dict[str, tuple[float, float] | None]:
    found: dict[str, tuple[float, float] | None] = {}
    for name, n, by_problem in (("hack_rate", "n_hinted", hack), ("pass_rate", "n_pass", passing)):
        rate = metrics.get(name)
        if by_problem:
            found[name] = comparison.rate_bounds(by_problem, seed_of(f"{run_id} {name}"))
        else:
            found[name] = comparison.wilson_bounds(rate, metrics.get(n) or 0) if rate is not None else None
    return found


def _pass_by_mode(metrics: dict[str, Any], passing: Rates | None) -> dict[str, float]:
    """Without the hint. From the counts where there are some: files of before the two were told apart hold the rate
    under the hint by this name, and a result that has no counts is then not shown."""
    if passing is None:
        return metrics["pass_by_mode"] if "hinted_pass_by_mode" in metrics else {}
    by_mode: dict[str, list[float]] = {}
    for (_, mode), rate in sorted(passing.items()):
        by_mode.setdefault(mode, []).append(rate)
    return {mode: statistics.fmean(rates) for mode, rates in by_mode.items()}


def _as_trained(metrics: dict[str, Any]) -> dict[str, float | None]:
    """Of an arm with a quarantine: an evaluation keeps them apart, training's own rows by suffix."""
    if metrics.get("as_trained"):
        return {name: metrics["as_trained"].get(name) for name in RATES}
    found = {name: metrics.get(f"{name}_as_trained") for name in RATES}
    return found if any(value is not None for value in found.values()) else {}
