"""Which arms there are by name, and what each needs of a config: checked when a plan is made, without loading torch."""

from __future__ import annotations

from core.environment.hints import TRAIN
from core.spec import TrainConfig

# The arms a plan may name; core.arms.ARMS holds what they do.
ARM_NAMES = (
    *("vanilla", "no_loophole"),
    *("projected", "erase", "erase_update", "route", "absorb", "route_act"),
    *("rebound_add", "rebound_mul", "rebound_gen", "tdga", "sgtm", "gradient_routing", "grift"),
    *("random_V", "reverse_V", "repaired_V", "clean_V", "placebo_V", "shuffled_V", "random_v_act"),
    *("shrink", "no_teacher"),
    *("oracle_penalty", "oracle_screen"),
)

# Arms that keep axes of their own and fill the columns of cin by themselves (core.arms.arm.Arm.has_axes); the first are
# treatments along the pairs' own V.
WITH_V_OF_PAIRS = ("projected", "erase", "erase_update", "route", "no_teacher", "shrink")
ARMS_WITH_V = (
    *WITH_V_OF_PAIRS,
    *("random_V", "reverse_V", "repaired_V", "clean_V", "placebo_V", "shuffled_V"),
)

SHUFFLED_REFUSED = (
    "shuffled_V needs space = 'activation': in gradient space V comes from the SVD of hack-minus-clean gradients D; "
    "swapping labels inside pairs only flips the signs of D's rows, which leaves its singular subspace as it is"
)
REPAIRED_REFUSED = (
    "repaired_V needs space = 'gradient' or 'update': an activation direction is a difference of means, which does not "
    "change when hacks are paired with other prompts' cleans"
)
ORACLE_ARMS = ("oracle_penalty", "oracle_screen")
_BLOCK_ARMS = ("absorb", "route_act", "random_v_act", "sgtm", "gradient_routing")


def arm_problem(arm: str, c: TrainConfig) -> str | None:
    """Why this arm cannot run with this config, or None."""
    if c.markers != TRAIN:
        return f"markers = {c.markers!r} are kept for evaluation; set it in the config of an eval job alone"
    if arm == "shuffled_V" and c.space != "activation":
        return SHUFFLED_REFUSED
    if arm == "repaired_V" and c.space == "activation":
        return REPAIRED_REFUSED
    if arm in _BLOCK_ARMS and c.adapter != "lora_blocks":
        return f"arm {arm} needs adapter = 'lora_blocks', not {c.adapter!r}: it masks a deployed and a quarantine block"
    if arm == "route" and c.adapter != "svd":
        return f"arm route needs adapter = 'svd', not {c.adapter!r}: it parks what it removes in dS_hack"
    if arm == "tdga" and c.adapter not in ("lora", "lora_frozen_a"):
        return f"arm tdga needs adapter = 'lora' or 'lora_frozen_a', not {c.adapter!r}: it acts on the output side of B"
    if arm == "projected" and c.lift == "subspace" and c.adapter not in ("lora", "lora_frozen_a"):
        return f"lift = 'subspace' needs adapter = 'lora' or 'lora_frozen_a', not {c.adapter!r}"
    if arm == "shrink" and c.space == "activation":
        return "shrink needs space = 'gradient' or 'update': it takes steps as long as erase_update's"
    if arm == "no_teacher" and c.mix:
        return f"no_teacher is erase without teacher rollouts, but mix = {c.mix}; give it config = {{ mix = 0 }}"
    if arm in ("rebound_add", "rebound_mul") and c.token == "prompt_last":
        return "token = 'prompt_last' gives a whole group one score, so rebound would do nothing; use 'rollout_last'"
    return None
