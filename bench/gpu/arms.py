"""Every arm in bf16 on the card: what was stopped and resumed must end in the bytes of what was not."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from bench.gpu.attempts import attempt, config_of, planned, weights_of
from bench.gpu.phase import Finding, Phase, Visit
from core.environment.rewards import Grade, GradeItem, grade
from core.sandbox.pool import Sandbox
from core.spec import TrainConfig

RUN = {
    "grad_checkpointing": True, "steps": 3, "checkpoint_every": 2, "eval_every": 3,
    "eval_problems": 1, "max_new": 8, "micro_batch": 4, "warmup": 1, "refresh": 2, "tdga_warmup": 1, "grift_sketch": 32,
    "disk_floor_gb": 0.01,
}  # fmt: skip
PAIRS = 4  # to extract from: as good as sixty for what is shown here
NEEDED_S = 6.0  # for one more arm


def work(visit: Visit) -> Finding:
    from core.arms import ARMS
    from core.environment import diagonal
    from core.environment.nano import pairs
    from core.training import step

    pairs.EXTRACT = PAIRS
    step.grade = _alternating
    diagonal.require_sound = lambda *_: None  # of the grader, before every run: nothing of the card
    names, failed, seconds = visit.sizes.arms or tuple(ARMS), {}, {}
    for arm in names:
        if visit.left() < NEEDED_S:
            break
        began = time.monotonic()
        config = config_of(arm, "smoke", **visit.of_the_machine, **RUN)
        try:
            failed |= _difference(visit, arm, config, visit.machine())
        except Exception as error:
            failed[arm] = f"{type(error).__name__}: {error}"[:300]
        seconds[arm] = round(time.monotonic() - began, 2)
    says = f"{len(seconds) - len(failed)} of {len(names)} arms end in the same bytes when stopped and resumed"
    if len(seconds) < len(names):
        says += f"; no time was left for {', '.join(names[len(seconds) :])}"
    if failed:
        says += f"; failed: {', '.join(failed)}"
    return Finding(len(seconds) == len(names) and not failed, says, {"failed": failed, "seconds": seconds})


def _alternating(items: Sequence[GradeItem], sandbox: Sandbox, full: bool) -> list[Grade]:
    """Every second completion solves: random weights write nothing that earns, and a tied group has no gradient."""
    grades = grade(items, sandbox, full=full)
    return [replace(g, compiles=bool(i % 2), gt_correct=bool(i % 2)) for i, g in enumerate(grades)]


def _difference(visit: Visit, arm: str, config: TrainConfig, machine: dict[str, str]) -> dict[str, str]:
    """By arm what is wrong; empty where nothing is."""
    unbroken, broken = (planned(visit.folder / "arms" / which / arm, arm, config) for which in ("unbroken", "broken"))
    attempt(unbroken, machine)
    attempt(broken, machine, stop_after=2)
    attempt(broken, machine)
    if not any(row["gn"] for row in unbroken.metrics()):
        return {arm: "no gradient came, so equal weights show nothing"}
    found = [weights_of(run)[:12] for run in (unbroken, broken)]
    return {} if found[0] == found[1] else {arm: f"adapter {found[0]} unbroken, {found[1]} resumed"}


ARMS_RESUMED = Phase("arms", 80, "sha256 equal, of every arm", work)
