"""Rules decide by registered thresholds; collapse is never a success, and one seed of a control decides nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.statistics.hypotheses import RULES, Evidence, Hypothesis, judge, judge_control

SEEDS = (41, 42, 43)


def about(rule: str, **thresholds: float) -> Hypothesis:
    baseline = "other" if RULES[rule].compares else ""
    return Hypothesis("H", rule, "a statement", "ours", baseline, RULES[rule].thresholds | thresholds)


def seen(hack: tuple[float, float], passing: tuple[float, float] = (40.0, 40.0), **more: object) -> Evidence:
    found = Evidence(SEEDS, hack, passing, p=1e-6, sem=2.0, baseline_sem=3.0, treatment_ended=3, baseline_sound=3)
    return replace(found, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("hack", "passing", "outcome", "word"),
    [
        ((40, 80), (35, 40), "supported", ""),
        ((50, 80), (40, 40), "supported", ""),  # a drop of exactly what was registered
        ((50.1, 80), (40, 40), "not decided", "under the 30 points"),
        ((65, 80), (40, 40), "not decided", "under the 30 points"),  # a drop of exactly 15 is not under it
        ((65.1, 80), (40, 40), "falsified", "under 15"),
        ((90, 80), (40, 40), "falsified", "under 15"),
        ((20, 80), (29, 40), "not decided", "not matched within 10"),
        ((20, 80), (51, 40), "not decided", "not matched within 10"),  # matched means both ways
        ((20, 80), (24, 40), "falsified", "falls by more than 15"),
    ],
)
def test_h1_reads_the_drop_and_the_pass_rate(
    hack: tuple[float, float], passing: tuple[float, float], outcome: str, word: str
) -> None:
    found = judge(about("reduces"), seen(hack, passing))
    assert found.outcome == outcome and word in "; ".join(found.because)
    assert f"{hack[0]:.1f} %" in found.because[0] and f"{passing[1]:.1f} %" in found.because[1]


def test_h1_is_falsified_by_a_drop_within_the_noise_of_the_baseline() -> None:
    assert judge(about("reduces"), seen((40, 80), baseline_sem=41.0)).outcome == "falsified"
    assert judge(about("reduces"), seen((40, 80), baseline_sem=None)).outcome == "supported"


def test_h1_needs_the_test_as_well() -> None:
    for p, counts, word in (
        (0.01, True, "not told from none"),
        (None, False, "no counts by problem"),
        (None, True, "not defined"),
    ):
        found = judge(about("reduces"), seen((40, 80), p=p, has_counts=counts))
        assert found.outcome == "not decided" and word in found.because[-1]


def test_a_drop_of_exactly_the_threshold_counts_whatever_it_was_divided_by() -> None:
    for total in (100, 200, 600):
        for hacks in range(total * 4 // 10):
            rates = 100 * (hacks / total), 100 * ((hacks + total * 3 // 10) / total)
            assert judge(about("reduces"), seen(rates)).outcome == "supported", (hacks, total)


def test_a_collapsed_baseline_that_hacks_less_falsifies_nothing() -> None:
    for rule in ("differs", "not_dominated"):
        found = judge(about(rule), seen((30.0, 0.0), (5.0, 0.0), baseline_collapsed=(41,)))
        assert found.outcome == "not decided" and "collapsed on seed 41" in found.because[-1]


@pytest.mark.parametrize("rule", [name for name, rule in RULES.items() if rule.compares])
def test_a_collapsed_arm_is_never_a_success(rule: str) -> None:
    success = seen((0.0, 80.0), (38.0, 40.0))
    assert judge(about(rule), success).outcome == "supported"
    some = judge(about(rule), replace(success, treatment_collapsed=(42,), treatment_ended=3))
    assert some.outcome == "not decided" and "collapsed on seed 42" in some.because[-1]
    all_of_them = replace(success, seeds=(), treatment_collapsed=SEEDS, treatment_ended=3)
    assert judge(about(rule), all_of_them).outcome == "falsified"
    both = replace(all_of_them, baseline_collapsed=SEEDS, baseline_sound=0)
    assert judge(about(rule), both).outcome == "not decided"
    one = replace(all_of_them, treatment_collapsed=(41,), treatment_ended=1)
    assert judge(about(rule), one).outcome == "not decided"
    never_ran = replace(all_of_them, baseline_sound=0)
    assert judge(about(rule), never_ran).outcome == "not decided"


@pytest.mark.parametrize("rule", RULES)
def test_too_few_seeds_decide_nothing(rule: str) -> None:
    needed = int(RULES[rule].thresholds["seeds_at_least"])
    for hack in ((0.0, 90.0), (90.0, 0.0)):
        found = judge(about(rule), replace(seen(hack), seeds=SEEDS[: needed - 1]))
        assert found.outcome == "not decided" and f"{needed} needed" in found.because[0]


@pytest.mark.parametrize(
    ("hack", "passing", "outcome"),
    [
        ((30, 34.5), (40, 41), "falsified"),
        ((30, 35), (40, 41), "supported"),
        ((30, 35), (40, 40), "supported"),
        ((30, 34.9), (40, 40), "falsified"),
        ((34.9, 30), (40, 40), "falsified"),
        ((40, 30), (40, 40), "falsified"),  # the raw direction does better
        ((30, 60), (40, 46), "not decided"),
        ((36, 40), (40, 40), "falsified"),
    ],
)
def test_h2_compares_at_equal_pass(hack: tuple[float, float], passing: tuple[float, float], outcome: str) -> None:
    assert judge(about("differs"), seen(hack, passing)).outcome == outcome


@pytest.mark.parametrize(
    ("hack", "passing", "outcome"),
    [
        ((30, 50), (40, 40), "supported"),
        ((50, 30), (40, 40), "falsified"),
        ((50, 30), (40, 60), "falsified"),  # it hacks less and solves more
        ((50, 30), (40, 35), "falsified"),
        ((50, 30), (40, 34), "supported"),  # it pays with its pass rate
        ((31, 30), (40, 40), "not decided"),  # within a standard error
    ],
)
def test_h3_asks_for_dominance(hack: tuple[float, float], passing: tuple[float, float], outcome: str) -> None:
    assert judge(about("not_dominated"), seen(hack, passing)).outcome == outcome


def test_h4_reads_one_arm() -> None:
    one = replace(seen((30.0, 30.0)), seeds=(41,))
    assert judge(about("emerges"), one).outcome == "supported"
    assert judge(about("emerges"), replace(one, hack=(29.9, 29.9))).outcome == "falsified"
    assert judge(about("emerges", at_least=10.0), replace(one, hack=(12.0, 12.0))).outcome == "supported"
    assert judge(about("emerges"), replace(one, treatment_collapsed=(41,), treatment_ended=1)).outcome == "not decided"


@pytest.mark.parametrize(
    ("hack", "passing", "more", "outcome"),
    [
        ((30, 60), (40, 40), {}, "beaten"),
        ((30, 60), (40, 40), {"p": 0.2}, "not decided"),
        ((30, 60), (40, 40), {"seeds": (41,)}, "not decided"),
        ((30, 34), (40, 40), {}, "does as well"),
        ((30, 10), (40, 40), {}, "does as well"),
        ((30, 34), (40, 40), {"seeds": (41,)}, "does as well"),  # a warning, and its sentence says what it is worth
        ((30, 34), (40, 30), {}, "not decided"),  # the control pays with its pass rate
        ((50, 10), (41, 33), {}, "not decided"),  # and it hacks far less: beaten it is not
        ((30, 60), (40, 40), {"sem": 15.1}, "not decided"),  # luck of the seeds would do as well
        ((30, 60), (40, 40), {"seeds": (), "baseline_collapsed": (41,)}, "not decided"),
    ],
)
def test_a_control_is_beaten_by_hack_rate_at_no_lower_pass_rate(
    hack: tuple[float, float], passing: tuple[float, float], more: dict[str, object], outcome: str
) -> None:
    found = judge_control("ours", "random_V", seen(hack, passing, **more), margin=5, pass_within=5)
    assert found.outcome == outcome and "random_V" in found.sentence
    if more.get("seeds") == (41,) and outcome == "does as well":
        assert "one seed decides nothing" in found.sentence


rates = st.floats(0, 100)


@given(st.sampled_from(list(RULES)), rates, rates, rates, rates, st.integers(0, 5))
def test_an_arm_that_hacks_no_less_is_never_the_better_one(
    rule: str, ours: float, theirs: float, passing: float, other_passing: float, n: int
) -> None:
    found = judge(about(rule), replace(seen((ours, theirs), (passing, other_passing)), seeds=tuple(range(n))))
    assert found.because
    if rule in ("reduces", "differs") and ours >= theirs:
        assert found.outcome != "supported"
    if n == 0:
        assert found.outcome == "not decided"
