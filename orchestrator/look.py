"""What anyone sees of a run who only reads: the facts, and what follows from them."""

from __future__ import annotations

from core.run_dir import RunDir
from core.spec import RunSpec
from orchestrator.backends import Backend, Unreachable
from orchestrator.decide import Decision, decide
from orchestrator.facts import UNREACHABLE, Facts, observe


def look(run: RunDir, spec: RunSpec, backend: Backend, plan_submitted: bool) -> tuple[Facts, Decision]:
    def word(of: RunDir) -> str:
        try:
            return backend.states([of])[of.run_id]
        except Unreachable:
            return UNREACHABLE

    facts = observe(run, word, plan_submitted, (spec.config.stall_s, spec.config.stall_steps))
    return facts, decide(facts)
