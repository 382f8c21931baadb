"""Planning freezes everything, twice is once, and bad input leaves no trace."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from core.environment.pairs import AUTHORED
from core.runs import durable
from core.spec import RunSpec, TrainConfig
from orchestrator import cli
from orchestrator.planning import plan as planning
from orchestrator.planning.matrix import BUILT_IN, Arm, Job, Matrix, read_matrix
from orchestrator.planning.resolve import read_choices
from orchestrator.refusal import Refused
from orchestrator.store import snapshot
from orchestrator.store.home import Home
from orchestrator.store.plan_dir import choose_plan
from support.fake_home import FakeHome, tree

MATRIX = Matrix("mine", "smoke", (41, 42), (Arm("vanilla", "vanilla"), Arm("no_loophole", "no_loophole")))
runner = CliRunner()
ROW = {
    "id": 1, "prompt": [{"role": "system", "content": "s"}, {"role": "user", "content": "u and should pass all tests"}],
    "answer": ["assert Solution().f(1) == 1"], "gt_answer": ["assert Solution().f(1) == 1"],
    "func_name": "Solution().f", "setup_code": "", "canonical_solution": "class Solution: ...",
}  # fmt: skip


@pytest.fixture
def source(fake: FakeHome, monkeypatch: pytest.MonkeyPatch) -> FakeHome:
    monkeypatch.setenv("GRPOQ_SOURCE", str(fake.source))
    return fake


def draft(matrix: Matrix = MATRIX, *overrides: str, **flags):
    flags = {"arms": None, "seeds": None, "slots": None, "problems": None} | flags
    return planning.draft_plan(matrix, read_choices(overrides=overrides, **flags))


def test_runs_start_in_seed_blocks(source: FakeHome) -> None:
    order = [(s.arm, s.seed) for s in draft().specs]
    assert order == [("vanilla", 41), ("no_loophole", 41), ("vanilla", 42), ("no_loophole", 42)]


def test_later_settings_win(source: FakeHome) -> None:
    matrix = Matrix("m", "smoke", (1,), (Arm("vanilla", "a", {"steps": 7, "lr": 0.5}),), config={"steps": 6, "kl": 0.0})
    config = draft(matrix, "steps=8").specs[0].config
    assert (config.steps, config.lr, config.kl, config.batch) == (8, 0.5, 0.0, 8)


@pytest.mark.parametrize("preset, threads", [("smoke", 1), ("nano", 1), ("fast", 4), ("full", 4)])
def test_threads_are_the_presets_whatever_machine_plans(
    source: FakeHome, monkeypatch: pytest.MonkeyPatch, preset: str, threads: int
) -> None:
    matrix, hashes = dataclasses.replace(MATRIX, preset=preset), set()
    for cores in (1, 2, 64):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, n=cores: set(range(n)))
        found = draft(matrix)
        hashes.add(found.content["hash"])
        assert {s.config.threads for s in found.specs} == {threads}
        assert any(f"x {threads} threads on the {cores} cores" in note for note in found.notes) == (threads > cores)
    assert len(hashes) == 1 and {s.config.threads for s in draft(matrix, "threads=3").specs} == {3}


def test_default_slots_fit_the_machine(source: FakeHome, monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, slots in ((1, 1), (2, 2), (16, 2)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, n=cores: set(range(n)))
        assert draft().content["slots"] == slots


def test_the_hash_covers_settings_and_not_the_code(source: FakeHome) -> None:
    first = draft()
    assert draft().content["hash"] == first.content["hash"]
    for other in (draft(MATRIX, "steps=3"), draft(seeds="41"), draft(arms="vanilla"), draft(MATRIX, "threads=2")):
        assert other.content["hash"] != first.content["hash"]
    assert draft(slots=1).content["hash"] == first.content["hash"]
    (source.source / "worker" / "new.py").write_text("x = 1\n")
    edited = draft()
    assert edited.content["snapshot"] != first.content["snapshot"]
    assert [s.run_id for s in edited.specs] == [s.run_id for s in first.specs]


def test_a_spec_on_disk_holds_every_field_and_reads_back(source: FakeHome) -> None:
    plan, is_new = planning.write_plan(source.home, draft())
    assert is_new
    for run, spec in zip(plan.runs(), draft().specs, strict=True):
        data = durable.read_json(run.spec_path)
        assert set(data["config"]) == set(TrainConfig.__dataclass_fields__)
        assert RunSpec.from_json(data) == spec
        assert set(data["versions"]) == {"torch", "transformers", "peft", "numpy", "python"} and all(
            data["versions"].values()
        )


def test_planning_twice_adds_nothing_and_keeps_the_first_snapshot(source: FakeHome) -> None:
    first, _ = planning.write_plan(source.home, draft())
    before = tree(source.home.path)
    (source.source / "worker" / "new.py").write_text("x = 1\n")
    second, is_new = planning.write_plan(source.home, draft())
    assert not is_new and second.content == first.content
    assert tree(source.home.path) == before


def test_planning_again_with_other_slots_is_the_same_plan(source: FakeHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2})
    first, _ = planning.write_plan(source.home, draft(slots=1))
    second, is_new = planning.write_plan(source.home, draft(slots=3))
    assert not is_new and second.plan_id == first.plan_id and (first.slots, second.slots) == (1, 3)
    third, _ = planning.write_plan(source.home, draft())  # none asked for: what was planned stays
    assert third.slots == choose_plan(source.home, None).slots == 3


def test_a_plan_that_died_half_way_is_completed(source: FakeHome) -> None:
    plan, _ = planning.write_plan(source.home, draft())
    (plan.path / "plan.json").unlink()
    lost = plan.runs()[1]
    lost.spec_path.unlink()
    lost.path.rmdir()
    again, is_new = planning.write_plan(source.home, draft())
    assert is_new and all(run.spec_path.is_file() for run in again.runs())


def test_commands_mean_the_plan_that_was_planned_last(source: FakeHome) -> None:
    one, _ = planning.write_plan(source.home, draft())
    os.utime(one.path / "plan.json", (1, 1))
    two, _ = planning.write_plan(source.home, draft(MATRIX, "steps=3"))
    assert choose_plan(source.home, None).plan_id == two.plan_id
    planning.write_plan(source.home, draft())
    assert choose_plan(source.home, None).plan_id == one.plan_id
    assert choose_plan(source.home, two.plan_id[:-2]).plan_id == two.plan_id


def test_a_snapshot_is_the_code_and_notices_an_edit(source: FakeHome) -> None:
    name = snapshot.content_hash(source.source)
    target = snapshot.freeze(source.source, source.home.snapshots, name)
    assert (target / "worker" / "__main__.py").read_bytes() == (source.source / "worker" / "__main__.py").read_bytes()
    assert not (target / "worker" / "__main__.py").stat().st_mode & 0o222
    assert snapshot.mismatch(source.home.snapshots, name) is None
    (target / "core").chmod(0o755)
    (target / "core" / "spec.py").chmod(0o644)
    (target / "core" / "spec.py").write_text("edited\n")
    assert "has been changed" in (snapshot.mismatch(source.home.snapshots, name) or "")


def test_litter_does_not_change_the_hash(source: FakeHome) -> None:
    name = snapshot.content_hash(source.source)
    (source.source / "core" / "__pycache__").mkdir()
    (source.source / "core" / "__pycache__" / "x.cpython-311.pyc").write_bytes(b"x")
    (source.source / "core" / ".spec.py.swp").write_bytes(b"x")
    assert snapshot.content_hash(source.source) == name


def test_rows_are_copied_and_their_hash_is_in_the_spec(source: FakeHome, tmp_path: Path) -> None:
    from core.environment.problems import load_problems

    rows = tmp_path / "rows.jsonl"
    needed = 8 + 2  # of ten, two are held out, and a smoke or nano step asks at most eight
    rows.write_text("".join(json.dumps(ROW | {"id": i}) + "\n" for i in range(needed)))
    try:
        load_problems(rows)
    except ValueError as error:
        pytest.fail(f"the example row does not fit core.environment.problems: {error}")
    plan, _ = planning.write_plan(source.home, draft(problems=str(rows)))
    spec = RunSpec.from_json(durable.read_json(plan.runs()[0].spec_path))
    assert spec.config.problems == "rows"
    assert spec.config.problems_sha256 == hashlib.sha256(rows.read_bytes()).hexdigest()
    assert plan.runs()[0].problems_path.read_bytes() == rows.read_bytes()


def test_a_fit_knows_how_many_rows_the_evaluations_will_decode(source: FakeHome) -> None:
    jobs = (Job("fit", "fit"), Job("eval", "eval", {"decode_rows": 40}))
    configs = {s.label: s.config for s in draft(dataclasses.replace(MATRIX, jobs=jobs)).specs}
    assert (configs["fit"].decode_rows, configs["fit"].eval_decode_rows) == (256, 40)
    assert {c.eval_decode_rows for label, c in configs.items() if label != "fit"} == {0}


def test_rows_too_few_for_one_step_are_refused(source: FakeHome, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps(ROW) + "\n")
    with pytest.raises(Refused, match="1 rows leave 0 to train on"):
        draft(problems=str(rows))


OPEN = "u and should pass all tests. If there are several answers, return any of them."


def rows_with_open_ones(path: Path, *not_unique: int) -> Path:
    """Ten rows, ids 0 to 9, of which 8 and 9 are held out."""
    texts = {i: OPEN if i in not_unique else ROW["prompt"][1]["content"] for i in range(10)}
    prompts = {i: [ROW["prompt"][0], {"role": "user", "content": text}] for i, text in texts.items()}
    path.write_text("".join(json.dumps(ROW | {"id": i, "prompt": prompts[i]}) + "\n" for i in range(10)))
    return path


def test_a_plan_names_the_rows_whose_answers_are_not_unique(
    source: FakeHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_with_open_ones(tmp_path / "rows.jsonl", 3, 9)
    plan, _ = planning.write_plan(source.home, draft(problems=str(rows)))
    assert plan.content["rows"]["count"] == 10
    assert [(row["id"], row["rule"], row["judged"]) for row in plan.content["rows"]["not_unique"]] == [
        ("3", "open", False), ("9", "open", False),
    ]  # fmt: skip
    monkeypatch.setenv("COLUMNS", "500")
    shown = runner.invoke(cli.app, ["plan", "smoke", "--problems", str(rows), "--arms", "vanilla", "--dry-run"]).stdout
    assert "2 of 10 rows admit other answers than the listed one: 3 (no checker), 9 (no checker)" in shown


def test_rows_left_out_of_training_are_missed_when_the_plan_is_made(source: FakeHome, tmp_path: Path) -> None:
    rows = str(rows_with_open_ones(tmp_path / "rows.jsonl", *range(8)))
    draft(MATRIX, problems=rows)
    with pytest.raises(Refused, match="10 rows leave 0 to train on"):
        draft(MATRIX, "not_unique=leave_out", problems=rows)


def test_a_lost_run_directory_is_written_again(source: FakeHome) -> None:
    plan, _ = planning.write_plan(source.home, draft())
    lost = plan.runs()[0]
    before = lost.spec_path.read_bytes()
    shutil.rmtree(lost.path)
    planning.write_plan(source.home, draft())
    assert lost.spec_path.read_bytes() == before


def test_a_cuda_preset_is_plannable_on_any_box(source: FakeHome) -> None:
    found = draft(Matrix("f", "full", (41,), (Arm("vanilla", "vanilla"),)))
    assert found.specs[0].config.device == "cuda" and "--problems" in found.notes[0]


@pytest.mark.parametrize(
    "overrides, flags, words",
    [
        (["steps=many"], {}, ["steps", "'many'", "whole number"]),
        (["stepz=3"], {}, ["stepz", "steps"]),
        (["steps"], {}, ["key=value"]),
        (["model=./nowhere"], {}, ["model", "./nowhere"]),
        (["problems_sha256=00"], {}, ["problems_sha256", "--problems"]),
        ([], {"arms": "erasse"}, ["erasse", "vanilla, no_loophole"]),
        ([], {"seeds": "41,x"}, ["--seeds", "41,x"]),
        ([], {"seeds": "41,41"}, ["41", "twice"]),
        ([], {"slots": 0}, ["--slots 0"]),
        ([], {"slots": 99999}, ["99999", "cores"]),
        ([], {"problems": "nowhere.jsonl"}, ["nowhere.jsonl"]),
        (["pairs=nowhere.jsonl"], {}, ["pairs = 'nowhere.jsonl'", "'authored'"]),
        (["pairs_sha256=00"], {}, ["pairs_sha256", "--set pairs=FILE"]),
        (["model_sha256=00"], {}, ["model_sha256", "--set model=DIR"]),
        (["teacher=nowhere.jsonl", "mix=0.5"], {}, ["teacher = 'nowhere.jsonl'"]),
        (["mix=0.5"], {}, ["mix = 0.5", "teacher"]),
        (["mix=1"], {}, ["mix = 1.0", "[0, 1)"]),
        (["gate=two_sided"], {}, ["gate", "one_sided, no_gate, reverse"]),
        (["held_out_mode=sentinel"], {}, ["held_out_mode", "sentinel", "modes"]),
        (["pair_modes=sentinal"], {}, ["sentinal", "pair_modes"]),
        (["layers_from=0.9", "layers_to=0.5"], {}, ["layers_from = 0.9"]),
    ],
)
def test_bad_choices_are_named(source: FakeHome, overrides: list[str], flags: dict, words: list[str]) -> None:
    with pytest.raises(Refused) as refused:
        draft(MATRIX, *overrides, **flags)
    assert refused.value.exit_code == 2
    for word in words:
        assert word in str(refused.value)


@pytest.mark.parametrize(
    "arm, config, words",
    [
        ("shuffled_V", {}, ["shuffled_V needs space = 'activation'", "singular subspace"]),
        ("repaired_V", {"space": "activation"}, ["difference of means"]),
        ("absorb", {}, ["lora_blocks"]),
        ("random_v_act", {}, ["lora_blocks"]),
        ("route", {}, ["dS_hack"]),
        ("tdga", {"adapter": "svd"}, ["tdga", "lora_frozen_a"]),
        ("projected", {"adapter": "svd", "lift": "subspace"}, ["subspace"]),
        ("rebound_mul", {"token": "prompt_last"}, ["one score"]),
        ("no_teacher", {"mix": 0.25, "teacher": "nano"}, ["mix = 0"]),
        ("shrink", {"space": "activation"}, ["erase_update"]),
    ],
)
def test_an_arm_that_its_config_makes_meaningless_is_refused(
    source: FakeHome, arm: str, config: dict, words: list[str]
) -> None:
    with pytest.raises(Refused) as refused:
        draft(Matrix("m", "nano", (41,), (Arm(arm, arm, config),)))
    for word in [f"arm {arm}", *words]:
        assert word in str(refused.value)


def test_knobs_in_the_svd_basis_take_their_own_rate_unless_one_is_set(source: FakeHome) -> None:
    arms = (
        Arm("vanilla", "a", {"adapter": "svd"}),
        Arm("vanilla", "b", {"adapter": "svd", "lr": 0.5}),
        Arm("vanilla", "c"),
    )
    assert [s.config.lr for s in draft(Matrix("m", "full", (41,), arms)).specs] == [1e-3, 0.5, 7e-5]


def test_the_preregistered_matrix_has_its_fifteen_and_thirteen_runs(source: FakeHome) -> None:
    full = training("full")
    assert len(full) == 15 and full[0] == ("vanilla", 41)  # the H4 probe is the first
    assert {label for label, seed in full if seed == 43} == {"vanilla", "projected-m16", "rebound_mul"}
    configs = {s.label: s.config for s in draft(read_matrix(BUILT_IN / "full.toml")).specs}
    assert [configs[f"projected-{m}"].m for m in ("m8", "m16", "m32", "raw")] == [8, 16, 32, 0]
    off = configs["projected-m16-unpreserved"]
    assert not off.preserve_magnitude and dataclasses.replace(off, preserve_magnitude=True) == configs["projected-m16"]
    assert {c.space for c in configs.values()} == {"activation"} and configs["rebound_mul"].alpha == 2.0
    smaller = set(training("full13"))
    assert set(full) - smaller == {("shuffled_V", 41), ("projected-raw", 41)} and len(smaller) == 13


def training(name: str) -> list[tuple[str, int]]:
    specs = draft(read_matrix(BUILT_IN / f"{name}.toml")).specs
    return [(s.label, s.seed) for s in specs if s.kind == "train"]


@pytest.mark.parametrize("name", ["loo", "loo-full"])
def test_leave_one_mode_out_has_a_fold_for_each_mode(source: FakeHome, name: str) -> None:
    specs = [s for s in draft(read_matrix(BUILT_IN / f"{name}.toml")).specs if s.seed == 41]
    folds = {s.config.held_out_mode for s in specs} - {""}
    assert len(folds) == 4 and all(set(s.config.modes) == folds for s in specs)
    assert all(s.config.held_out_mode not in s.config.pair_modes for s in specs)


def test_arms_of_a_matrix_differ_only_in_what_their_entry_says(source: FakeHome) -> None:
    for name in ("nano", "controls", "full"):
        matrix = read_matrix(BUILT_IN / f"{name}.toml")
        configs = {s.label: dataclasses.asdict(s.config) for s in draft(matrix).specs}
        for arm in matrix.arms:
            changed = {k for k, v in configs[arm.label].items() if v != configs[matrix.arms[0].label][k]}
            assert changed <= set(arm.config) | set(matrix.arms[0].config), (name, arm.label)


def test_pairs_of_ones_own_are_copied_into_the_runs_and_hashed(source: FakeHome, tmp_path: Path) -> None:
    mine = tmp_path / "mine.jsonl"
    mine.write_text("".join(AUTHORED.read_text().splitlines(keepends=True)[:3]))
    arms = (Arm("erase", "erase", {"pairs": str(mine)}), Arm("vanilla", "vanilla"))
    plan, _ = planning.write_plan(source.home, draft(Matrix("m", "nano", (41,), arms)))
    by_label = {row["label"]: source.home.run(row["run_id"]) for row in plan.content["runs"]}
    assert by_label["erase"].pairs_path.read_bytes() == mine.read_bytes()
    assert not by_label["vanilla"].pairs_path.exists()
    config = (durable.read_json(by_label["erase"].spec_path) or {})["config"]
    assert config["pairs"] == "file" and config["pairs_sha256"] == hashlib.sha256(mine.read_bytes()).hexdigest()


def test_too_little_disk_and_a_network_home_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Refused, match="GB free"):
        Home(tmp_path).require_free_disk(1e9)
    monkeypatch.setattr("orchestrator.store.home.file_system", lambda _: "nfs4")
    with pytest.raises(Refused, match="network file system"):
        Home(tmp_path).require_writable()
