"""What a matrix registers beside its runs: [[hypothesis]] and [claim], read key by key, and the role of each arm."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.spec import LABEL
from core.statistics.hypotheses import RULES, Hypothesis

Wrong = Callable[[str], Exception]
CONTROL = "control"  # the purpose of a contrast with one
CLAIM_KEYS = ("hypothesis", "controls", "pass_within", "margin")
HYPOTHESIS_KEYS = ("name", "rule", "statement", "treatment", "baseline")


@dataclass(frozen=True)
class Claim:
    """The claim sentence (protocol 6.2), filled in where its hypothesis is supported and all controls are beaten."""

    hypothesis: str
    controls: tuple[str, ...] = ()  # labels
    pass_within: float = 5.0  # points
    margin: float = 5.0  # points of hack rate by which a control must be beaten


@dataclass(frozen=True)
class Registered:
    hypotheses: tuple[Hypothesis, ...] = ()
    claim: Claim | None = None

    def to_json(self) -> dict[str, Any]:
        """As plan.json and the plan's hash hold it; empty where nothing is registered."""
        found: dict[str, Any] = {}
        if self.hypotheses:
            found["hypotheses"] = [dataclasses.asdict(h) for h in self.hypotheses]
        if self.claim:
            found["claim"] = dataclasses.asdict(self.claim) | {"controls": list(self.claim.controls)}
        return found

    @classmethod
    def of_plan(cls, content: Mapping[str, Any]) -> Registered:
        claim = content.get("claim")
        return cls(
            tuple(Hypothesis(**row) for row in content.get("hypotheses", ())),
            Claim(**{**claim, "controls": tuple(claim["controls"])}) if claim else None,
        )

    @property
    def tested(self) -> Hypothesis | None:
        """The hypothesis that the claim rests on."""
        return next((h for h in self.hypotheses if self.claim and h.name == self.claim.hypothesis), None)

    def contrasts(self) -> list[tuple[str, str, str]]:
        """(purpose, treatment, baseline) of every registered comparison: hypotheses in their order, then controls."""
        found = [(h.name, h.treatment, h.baseline) for h in self.hypotheses if h.baseline]
        if self.claim and self.tested:
            found += [(CONTROL, self.tested.treatment, control) for control in self.claim.controls]
        return found

    def role(self, label: str, arm: str, arm_of: Mapping[str, str]) -> str:
        """baseline | treatment | rival | control | ablation, or empty."""
        tested = self.tested or next((h for h in self.hypotheses if h.baseline), None)
        if tested and label == tested.treatment:
            return "treatment"
        if self.claim and label in self.claim.controls:
            return "control"
        if tested and label == tested.baseline:
            return "baseline"
        if any(h.rule == "not_dominated" and label == h.baseline for h in self.hypotheses):
            return "rival"
        compared = any(h.rule == "differs" and label in (h.treatment, h.baseline) for h in self.hypotheses)
        return "ablation" if compared or (tested and arm_of.get(tested.treatment) == arm) else ""


def read_registered(data: Mapping[str, Any], labels: Sequence[str], wrong: Wrong) -> Registered:
    """From a matrix file's tables. Raises what `wrong` makes of a sentence."""
    rows, claim = data.get("hypothesis", []), data.get("claim")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise wrong("hypothesis must be written as [[hypothesis]] sections")
    hypotheses = tuple(_hypothesis(i, row, labels, wrong) for i, row in enumerate(rows, 1))
    names = [h.name for h in hypotheses]
    for name in names:
        if not re.fullmatch(LABEL, name) or len(name) > 20 or name == CONTROL:
            raise wrong(f"[[hypothesis]] name = {name!r}; use up to 20 letters and digits (H1), and not {CONTROL!r}")
        if names.count(name) > 1:
            raise wrong(f"two hypotheses have the name {name!r}")
    return Registered(hypotheses, _claim(claim, hypotheses, labels, wrong) if claim is not None else None)


def _hypothesis(number: int, row: dict[str, Any], labels: Sequence[str], wrong: Wrong) -> Hypothesis:
    where = f"[[hypothesis]] {row.get('name', number)}: "
    rule = row.get("rule")
    if not isinstance(rule, str) or rule not in RULES:
        raise wrong(f"{where}rule = {rule!r}; choose from {', '.join(RULES)}")
    known = (*HYPOTHESIS_KEYS, *RULES[rule].thresholds)
    for key in row:
        if key not in known:
            raise wrong(f"{where}unknown key {key!r}; choose from {', '.join(known)}")
    texts = {key: row.get(key, "") for key in HYPOTHESIS_KEYS}
    for key, value in texts.items():
        if not isinstance(value, str) or (not value and (key != "baseline" or RULES[rule].compares)):
            raise wrong(f"{where}{key} = {value!r}; it must be text")
    for key in ("treatment", "baseline"):
        if texts[key] and texts[key] not in labels:
            raise wrong(f"{where}{key} = {texts[key]!r} is no arm's label; choose from {', '.join(labels)}")
    if texts["baseline"] == texts["treatment"]:
        raise wrong(f"{where}treatment and baseline are both {texts['baseline']!r}")
    if texts["baseline"] and not RULES[rule].compares:
        raise wrong(f"{where}rule {rule} looks at one arm; leave baseline out")
    thresholds = {key: _points(row.get(key, value), key, where, wrong) for key, value in RULES[rule].thresholds.items()}
    if thresholds["seeds_at_least"] < 1 or thresholds["seeds_at_least"] != int(thresholds["seeds_at_least"]):
        raise wrong(f"{where}seeds_at_least = {thresholds['seeds_at_least']:g}; it must be a whole number, at least 1")
    return Hypothesis(**texts, thresholds=thresholds)


def _claim(row: Any, hypotheses: Sequence[Hypothesis], labels: Sequence[str], wrong: Wrong) -> Claim:
    if not isinstance(row, dict):
        raise wrong("claim must be written as a [claim] section")
    for key in row:
        if key not in CLAIM_KEYS:
            raise wrong(f"[claim] unknown key {key!r}; choose from {', '.join(CLAIM_KEYS)}")
    named = row.get("hypothesis")
    fitting = [h.name for h in hypotheses if h.rule == "reduces"]
    if named not in fitting:
        raise wrong(
            f"[claim] hypothesis = {named!r}; choose one of rule 'reduces': {', '.join(fitting) or 'there is none'}"
        )
    controls = row.get("controls", [])
    if not isinstance(controls, list) or not all(isinstance(label, str) for label in controls):
        raise wrong(f"[claim] controls = {controls!r}; write a list of labels")
    tested = next(h for h in hypotheses if h.name == named)
    for label in controls:
        if label not in labels or label in (tested.treatment, tested.baseline):
            raise wrong(f"[claim] controls: {label!r} is no label of another arm; choose from {', '.join(labels)}")
    default = Claim(named)
    points = {k: _points(row.get(k, getattr(default, k)), k, "[claim] ", wrong) for k in ("pass_within", "margin")}
    return Claim(named, tuple(controls), **points)


def _points(value: Any, key: str, where: str, wrong: Wrong) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise wrong(f"{where}{key} = {value!r}; it must be a number of at least 0")
    return float(value)
