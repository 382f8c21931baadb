"""What `grpoq plan` says of a registered hypothesis's power: four lines of at most 80 columns."""

from __future__ import annotations

from core.statistics.power import Power


def power_lines(name: str, power: Power) -> list[str]:
    """`name`: the hypothesis, "H1". Shares of simulated matrices; docs/statistics.md says what follows from them."""
    design = power.design
    seeds = f"{design.seeds} seed" if design.seeds == 1 else f"{design.seeds} seeds"
    apart = f"seeds {100 * design.seed_sd:g} points apart (sd)"
    head = f"power {name}: {power.effect_points:g} points at alpha {power.alpha:g}, {seeds} x {design.samples} samples"
    problems = f"t-test over {design.problems} problems"
    differ, alarm = power.found_seeds_differ, power.false_alarm_seeds_differ
    return [
        f"{head:<58}  {'found':>7}  {'false alarm':>11}",
        _row(f"  {problems}, seeds alike", power.found.over_problems, power.false_alarm.over_problems),
        _row(f"  {problems}, {apart}", differ.over_problems, alarm.over_problems),
        _row(f"  t-test over {seeds}, {apart}", differ.over_seeds, alarm.over_seeds),
    ]


def _row(words: str, found: float | None, false_alarm: float | None) -> str:
    return f"{words:<58}  {_percent(found):>7}  {_percent(false_alarm):>11}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"
