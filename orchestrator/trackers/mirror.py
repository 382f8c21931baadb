"""From the files of a plan's runs into one tracker: every step once, whatever is killed.

The files are the truth and the tracker's copy can be made again, so nothing is ever continued: a run is mirrored by one
process from its first step on, or begun anew. When a run has ended and the tracker has closed it, with all of its steps
on disk, it is sealed, in a file that is written after that, and left alone from then on. A mirror that was killed so
repeats the runs that were under way, a few hundred rows each, and cannot double or lose one of them.

A tracker that cannot be rewound (W&B online) goes on after the last step that it has, and keeps what it was told first.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from core.runs import durable
from core.runs.run_dir import RunDir
from core.spec import RunSpec
from orchestrator.refusal import Refused
from orchestrator.state.decide import TERMINAL
from orchestrator.store.plan_dir import PlanDir, read_spec
from orchestrator.trackers import Card, Tracker
from orchestrator.trackers.curve import Point, curve, fingerprint, sizes

SCHEMA = 1
FOLDER = "mirror"  # of what is the mirror's own, in the tracker's directory


class Mirror:
    """One plan into one tracker. `one_pass` brings over what is new; `close` ends what is open, unsealed."""

    def __init__(self, tracker: Tracker, plan: PlanDir, folder: Path, health: bool, say: Callable[[str], None]) -> None:
        self.tracker, self.plan, self.health, self.say = tracker, plan, health, say
        self._state = folder / FOLDER / f"{plan.plan_id}.json"
        self._sealed: dict[str, str] = (durable.read_json(self._state) or {}).get("sealed", {})
        self._open: dict[str, list[Point]] = {}  # what the tracker has of the runs that this process has begun
        self._first: dict[str, int] = {}  # the step from which on the tracker takes them
        self._seen: dict[str, Any] = {}
        self.steps: dict[str, int] = {}  # by run, as far as any has some

    def one_pass(self, states: Mapping[str, str]) -> None:
        """`states`: of the plan's training runs. May raise what the tracker's library does."""
        for run_id, state in states.items():
            run, ended = self.plan.home.run(run_id), state in TERMINAL
            look = (ended, sizes(run))
            if self._seen.get(run_id) == look:
                continue
            try:
                spec = read_spec(run)
            except Refused as refusal:
                self.say(str(refusal))
            else:
                self._bring_over(run, spec, ended, state != "done")
            self._seen[run_id] = look

    def _bring_over(self, run: RunDir, spec: RunSpec, ended: bool, failed: bool) -> None:
        points, card = curve(run, spec.config, self.health, ended), _card(self.plan, spec)
        if not points:
            return
        self.steps[run.run_id] = len(points)
        if run.run_id not in self._open:
            if self._sealed.get(run.run_id) == fingerprint(points) and self.tracker.holds(card):
                return
            self._begin(card)
        elif self._differs(card, points):
            self._begin(card)
        shown = self._open[run.run_id]
        for point in points[len(shown) :]:
            if point.step >= self._first[run.run_id]:
                self.tracker.log(run.run_id, point.step, point.values)
            shown.append(point)
        if ended:
            self._seal(card, points, failed)
        else:
            self.tracker.flush(run.run_id)

    def _begin(self, card: Card) -> None:
        if self._sealed.pop(card.run_id, None):
            self._save()  # before what it vouches for goes
        self._first[card.run_id] = self.tracker.begin(card)
        self._open[card.run_id] = []

    def _differs(self, card: Card, points: list[Point]) -> bool:
        """Whether steps that the tracker has came out otherwise when they were repeated, and can be taken back."""
        shown = self._open[card.run_id]
        other = next((new.step for new, old in zip(points, shown, strict=False) if not new.same(old)), None)
        if other is None:
            return False
        what = f"{card.name}: step {other} came out otherwise when it was repeated"
        if self.tracker.rewinds:
            self.say(f"{what}; its curve is begun anew")
            return True
        self.say(f"{what}; the tracker keeps what it was told first")
        self._open[card.run_id] = points[: len(shown)] + shown[len(points) :]
        return False

    def _seal(self, card: Card, points: list[Point], failed: bool) -> None:
        del self._open[card.run_id]
        self.tracker.end(card.run_id, failed)
        self._sealed[card.run_id] = fingerprint(points)
        self._save()
        self.say(f"{card.name}: all of its {len(points)} steps")

    def _save(self) -> None:
        content = {"schema": SCHEMA, "plan": self.plan.plan_id, "sealed": self._sealed}
        durable.write_json(self._state, content)

    def close(self) -> None:
        """What is open is ended, not sealed: the next mirror begins it anew."""
        while self._open:
            self.tracker.end(self._open.popitem()[0])

    def forget(self) -> None:
        """After an error of the library's: whatever of the open runs it has is not to be relied on."""
        while self._open:
            with contextlib.suppress(*self.tracker.errors):
                self.close()
        self._seen.clear()


def _card(plan: PlanDir, spec: RunSpec) -> Card:
    identity = {
        "plan": plan.plan_id, "plan_hash": spec.plan_hash, "preset": spec.preset, "label": spec.label, "arm": spec.arm,
        "seed": spec.seed, "why": spec.why, "resolve": spec.resolve, "snapshot": spec.snapshot,
    }  # fmt: skip
    name = f"{spec.label}-s{spec.seed}"
    return Card(spec.run_id, name, spec.label, plan.plan_id, spec.why, {**asdict(spec.config), **identity})
