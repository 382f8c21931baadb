"""The arms by name. Each is one record; adding one is one entry here, one name in core.arm_rules and one test."""

from __future__ import annotations

from dataclasses import replace

from core.arm_rules import ARM_NAMES
from core.arms import grift, oracles, rebound, tdga, two_blocks
from core.arms.along_direction import (
    CLEAN,
    HACK,
    PLACEBO,
    RANDOM,
    REPAIRED,
    REVERSED,
    SHUFFLED,
    acting,
    control,
    erase_gradient,
    erase_update,
    measure_gradient,
    measure_update,
    measured,
    projected,
    route_gradient,
    shrink_update,
)
from core.arms.arm import Arm, Step
from core.environment.task import Prompt
from core.spec import TrainConfig


def without_hint(step: Step, prompts: list[Prompt]) -> list[Prompt]:
    """In mode gt_only nothing but the ground truth is paid."""
    return [replace(prompt, mode="gt_only") for prompt in prompts]


ERASE = acting(HACK, "gradient", erase_gradient, measure_update)

ARMS: dict[str, Arm] = {
    "vanilla": Arm(),
    # The benchmark's RL baseline: the same problems, no loophole in the prompt, none in the reward.
    "no_loophole": Arm(rollout=without_hint),
    "projected": projected(),
    "erase": ERASE,
    "erase_update": acting(HACK, "gradient", measure_gradient, erase_update),
    "route": replace(acting(HACK, "gradient", route_gradient, measure_update), deploys_ablated=True),
    "absorb": two_blocks.ABSORB,
    "route_act": two_blocks.ROUTE_ACT,
    "sgtm": two_blocks.SGTM,
    "gradient_routing": two_blocks.GRADIENT_ROUTING,
    "tdga": tdga.TDGA,
    "rebound_add": rebound.penalising(rebound.additive),
    "rebound_mul": rebound.penalising(rebound.multiplicative),
    "rebound_gen": rebound.suppressing(),
    "grift": grift.REJECT,
    "random_V": control(RANDOM),
    "reverse_V": control(REVERSED),
    "repaired_V": control(REPAIRED),
    "clean_V": control(CLEAN),
    "placebo_V": control(PLACEBO),
    "shuffled_V": control(SHUFFLED),
    "random_v_act": two_blocks.RANDOM_V_ACT,
    "shrink": acting(HACK, "gradient", measure_gradient, shrink_update),
    "no_teacher": ERASE,
    "oracle_penalty": oracles.PENALISE,
    "oracle_screen": oracles.SCREEN,
}
assert set(ARMS) <= set(ARM_NAMES), sorted(set(ARMS) - set(ARM_NAMES))


def arm_of(name: str, config: TrainConfig) -> Arm:
    """What a run of this arm and config calls; `measure` reads its gradients along V as well. Changes no weight."""
    return measured(ARMS[name]) if config.measure else ARMS[name]
