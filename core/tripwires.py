"""When a run is not worth going on with: it stops, says the figure and the limit, and changes nothing by itself.

Each verdict is a pure function of the config and of rows as they stand on disk, attempts merged and nothing beyond the
present step, so that a resumed run trips where the unbroken one does. Limits are config fields; 0 or false: off.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any

from core.spec import TrainConfig

IN_A_ROW = 2  # steps over a limit that end a run

Row = dict[str, Any]

log = logging.getLogger(__name__)


class Tripwire(RuntimeError):
    """The run cannot be worth going on with. Worker exit code 82."""


def require_finite(step: int, loss: float | None, norm: float) -> None:
    """Raises Tripwire before any parameter has moved."""
    if not (is_finite(norm) and is_finite(loss)):
        raise Tripwire(f"step {step}: loss {loss}, gradient norm {norm}: not finite; {_way_out('another lr or dtype')}")


def diverged() -> Tripwire:
    """Of a policy that cannot be sampled: its last step was finite, and what it made of the weights is not."""
    return Tripwire(f"the policy's logits are not finite, its weights have diverged; {_way_out('a smaller lr')}")


def is_finite(value: float | None) -> bool:
    return value is None or math.isfinite(value)


def watches_steps(config: TrainConfig) -> bool:
    """Whether `check_step` has anything to look for: reading all rows again costs more, the longer a run is."""
    return bool(config.max_kl or config.max_lp_drop)


def check_step(rows: Sequence[Row], step: int, config: TrainConfig) -> None:
    """Raises Tripwire where the rows up to `step` show a runaway.

    A limit must be passed in two steps in a row: one outlying batch ends no run, and a policy that left is still gone
    a step later. Steps without the figure (every group tied) are passed over: they say nothing either way.
    """
    past = [row for row in rows if row["step"] <= step]
    if config.max_kl:
        _require_near_reference(past, config.max_kl)
    if config.max_lp_drop:
        for name in ("lp_s", "lp_t"):
            _require_likely(past, name, config.max_lp_drop)


def _require_near_reference(rows: Sequence[Row], limit: float) -> None:
    last = _known(rows, "kl")[-IN_A_ROW:]
    if len(last) == IN_A_ROW and all(kl > limit for _, kl in last):
        raise Tripwire(
            f"step {last[-1][0]}: kl = {last[-1][1]:.4g} nats a token, above max_kl = {limit:g} for {IN_A_ROW} steps "
            f"in a row; {_way_out('--set max_kl=LIMIT (0: off), a larger kl or a smaller lr')}"
        )


def _require_likely(rows: Sequence[Row], name: str, limit: float) -> None:
    """Mean log-probability of the students' own tokens (lp_s), of the teachers' (lp_t). What counts is the fall from
    the best step so far, because a model's usual level is its own."""
    known = _known(rows, name)
    last = known[-IN_A_ROW:]
    best_step, best = max(known, key=lambda pair: pair[1], default=(0, 0.0))
    if len(last) == IN_A_ROW and all(lp < best - limit for _, lp in last):
        raise Tripwire(
            f"step {last[-1][0]}: {name} = {last[-1][1]:.4g} nats a token, more than max_lp_drop = {limit:g} below its "
            f"best ({best:.4g} at step {best_step}) for {IN_A_ROW} steps in a row; "
            f"{_way_out('--set max_lp_drop=LIMIT (0: off), a larger kl or a smaller lr')}"
        )


def _known(rows: Sequence[Row], name: str) -> list[tuple[int, float]]:
    return [(row["step"], row[name]) for row in rows if row.get(name) is not None]


def check_evaluation(evals: Sequence[Row], step: int, config: TrainConfig) -> None:
    """Raises Tripwire where the evaluations up to `step` show nothing to learn from, or nothing that is left."""
    past = [row for row in evals if row["step"] <= step]
    if config.require_solves and past[-1]["step"] == 0:
        _require_solves(past[-1])
    require_not_collapsed(past, config.collapse_evals, config.steps)


def _require_solves(first: Row) -> None:
    """A base model that solves nothing leaves GRPO nothing but the loophole: its pass rate can never be matched."""
    if first["pass_rate"] or first["hinted_pass_rate"]:
        return
    raise Tripwire(
        f"step 0: pass_rate = 0 of {first['n_pass']} without the hint and hinted_pass_rate = 0 of {first['n_hinted']} "
        f"with it, where require_solves wants one solved (compiles {first['compile_rate']:.2f}, "
        f"{first['mean_tokens']:.0f} tokens a completion); "
        f"{_way_out('another model, a larger max_new, more eval_problems, or --set require_solves=false')}"
    )


def collapsed(rates: Row) -> bool:
    """Neither solves nor hacks: what is left when a policy writes empty or broken text, and what a low hack rate hides.

    From an evaluation's rates: it solves nothing with or without the hint and exploits nothing.
    """
    return not (rates["pass_rate"] or rates["hinted_pass_rate"] or rates["empty_test_rate"])


def require_not_collapsed(evals: Sequence[Row], in_a_row: int, steps: int) -> None:
    """Raises Tripwire after `in_a_row` collapsed evaluations of a policy that began better; 0: only warns."""
    found = [collapsed(row) for row in evals]
    if not found[-1] or found[0]:
        return
    last = evals[-1]
    words = (
        f"collapsed at step {last['step']}: it solves nothing and exploits nothing "
        f"(compiles {last['compile_rate']:.2f}, {last['mean_tokens']:.0f} tokens a completion)"
    )
    if in_a_row and all(found[-in_a_row:]) and len(found) > in_a_row and last["step"] < steps:
        raise Tripwire(
            f"{words}, {in_a_row} evaluations in a row (collapse_evals); a lower hack rate of this kind is no success; "
            f"{_way_out('--set collapse_evals=N (0: off), a smaller lr or grad_clip')}"
        )
    log.warning("%s", words)


def _way_out(change: str) -> str:
    return f"plan anew with {change}: a hyperparameter is never changed by itself, and a retry ends here again"
