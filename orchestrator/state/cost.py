"""What a plan costs: priced from measured seconds per step before it runs, and counted while it does.

Without a measured step of the same shape there is no price: figures from presets were wrong by a factor of five.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from core.runs.run_dir import RunDir
from core.spec import RunSpec
from orchestrator.refusal import Refused
from orchestrator.state.lifetimes import lifetimes, total_seconds
from orchestrator.state.observed_plan import ObservedPlan
from orchestrator.state.pace import (
    Fitted,
    Interval,
    Measured,
    fitted,
    measure,
    pace_of,
    pace_of_fits,
    run_seconds,
    shape,
)
from orchestrator.state.progress import steps_done
from orchestrator.store.home import Home
from orchestrator.store.plan_dir import all_plans, read_spec
from orchestrator.wording import duration, plural

ZERO = Interval(0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Estimate:
    """Seconds that runs still take, one after the other, and what could not be priced."""

    total: Interval
    longest: Interval
    sources: tuple[str, ...]
    unpriced: tuple[str, ...]  # run ids

    def box(self, slots: int) -> Interval:
        """Of a box that runs `slots` at a time: no shorter than the longest run."""
        shared = self.total.times(1 / slots)
        pairs = zip(_ends(shared), _ends(self.longest), strict=True)
        return Interval(*(max(pair) for pair in pairs))


class Prices:
    """Times measured in this home, by the shape of a step; of other kinds the whole run's, by kind and shape."""

    def __init__(self, home: Home) -> None:
        self._plans = all_plans(home)
        self._steps: dict[str, list[Measured]] = {}
        self._whole: dict[tuple[str, str], list[float]] = {}
        self._fits: list[Fitted] | None = None

    def remaining(self, spec: RunSpec, run: RunDir | None) -> tuple[Interval, str] | None:
        """Seconds and where they were measured; None: nothing like it has run here."""
        of = shape(spec.config)
        if spec.kind != "train":
            seconds = self._of_kind(spec.kind, of)
            return (Interval(min(seconds), sum(seconds) / len(seconds), max(seconds)), spec.kind) if seconds else None
        pace = pace_of(self._of_shape(of), spec.arm) or pace_of_fits(self._all_fits(), spec.config)
        if pace is None:
            return None
        return run_seconds(spec.config, pace, steps_done(run) if run else 0), pace.source

    def _of_shape(self, of: str) -> list[Measured]:
        if of not in self._steps:
            found = (measure(run, spec) for run, spec in self._runs("train", of))
            self._steps[of] = [m for m in found if m is not None]
        return self._steps[of]

    def _all_fits(self) -> list[Fitted]:
        """Of the home, older plans' first."""
        if self._fits is None:
            found = [fitted(run, spec) for run, spec in self._runs("fit")]
            self._fits = [fit for fit in reversed(found) if fit is not None]
        return self._fits

    def _of_kind(self, kind: str, of: str) -> list[float]:
        if (kind, of) not in self._whole:
            done = [run for run, _ in self._runs(kind, of) if run.has_result()]
            self._whole[kind, of] = [total_seconds(lifetimes(run)) for run in done]
        return self._whole[kind, of]

    def _runs(self, kind: str, of: str | None = None) -> Iterable[tuple[RunDir, RunSpec]]:
        """`of`: their shape; None: any."""
        for plan in self._plans:
            for row in plan.content["runs"]:
                if row["kind"] == kind and of in (None, row.get("shape")):
                    run = plan.home.run(row["run_id"])
                    try:
                        yield run, read_spec(run)
                    except Refused:
                        continue


def estimate(prices: Prices, runs: Sequence[tuple[RunSpec, RunDir | None]]) -> Estimate:
    total, longest = ZERO, ZERO
    sources: list[str] = []
    unpriced = []
    for spec, run in runs:
        found = prices.remaining(spec, run)
        if found is None:
            unpriced.append(spec.run_id)
            continue
        total += found[0]
        longest = Interval(*map(max, zip(_ends(longest), _ends(found[0]), strict=True)))
        sources += [] if found[1] in sources else [found[1]]
    return Estimate(total, longest, tuple(sources), tuple(unpriced))


def price(home: Home, content: dict[str, Any], specs: Sequence[RunSpec]) -> dict[str, Any]:
    """Hours and money of a plan that has not begun, low, mean and high."""
    found = estimate(Prices(home), [(spec, None) for spec in specs])
    hours = found.box(content["slots"]).times(1 / 3600)
    per_hour = content["budget"].get("per_hour")
    return {
        "box_hours": _row(hours) if found.sources else None,
        "money": _row(hours.times(per_hour)) if found.sources and per_hour is not None else None,
        "currency": content["budget"].get("currency", ""),
        "measured_from": list(found.sources),
        "unpriced": list(found.unpriced),
    }


def price_lines(price: dict[str, Any], probe_of: str, kinds: Collection[str] = ()) -> list[str]:
    """`probe_of`: what a probe would be planned of; empty: this is one. `kinds`: of the plan's runs."""
    if price["box_hours"] is None:
        hint = f"; to measure it:\n  grpoq plan {probe_of} --probe && grpoq submit && grpoq wait" if probe_of else ""
        hint = "; its fit run goes first and measures it (`grpoq cost`)" if "fit" in kinds else hint
        return [f"price: unknown, nothing of this shape has been measured in this home{hint}"]
    money = f", {_span(price['money'], price['currency'])}" if price["money"] else ""
    lines = [f"price: {_span(price['box_hours'], 'box hours')}{money}", f"  from {'; '.join(price['measured_from'])}"]
    if price["unpriced"]:
        lines.append(f"  without {len(price['unpriced'])} runs of kinds or shapes that were not measured yet")
    return lines


def cost(observed: ObservedPlan) -> dict[str, Any]:
    """Spent, and what the rest is expected to take."""
    plan, budget = observed.plan, observed.plan.budget()
    rows, left = [], []
    for run in plan.runs():
        seconds = total_seconds(observed.lifetimes(run))
        rows.append({"run_id": run.run_id, "hours": round(seconds / 3600, 4), "attempts": len(run.attempts())})
        if not run.has_result():
            spec = observed.spec(run.run_id)
            left += [(spec, run)] if spec else []  # a torn spec.json: `doctor` names it
    found = estimate(Prices(plan.home), left)
    hours = found.box(observed.slots).times(1 / 3600)
    money = observed.spent
    per_hour = budget.get("per_hour")
    left_money = _row(hours.times(per_hour)) if found.sources and per_hour is not None else None
    cap = budget.get("cap")
    return {
        "schema": 1,
        "plan": {"name": plan.content["name"], "hash": plan.content["hash"]},
        "spent_box_hours": round(observed.spent_hours, 4),
        "spent": None if money is None else round(money, 4),
        "left_box_hours": _row(hours) if found.sources else None,
        "left": left_money,
        "fits": _fits(money, left_money, cap),
        "measured_from": list(found.sources),
        "unpriced": list(found.unpriced),
        "budget": budget,
        "runs": rows,
    }


def _fits(spent: float | None, left: dict[str, float] | None, cap: float | None) -> bool | None:
    return None if spent is None or left is None or cap is None else spent + left["high"] <= cap


def cost_lines(answer: dict[str, Any]) -> list[str]:
    currency = answer["budget"].get("currency", "")
    lines = []
    for row in answer["runs"]:
        if row["attempts"]:
            lines.append(f"  {row['run_id']}  {duration(row['hours'] * 3600)}, {plural(row['attempts'], 'attempt')}")
    spent = f", {answer['spent']:.2f} {currency}".rstrip() if answer["spent"] is not None else ""
    lines.append(f"spent: {answer['spent_box_hours']:.2f} box hours{spent}")
    if answer["left_box_hours"] is None:
        open_runs = len(answer["unpriced"])
        lines.append(
            f"left: unknown, no step of the {open_runs} open runs was measured yet" if open_runs else "left: 0"
        )
    else:
        money = f", {_span(answer['left'], currency)}" if answer["left"] else ""
        lines.append(f"left: {_span(answer['left_box_hours'], 'box hours')}{money}")
        lines.append(f"  from {'; '.join(answer['measured_from'])}")
        if answer["unpriced"]:
            lines.append(f"  without {len(answer['unpriced'])} runs that nothing like was measured yet")
    cap = answer["budget"].get("cap")
    if cap is not None:
        fits = {None: "", True: ", all fits", False: ", THE REST MAY NOT FIT"}[answer["fits"]]
        lines.append(f"cap: {cap:g} {currency}".rstrip() + fits)
    return lines


def _ends(interval: Interval) -> tuple[float, float, float]:
    return interval.low, interval.mean, interval.high


def _row(interval: Interval) -> dict[str, float]:
    return {"low": round(interval.low, 4), "mean": round(interval.mean, 4), "high": round(interval.high, 4)}


def _span(row: dict[str, float], unit: str) -> str:
    return f"{_digits(row['mean'])} ({_digits(row['low'])} to {_digits(row['high'])}) {unit}".rstrip()


def _digits(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"
