"""The plan's cap, held by reservation: what runs or waits counts as spent, at the upper end of its estimate.

Money is box time: hours in which any run of the plan lived, times the price per hour; a fallback spends from the cap
of the plan that it replaces. A run whose estimate does not
fit is not submitted; what runs is stopped, with a checkpoint, shortly before the cap. Reads only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from core.runs.run_dir import RunDir
from core.spec import RunSpec
from orchestrator.state.lifetimes import Span, busy_seconds, lifetimes
from orchestrator.state.pace import Fitted, Measured, fitted, measure, pace_of, pace_of_fits, run_seconds
from orchestrator.state.progress import steps_done
from orchestrator.store.plan_dir import PlanDir

LEAVING_S = 1.0  # from the stop request to the end of a process, beside two steps


class Purse:
    """One look at a plan's money; `reserve` as runs are submitted in the same pass. Without a cap it costs nothing."""

    def __init__(
        self,
        plan: PlanDir,
        specs: Sequence[tuple[RunDir, RunSpec]],
        slots: int,
        spent: float | None = None,  # where that has been counted already
    ) -> None:
        budget = plan.budget()
        self.cap: float | None = budget.get("cap")
        self.per_hour: float = budget.get("per_hour") or 0.0
        self.currency: str = budget.get("currency", "")
        self.slots = slots
        self._specs = {run.run_id: (run, spec) for run, spec in specs}
        self._reserved: dict[str, float] = {}  # seconds by run id
        self._measured: list[Measured] = []
        self._fits: list[Fitted] = []
        self.spent = 0.0
        if self.cap is None:
            return
        self.spent = (box_cost(plan) if spent is None else spent) or 0.0
        self._measured = [m for run, spec in specs if spec.kind == "train" and (m := measure(run, spec)) is not None]
        self._fits = [found for run, spec in specs if (found := fitted(run, spec)) is not None]

    def reserve(self, run_id: str) -> None:
        """It runs or waits: its remaining time is as good as spent."""
        if self.cap is not None:
            self._reserved[run_id] = self._remaining_s(run_id)

    def refusal(self, run_id: str) -> str:
        """Why this run may not be submitted as well; empty: it fits, or there is no cap."""
        if self.cap is None or run_id in self._reserved:
            return ""
        reserved = self._price(list(self._reserved.values()))
        with_it = self._price([*self._reserved.values(), self._remaining_s(run_id)])
        if self.spent + with_it + self._leaving() <= self.cap:
            return ""
        return (
            f"budget: spent {self.spent:.2f}, reserved {reserved:.2f}, this run {with_it - reserved:.2f}, "
            f"cap {self.cap:g} {self.currency}".rstrip()
            + "; `grpoq amend --reason WHY --cap N`"
        )

    def over(self) -> str:
        """Why what runs must stop now; empty: the cap is not reached."""
        if self.cap is None:
            return ""
        if self.spent + self._leaving() < self.cap:
            return ""
        return f"budget: {self.spent:.2f} of {self.cap:g} {self.currency}".rstrip() + " are spent"

    def _leaving(self) -> float:
        """What is still spent between the stop request and the end: a step, a checkpoint."""
        slowest = max((m.step_s[-1] for m in self._measured), default=0.0)
        return (LEAVING_S + 2 * slowest) / 3600 * self.per_hour

    def _price(self, seconds: Sequence[float]) -> float:
        """The longest that slots filled in any order can take (Graham 1969): sum / slots + (1 - 1 / slots) longest."""
        box = sum(seconds) / self.slots + (1 - 1 / self.slots) * max(seconds, default=0.0)
        return box / 3600 * self.per_hour

    def _remaining_s(self, run_id: str) -> float:
        """0 where no step of the plan was measured yet: then the stop at the cap is what holds it."""
        run, spec = self._specs[run_id]
        if spec.kind != "train":
            return 0.0
        pace = pace_of(self._measured, spec.arm) or pace_of_fits(self._fits, spec.config)
        return run_seconds(spec.config, pace, steps_done(run)).high if pace else 0.0


def spent_hours(plan: PlanDir, spans_of: Callable[[RunDir], list[Span]] = lifetimes) -> float:
    """Box hours of the plan, and of the plans that it is the fallback of: they spend from one cap."""
    spans = [span for p in (plan, *plan.predecessors()) for run in p.runs() for span in spans_of(run)]
    return busy_seconds(spans) / 3600


def box_cost(plan: PlanDir) -> float | None:
    """Money spent so far; None where the plan names no price."""
    per_hour = plan.budget().get("per_hour")
    return None if per_hour is None else spent_hours(plan) * per_hour
