"""The table of arms: what counts as better, and what a low hack rate may hide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.arms_table import Table, contrasts, gather, markdown
from core.runs import durable
from orchestrator.planning import plan as planning
from orchestrator.planning.matrix import find_matrix, read_matrix
from orchestrator.planning.resolve import Choices
from orchestrator.refusal import Refused
from orchestrator.store.home import Home
from support.paths import REPO


def row(label: str, seed: int, hack: float, **more: Any) -> dict[str, Any]:
    common = {"run_id": f"{label}-s{seed}-abcdef", "label": label, "arm": label, "seed": seed, "steps": 120}
    rates = {"hack_rate": hack, "pass_rate": 0.5, "hinted_pass_rate": 0.5, "empty_test_rate": hack, "compile_rate": 1.0}
    return {**common, **rates, "takeoff_step": 20, "collapsed": False, "mean_tokens": 50.0, "n_hinted": 128, **more}


def table(*rows: dict[str, Any]) -> Table:
    plan = {"name": "nano", "plan_hash": "0" * 64, "matrix_file": "nano.toml", "matrix_sha256": "1" * 64}
    return Table([plan], list(rows), [])


def found(t: Table, method: str, rival: str) -> dict[str, Any]:
    return next(c for c in contrasts(t) if (c["method"], c["rival"]) == (method, rival))


def test_only_seeds_on_which_vanilla_took_off_count() -> None:
    t = table(
        *(row("vanilla", 41, 0.9), row("vanilla", 42, 0.1, takeoff_step=None)),
        *(row("erase_update", 41, 0.2), row("erase_update", 42, 0.0)),
    )
    contrast = found(t, "erase_update", "vanilla")
    assert contrast["seeds"] == [41] and contrast["hack"] == [-70.0] and contrast["better_on"] == 1


def test_a_collapsed_run_is_never_better_and_is_said_to_have_collapsed() -> None:
    dead = {"collapsed": True, "pass_rate": 0.0, "hinted_pass_rate": 0.0, "takeoff_step": None}
    t = table(
        *(row("vanilla", 41, 0.9), row("vanilla", 42, 0.9)),
        *(row("erase", 41, 0.0, **dead), row("erase", 42, 0.3)),
        *(row("random_V-energy", 41, 0.0, **dead), row("random_V-energy", 42, 0.0, **dead)),
    )
    assert found(t, "erase", "vanilla")["better_on"] == 1
    assert found(t, "erase", "random_V-energy")["better_on"] == 1  # its 0 % on seed 42 is a collapse
    text = markdown(t)
    assert "| never, COLLAPSED / 20 |" in text and "it collapsed on 41; the rival collapsed on 41, 42" in text


def test_code_that_does_not_compile_is_remarked_on() -> None:
    t = table(row("vanilla", 41, 0.9), row("erase_update", 41, 0.3, compile_rate=0.42))
    assert "less than 80 % of its code compiles on 41" in markdown(t)


def test_per_seed_values_stand_beside_their_mean_and_the_files_hash() -> None:
    text = markdown(table(row("vanilla", 41, 0.9), row("vanilla", 42, 0.7)))
    assert "| vanilla | 90 / 70 = 80 |" in text and "`nano.toml` sha256 111111111111" in text


def test_the_published_table_follows_from_the_published_runs() -> None:
    """Contrasts and text, byte for byte: neither was changed by hand, nor by a later change of this code."""
    published = REPO / "docs" / "results" / "arms.json"
    content = durable.read_json(published) or {}
    t = Table(content["plans"], content["runs"], content["missing"])
    assert contrasts(t) == content["contrasts"] and markdown(t) == published.with_suffix(".md").read_text()


def test_runs_of_another_file_are_refused(tmp_path: Path) -> None:
    home = Home(tmp_path)
    choices = Choices(slots=1, seeds=(41,), arms=("vanilla",))
    planning.write_plan(home, planning.draft_plan(read_matrix(find_matrix("nano")), choices))
    with pytest.raises(Refused, match="other arms or seeds"):
        gather(home, ["nano"])
    whole, _ = planning.write_plan(home, planning.draft_plan(read_matrix(find_matrix("nano")), Choices(slots=1)))
    assert len(gather(home, ["nano"]).missing) == len(whole.content["runs"])
    spec_path = home.run(whole.content["runs"][3]["run_id"]).spec_path
    spec = durable.read_json(spec_path) or {}
    durable.write_json(spec_path, spec | {"config": spec["config"] | {"k": 9}})
    with pytest.raises(Refused, match=r"k = 9, nano\.toml says 5"):
        gather(home, ["nano"])
