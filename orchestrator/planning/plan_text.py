"""What `grpoq plan` says of a plan before anything is queued: what runs, what it takes, and what it can decide."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from core.environment.audit import in_short
from core.environment.problems import LEAVE_OUT
from core.spec import RunSpec
from core.statistics.power import Power
from orchestrator.planning import judging_memory, power, reach, sizes_text
from orchestrator.planning.forecast import Needs


def lines(
    plan_id: str,
    content: Mapping[str, Any],
    specs: Sequence[RunSpec],
    needs: Needs,
    powers: dict[str, Power],
    width: int,
) -> list[str]:
    """`content`: as plan.json holds it; prices are another matter (orchestrator.state.cost)."""
    limits = [reach.Limit(**row) for row in content.get("reach", ())]
    return [
        *_head(plan_id, content, specs),
        *_rows(content, specs, width),
        *sizes_text.lines(content.get("gpu_memory", ())),
        judging_memory.sentence(content["slots"], [spec.config for spec in specs]),
        *needs.lines(),
        *(f"  {spec.run_id}{'' if spec.kind == 'train' else f'  ({spec.kind})'}" for spec in specs),
        *(f"gate {g['name']}: {g['run']} before {', '.join(g['before'])}" for g in content.get("gates", ())),
        *power.lines(powers),
        *reach.lines(limits, width),
    ]


def _head(plan_id: str, content: Mapping[str, Any], specs: Sequence[RunSpec]) -> Iterator[str]:
    config = next(spec.config for spec in specs if spec.kind == "train")
    yield f"plan {plan_id}  hash {content['hash'][:12]}  snapshot {content['snapshot']}"
    training = sum(spec.kind == "train" for spec in specs)
    others = f" and {len(specs) - training} of other kinds" if training < len(specs) else ""
    yield f"{training} training runs{others}, {content['slots']} at a time, {config.threads} threads each"
    shape = f"{config.steps} steps of {config.batch} rollouts on {config.device}"
    yield f"preset {content['preset']}: {config.model}, {shape}"


def _rows(content: Mapping[str, Any], specs: Sequence[RunSpec], width: int) -> list[str]:
    """How many rows there are, and which admit other answers; nothing of a plan without any."""
    rows = content.get("rows")
    if not rows:
        return []
    not_unique = next(spec.config.not_unique for spec in specs if spec.kind == "train")
    fate = "trained on and labelled as the benchmark does (--set not_unique=leave_out trains without them)"
    fate = "not trained on (not_unique = leave_out)" if not_unique == LEAVE_OUT else fate
    said = f"{in_short(rows['not_unique'], rows['count'])}{f'; {fate}' if rows['not_unique'] else ''}"
    return textwrap.wrap(said, width)
