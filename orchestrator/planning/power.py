"""What a plan's registered tests can find, by simulation of its own numbers of problems, samples and seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.spec import RunSpec
from core.statistics.hypotheses import ALPHA
from core.statistics.power import Design, Power, power_of
from orchestrator.planning.power_text import power_lines
from orchestrator.store.preregistration import Registered


def powers(content: dict[str, Any], specs: Sequence[RunSpec]) -> dict[str, Power]:
    """By the name of each hypothesis that registers a drop. Those without a seed in both arms are left out."""
    found = {}
    for h in Registered.of_plan(content).hypotheses:
        effect = h.thresholds.get("drop_at_least")
        design = _design(h.treatment, h.baseline, specs, content.get("rows", {}).get("held_out"))
        if effect and design is not None and effect < 100 * design.baseline:
            found[h.name] = power_of(design, effect, ALPHA)
    return found


def _design(treatment: str, baseline: str, specs: Sequence[RunSpec], held_out: int | None) -> Design | None:
    """`held_out`: the problems that there are to evaluate on; None: not known yet, or nano's own."""
    trained = {
        label: {s.seed: s for s in specs if s.kind == "train" and s.label == label} for label in (treatment, baseline)
    }
    seeds = trained[treatment].keys() & trained[baseline].keys()
    if not seeds:
        return None
    run = trained[treatment][min(seeds)]
    evaluation = next((s for s in specs if s.kind == "eval" and s.of == run.run_id), run)
    asked = evaluation.config.eval_problems
    problems = asked if held_out is None else min(asked, held_out)
    return Design(problems, evaluation.config.eval_samples, len(seeds))


def lines(found: dict[str, Power]) -> list[str]:
    return [line for name, power in found.items() for line in power_lines(name, power)]
