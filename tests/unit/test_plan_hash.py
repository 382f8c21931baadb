"""A plan's hash is of what the experiment registers, and can be computed again from what is stored, by its own rule."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.runs import durable
from core.runs.model_directory import content_sha256
from orchestrator.planning import plan as planning
from orchestrator.planning.matrix import Matrix, find_matrix, parse_matrix, read_matrix
from orchestrator.planning.resolve import Choices, read_choices
from orchestrator.store.plan_dir import PlanDir, all_plans, find_run, read_spec
from orchestrator.store.plan_hash import difference
from support.fake_home import FakeHome
from support.model_folder import edited, nano_folder
from support.stored_plans import OLD, model_at, old_home


@pytest.fixture
def source(fake: FakeHome, monkeypatch: pytest.MonkeyPatch) -> FakeHome:
    monkeypatch.setenv("GRPOQ_SOURCE", str(fake.source))
    return fake


def drafted(matrix: Matrix, *overrides: str) -> planning.Draft:
    return planning.draft_plan(matrix, read_choices(None, None, None, None, overrides))


def test_plans_of_schema_1_keep_verifying_by_their_own_rule(tmp_path: Path) -> None:
    plans = all_plans(old_home(tmp_path))
    assert sorted(plan.plan_id for plan in plans) == sorted(OLD) and all(p.content["schema"] == 1 for p in plans)
    assert [difference(plan) for plan in plans] == [""] * len(OLD)
    for plan in plans:
        assert [read_spec(run).run_id for run in plan.runs()] == plan.run_ids
        assert find_run(plan.home, plan.run_ids[0], plan.plan_id)[1].run_id == plan.run_ids[0]


def test_a_plan_of_schema_1_had_its_slots_in_the_hash(tmp_path: Path) -> None:
    plan = next(p for p in all_plans(old_home(tmp_path)) if p.plan_id.startswith("smoke-1"))
    durable.write_json(plan.path / "plan.json", plan.content | {"slots": 1})
    assert "what it holds has" in difference(next(p for p in all_plans(plan.home) if p.plan_id == plan.plan_id))


@pytest.mark.parametrize("name", ["full", "gated"])
def test_what_is_written_has_the_hash_that_was_planned(source: FakeHome, name: str) -> None:
    plan, _ = planning.write_plan(source.home, planning.draft_plan(read_matrix(find_matrix(name)), Choices()))
    assert plan.content["schema"] == 2 and difference(plan) == ""


# Of plan.json: what follows from the rest, or is this machine's and this moment's. `runs` and `gates` are hashed apart.
NOT_REGISTERED = {"hash", "snapshot", "created", "source", "rows", "slots", "runs", "gates", "gpu_memory", "reach"}


def test_whatever_else_a_plan_holds_is_in_its_hash(source: FakeHome) -> None:
    """A key that is added to plan.json is either registered, in HEAD, or it is named above."""
    plan, _ = planning.write_plan(source.home, planning.draft_plan(read_matrix(find_matrix("full")), Choices()))
    registered = set(plan.content) - NOT_REGISTERED
    assert registered >= {"budget", "rules", "hypotheses", "claim", "why", "resolve", "preregistered", "fallback_of"}
    for key in registered - {"schema"}:
        assert "what it holds has" in difference(PlanDir(plan.home, plan.path, plan.content | {key: "other"})), key


def edited_config(plan: PlanDir) -> str:
    spec = durable.read_json(plan.runs()[1].spec_path) or {}
    spec["config"]["lr"] = 1.0
    durable.write_json(plan.runs()[1].spec_path, spec)
    return f"spec.json of {plan.run_ids[1]} holds other numbers"


def edited_arm(plan: PlanDir) -> str:
    spec = durable.read_json(plan.runs()[0].spec_path) or {}
    durable.write_json(plan.runs()[0].spec_path, spec | {"arm": "erase"})
    return f"spec.json of {plan.run_ids[0]} names another run"


def edited_budget(plan: PlanDir) -> str:
    plan.content["budget"]["cap"] = 10_000
    return "what it holds has"


def edited_gate(plan: PlanDir) -> str:
    plan.content["gates"][0]["at_least"] = 0.01
    return "what it holds has"


def lost_spec(plan: PlanDir) -> str:
    plan.runs()[2].spec_path.unlink()
    return f"spec.json of {plan.run_ids[2]} is missing"


@pytest.mark.parametrize("edit", [edited_config, edited_arm, edited_budget, edited_gate, lost_spec])
def test_what_was_edited_after_the_lock_is_named(source: FakeHome, edit: Callable[[PlanDir], str]) -> None:
    plan, _ = planning.write_plan(source.home, drafted(read_matrix(find_matrix("gated"))))
    words = edit(plan)
    assert words in difference(plan)


# ---- paths


def test_a_model_directory_counts_by_its_contents(source: FakeHome, tmp_path: Path) -> None:
    matrix = parse_matrix('name = "m"\npreset = "smoke"\nseeds = [41]\n[[arm]]\nname = "vanilla"\n', "m")
    here, there = nano_folder(tmp_path / "here"), nano_folder(tmp_path / "far" / "there")
    (there / "README.md").write_text("a card says nothing of what is computed")
    one, other = (drafted(matrix, f"model={folder}") for folder in (here, there))
    assert one.plan_id == other.plan_id and one.specs[0].run_id == other.specs[0].run_id
    assert [d.specs[0].config.model for d in (one, other)] == [str(here), str(there)]
    assert one.specs[0].config.model_sha256 == content_sha256(there)
    assert difference(planning.write_plan(source.home, other)[0]) == ""
    elsewhere = nano_folder(tmp_path / "changed")
    edited(elsewhere / "generation_config.json", lambda content: content.update(temperature=0.5))
    changed = drafted(matrix, f"model={elsewhere}")
    assert changed.content["hash"] != one.content["hash"] and changed.specs[0].run_id != one.specs[0].run_id


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_every_file_that_makes_the_model_is_in_its_hash(tmp_path: Path, name: str) -> None:
    folder = model_at(tmp_path / "model")
    before = content_sha256(folder)
    (folder / "NOTES.txt").write_text("no part of it")
    assert content_sha256(folder) == before
    (folder / name).write_bytes((folder / name).read_bytes() + b" ")
    assert content_sha256(folder) != before
    (folder / name).rename(tmp_path / name)
    (folder / name).symlink_to(tmp_path / name)  # as the hub's cache has them
    assert content_sha256(folder) == content_sha256(Path(shutil.copytree(folder, tmp_path / "copy")))


def test_a_worker_refuses_a_model_that_is_not_the_registered_one(tmp_path: Path) -> None:
    from core.spec import resolve_config
    from worker.arithmetic import CannotHonour
    from worker.inputs import require_model

    folder = model_at(tmp_path / "model")
    settings: dict[str, Any] = {"model": str(folder), "model_sha256": content_sha256(folder)}
    require_model(resolve_config("smoke", settings))
    (folder / "model.safetensors").write_bytes(b"other weights")
    with pytest.raises(CannotHonour, match="the plan registered"):
        require_model(resolve_config("smoke", settings))
    config = resolve_config("smoke", settings)
    shutil.rmtree(folder)
    with pytest.raises(CannotHonour, match="put it back"):
        require_model(config)
