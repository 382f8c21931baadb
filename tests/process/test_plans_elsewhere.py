"""A plan is the same plan on every machine: cores, folders and caches are in no hash, and what is missing is said."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from core.runs import durable, versions
from core.runs.run_dir import RunDir
from orchestrator.planning.readiness import missing_here
from orchestrator.store.plan_dir import all_plans
from orchestrator.store.plan_hash import difference
from support.fake_home import REPO, FakeHome, tree
from support.model_folder import hub_copy_of_nano, indexed, nano_folder
from support.patience import patient
from support.stored_plans import old_home


def planned(fake: FakeHome, home: Path, cores: set[int], model: Path) -> dict:
    """By a command of its own, which sees these cores, its own caches and nothing of the hub's."""
    environment = fake.environment() | {"GRPOQ_HOME": str(home), "GRPOQ_CACHE": str(home / "cache")}
    environment |= {"HF_HOME": str(home / "hub"), "XDG_CACHE_HOME": str(home / "xdg")}
    command = [sys.executable, "-m", "orchestrator.cli", "plan", "gated", "--json"]
    command += ["--set", f"model={model}", "--set", "disk_floor_gb=0.01"]
    done = subprocess.run(
        command,
        cwd=home.parent,
        env=environment | {"PYTHONPATH": str(REPO)},
        capture_output=True,
        text=True,
        timeout=patient(60),
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    return json.loads(done.stdout)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="it takes two cores to lend one")
def test_one_core_or_two_and_whatever_folders_one_hash(fake: FakeHome, tmp_path: Path) -> None:
    cores = sorted(os.sched_getaffinity(0))
    found = []
    for name, lent in (("one", cores[:1]), ("other", cores[:2])):
        home = tmp_path / name / "home"
        home.mkdir(parents=True)
        found.append(planned(fake, home, set(lent), nano_folder(tmp_path / name / "model")))
    one, other = found
    assert (one["slots"], other["slots"]) == (1, 2) and one["hash"] == other["hash"]
    assert [row["run_id"] for row in one["runs"]] == [row["run_id"] for row in other["runs"]]


@pytest.fixture
def bare(fake: FakeHome, tmp_path: Path) -> FakeHome:
    """A machine without GPU and without a copy of any model of the hub's."""
    fake.env = {"HF_HOME": str(tmp_path / "hub"), "PATH": os.defpath}
    return fake


ROWS = ("--set", "disk_floor_gb=0.01", "--arms", "vanilla", "--seeds", "41")


def test_full_is_planned_where_nothing_of_it_is_and_submit_names_what_is_missing(bare: FakeHome) -> None:
    told = bare.grpoq("plan", "full", *ROWS).stderr
    assert "just download-model Qwen/Qwen3-4B" in told and "nvidia-smi shows no GPU" in told
    for run in (path for path in bare.home.runs.iterdir() if path.is_dir()):
        (run / "problems.jsonl").write_text("{}\n")  # that rows are missing is told before
    before = tree(bare.home.path)
    refused = bare.grpoq("submit", "--backend", "local", expect=2).stderr
    assert "just download-model Qwen/Qwen3-4B" in refused and "nvidia-smi shows no GPU" in refused
    assert tree(bare.home.path) == before


def test_what_has_arrived_is_missed_no_longer(bare: FakeHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare.grpoq("plan", "full", *ROWS)
    config = all_plans(bare.home)[0].runs()
    spec = durable.read_json(config[0].spec_path) or {}
    from core.spec import RunSpec

    wanted = [RunSpec.from_json(spec).config]
    tools = tmp_path / "tools"
    tools.mkdir()
    monkeypatch.setenv("PATH", f"{tools}:{os.defpath}")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    assert len(missing_here(wanted)) == 2
    (tools / "nvidia-smi").write_text("#!/bin/sh\necho 'GPU 0: a card (UUID: GPU-0)'\n")
    (tools / "nvidia-smi").chmod(0o755)
    snapshot = hub_copy_of_nano(tmp_path / "hub" / "hub", "Qwen", "Qwen3-4B")
    assert missing_here(wanted) == []
    indexed(snapshot, a="model.safetensors", b="model-2.safetensors")
    (found,) = missing_here(wanted)
    assert "model-2.safetensors" in found and "just download-model Qwen/Qwen3-4B" in found
    (tools / "nvidia-smi").write_text("#!/bin/sh\necho 'No devices were found'\nexit 6\n")
    assert len(missing_here(wanted)) == 2


def test_a_model_directory_that_moved_away_is_named(bare: FakeHome, tmp_path: Path) -> None:
    folder = nano_folder(tmp_path / "model")
    bare.grpoq("plan", "smoke", *ROWS, "--set", f"model={folder}")
    shutil.move(folder, tmp_path / "moved")
    refused = bare.grpoq("submit", "--backend", "local", expect=2).stderr
    assert f"model '{folder}': no such directory; put it there" in refused
    folder.symlink_to(tmp_path / "moved")
    bare.grpoq("submit", "--backend", "local")


def test_fewer_slots_are_fine_and_more_threads_than_cores_are_told(bare: FakeHome) -> None:
    cores = len(os.sched_getaffinity(0))
    told = bare.grpoq("plan", "smoke", *ROWS, "--slots", str(cores), "--set", f"threads={cores + 1}").stderr
    assert f"{cores} at a time x {cores + 1} threads on the {cores} cores" in told
    assert "wait for each other" in bare.grpoq("submit", "--backend", "local", "--slots", "1").stderr
    assert "plan again with --slots" in bare.grpoq("submit", "--slots", str(cores + 1), expect=2).stderr


def test_an_old_plan_runs_on_under_its_names(fake: FakeHome) -> None:
    """Its frozen code is given back by an amendment, as on a box that lost its snapshots; libraries are today's."""
    home = old_home(fake.home.path)
    for path in home.runs.glob("*/spec.json"):
        durable.write_json(path, (durable.read_json(path) or {}) | {"versions": versions.here()})
    plan = next(p for p in all_plans(home) if p.plan_id == "smoke-18f453")
    fake.grpoq(
        "amend", "--plan", plan.plan_id, "--code", "--reason", "its snapshots were lost", GRPOQ_SOURCE=str(fake.source)
    )
    fake.submit(plan)
    assert fake.wait(plan) == {"done"} and difference(plan) == ""
    assert isinstance(plan.runs()[0], RunDir) and plan.run_ids == ["vanilla-s41-c1f53d"]
