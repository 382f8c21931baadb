"""A run of kind extract: the config's hack direction, saved, and whether it tells held-out pairs apart."""

from __future__ import annotations

from typing import Any

from core.attempt import Attempt, publishing, say, stopping_tick
from core.direction import directions
from core.direction.from_config import extraction, hack_pairs
from core.direction.separation import GATE
from core.model.policy import attached


def work(attempt: Attempt) -> dict[str, Any]:
    """Metrics: `separation`, the share of held-out pairs whose hack scores above its clean (a tie counts half);
    `threshold`, of sides on the right side of the midpoint; `auroc`; their n; and what the direction is.

    Nothing is kept on the way: a stopped extraction begins anew, and takes minutes even at 4 B parameters.
    """
    attempt.beat(0, "load")
    policy = attached(attempt.spec.config, attempt.spec.seed, stopping_tick(attempt))
    policy.refresh()
    pairs = hack_pairs(attempt)
    attempt.beat(0, "extract")
    found = extraction(policy, pairs.extract)
    attempt.beat(0, "judge held-out pairs")
    apart = found.separation(pairs.held_out)
    metrics = {
        "separation": apart.paired,
        "threshold": apart.threshold,
        "auroc": apart.auroc,
        "n_held_out": apart.n,
        "n_extract": len(pairs.extract),
        **found.about,
    }
    say(
        f"separation {apart.paired:.2f} (n {apart.n} held-out pairs, {metrics['space']} space)",
        apart.passed,
        f"> {GATE:.2f}",
        "V does not see the hack on this model, so train nothing on it. Try the other space, token = response_mean, "
        "another m or k (`python -m core.studies.direction_report` shows them side by side), or pairs that differ in "
        "less else",
    )
    with publishing(attempt, metrics, direction=attempt.run.direction_path.name) as result:
        directions.publish(found.tensors, attempt.run.direction_path, attempt.spec, policy, pairs.sets.asked)
        return result
