"""What ends a run with exit 82: figures worked out by hand, and real runs that trip alike, broken or not."""

import logging
from pathlib import Path

import pytest

from core.spec import PRESETS, TrainConfig, resolve_config
from core.tripwires import Tripwire, check_evaluation, check_step, require_finite
from support import in_process

WAY_OUT = "plan anew with"


def steps(name: str, *values: float | None) -> list[dict]:
    return [{"step": number, name: value} for number, value in enumerate(values, 1)]


def trips(rows: list[dict], **limits: float) -> str:
    """What the last row says; empty where the run goes on."""
    try:
        check_step(rows, rows[-1]["step"], TrainConfig(**limits))
    except Tripwire as tripwire:
        return str(tripwire)
    return ""


@pytest.mark.parametrize(
    "kl, limit, ends",
    [
        ((0.1, 11.0, 12.0), 10.0, True),
        ((0.1, 11.0), 10.0, False),  # one outlying step
        ((11.0, 0.1, 12.0), 10.0, False),
        ((11.0, None, 12.0), 10.0, True),  # a step without a gradient says nothing either way
        ((10.0, 10.0), 10.0, False),  # at the limit is not above it
        ((0.1, 11.0, 12.0), 0.0, False),
    ],
)
def test_kl_ends_a_run_when_it_is_above_the_limit_twice_in_a_row(kl: tuple, limit: float, ends: bool) -> None:
    assert bool(trips(steps("kl", *kl), max_kl=limit)) is ends


@pytest.mark.parametrize("name", ["lp_s", "lp_t"])
@pytest.mark.parametrize(
    "lp, limit, ends",
    [
        ((-1.0, -0.5, -5.6, -5.7), 5.0, True),  # 5.1 and 5.2 under the best, -0.5
        ((-1.0, -0.5, -5.6, -5.4), 5.0, False),
        ((-6.6, -6.7, -6.6), 5.0, False),  # low from the first: its usual level
        ((-5.7, -5.6, -0.5), 5.0, False),  # the best comes last
        ((-1.0, -0.5, None, -5.6, None, -5.7), 5.0, True),
        ((-0.5, -9.0, -9.0), 0.0, False),
    ],
)
def test_log_probs_end_a_run_when_they_lie_below_their_best_twice_in_a_row(
    name: str, lp: tuple, limit: float, ends: bool
) -> None:
    assert bool(trips(steps(name, *lp), max_lp_drop=limit)) is ends


def test_the_sentence_names_figure_limit_step_and_the_way_out() -> None:
    for said, parts in (
        (trips(steps("kl", 0.1, 11.0, 12.5), max_kl=10.0), ("step 3", "kl = 12.5", "max_kl = 10")),
        (
            trips(steps("lp_t", -0.5, -6.0, -6.25), max_lp_drop=5.0),
            ("step 3", "lp_t = -6.25", "max_lp_drop = 5", "-0.5 at step 1"),
        ),
    ):
        for part in (*parts, WAY_OUT, "never changed by itself"):
            assert part in said


def test_rows_of_an_older_attempt_beyond_the_present_step_do_not_count() -> None:
    rows = steps("kl", 0.1, 0.2, 11.0, 12.0)
    check_step(rows, 3, TrainConfig(max_kl=10.0))
    with pytest.raises(Tripwire, match="step 4"):
        check_step(rows, 4, TrainConfig(max_kl=10.0))


def evaluation(step: int, plain: float = 0.0, hinted: float = 0.0, empty: float = 0.0) -> dict:
    rates = {"pass_rate": plain, "hinted_pass_rate": hinted, "empty_test_rate": empty, "n_pass": 32, "n_hinted": 16}
    return {"step": step, **rates, "compile_rate": 0.25, "mean_tokens": 9.0}


def test_a_base_model_that_solves_nothing_ends_the_run_before_its_first_step() -> None:
    wants = TrainConfig(require_solves=True)
    with pytest.raises(Tripwire, match=r"step 0.*0 of 32 without the hint.*0 of 16 with it.*plan anew with"):
        check_evaluation([evaluation(0, empty=1.0)], 0, wants)
    check_evaluation([evaluation(0, plain=0.1)], 0, wants)
    check_evaluation([evaluation(0, hinted=0.1)], 0, wants)
    check_evaluation([evaluation(0)], 0, TrainConfig())
    check_evaluation([evaluation(0, plain=0.1), evaluation(20)], 20, wants)  # later ones are collapse's to judge


def test_collapse_ends_a_run_after_that_many_evaluations_in_a_row(caplog: pytest.LogCaptureFixture) -> None:
    fell = [evaluation(0, plain=0.2), evaluation(20), evaluation(40), evaluation(60)]
    config = TrainConfig(collapse_evals=2)
    with caplog.at_level(logging.WARNING):
        check_evaluation(fell, 20, config)
    assert "collapsed at step 20" in caplog.text
    with pytest.raises(Tripwire, match=r"step 40.*2 evaluations in a row \(collapse_evals\)"):
        check_evaluation(fell, 40, config)
    check_evaluation(fell, 40, TrainConfig())
    check_evaluation([evaluation(0), *fell[1:]], 40, config)  # it never was any better
    check_evaluation([*fell[:2], evaluation(40, empty=0.1)], 40, config)


def test_a_loss_that_is_no_number_ends_a_run() -> None:
    require_finite(3, None, 1.0)
    for loss, norm in ((float("nan"), 1.0), (1.0, float("inf"))):
        with pytest.raises(Tripwire, match=r"step 3.*not finite.*plan anew with"):
            require_finite(3, loss, norm)


def test_presets_of_the_real_model_watch_and_the_small_ones_do_not() -> None:
    for name, watches in (("full", True), ("fast", True), ("nano", False), ("smoke", False)):
        config = PRESETS[name]
        assert (config.max_kl > 0, config.max_lp_drop > 0, config.require_solves) == (watches,) * 3


def test_a_kl_limit_without_a_measured_kl_is_refused() -> None:
    with pytest.raises(ValueError, match=r"max_kl = 4.0 with kl = 0"):
        resolve_config("full", {"kl": 0.0})
    assert resolve_config("full", {"kl": 0.0, "max_kl": 0.0}).kl == 0


# ---- real workers


@pytest.mark.parametrize("lr", ["1e4", "1e10"])  # the loss, or the logits of the next step, are no numbers
def test_weights_that_diverge_are_a_tripwire_and_not_a_crash(tmp_path: Path, lr: str) -> None:
    run = in_process.planned(tmp_path, "vanilla", lr=float(lr), warmup=0)
    with pytest.raises(Tripwire, match=r"not finite.*plan anew with"):
        in_process.attempt(run)
