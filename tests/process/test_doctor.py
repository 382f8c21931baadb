"""A home out of order: each finding is named with what helps, and the registry can be made again."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

from core.runs import durable
from orchestrator.store.registry import Registry
from orchestrator.tools.audit import audit
from support.fake_home import FakeHome, until


def findings(fake: FakeHome) -> list[str]:
    """Beside what it says of this machine's sandbox."""
    answer = json.loads(fake.grpoq("doctor", "--json", expect=None).stdout)
    return [sentence for sentence in answer["found"] if "judged code" not in sentence]


def index(path: Path) -> tuple[list, list]:
    with sqlite3.connect(path) as connection:
        plans = connection.execute("SELECT plan_id, plan_hash, snapshot, content FROM plan ORDER BY plan_id").fetchall()
        runs = connection.execute("SELECT run_id, plan_id, kind, label, arm, seed FROM run ORDER BY run_id").fetchall()
    return [(*row[:3], json.loads(row[3])) for row in plans], runs


def test_a_healthy_home_has_no_findings(fake: FakeHome) -> None:
    fake.planned()
    assert findings(fake) == []


def test_a_truncated_registry_is_named_and_made_again_from_the_files(fake: FakeHome) -> None:
    plan = fake.planned(seeds="41,42")
    fake.planned(seeds="43")
    before = index(fake.home.registry)
    fake.submit(plan)
    fake.wait(plan)
    until(lambda: fake.watch_pid() is None, "the watch has kept its events and left")
    registry = fake.home.registry
    for suffix in ("-wal", "-shm"):
        registry.with_name(registry.name + suffix).unlink(missing_ok=True)
    registry.write_bytes(registry.read_bytes()[:5000])
    assert any("damaged" in sentence and "--rebuild" in sentence for sentence in findings(fake))
    refused = fake.grpoq("plan", "smoke", "--set", "disk_floor_gb=0.01", "--seeds", "44", expect=2)
    assert "--rebuild" in refused.stderr and "Traceback" not in refused.stderr
    assert fake.grpoq("status").returncode == 0  # it reads the files alone
    fake.grpoq("doctor", "--rebuild", expect=None)
    assert index(registry) == before and findings(fake) == []
    assert len(list(fake.home.path.glob("jobs.sqlite.aside-*"))) == 1
    run = plan.runs()[0]
    told = [(e.what, e.attempt) for e in Registry(registry).events(run.run_id)]
    assert told[0] == ("submitted", 1) and ("claim", 1) in told and told[-1] == ("result", 1)
    fake.grpoq("plan", "smoke", "--set", "disk_floor_gb=0.01", "--seeds", "44")


def test_a_missing_registry_costs_nothing(fake: FakeHome) -> None:
    plan = fake.planned()
    fake.home.registry.unlink()
    fake.submit(plan)
    assert fake.wait(plan) == {"done"}
    until(lambda: fake.watch_pid() is None, "the watch has left")
    for path in fake.home.path.glob("jobs.sqlite*"):
        path.unlink()
    assert ["--rebuild" in sentence for sentence in findings(fake)] == [True]
    fake.grpoq("doctor", "--rebuild", expect=None)
    assert index(fake.home.registry)[1] and findings(fake) == []


def test_a_registry_of_a_newer_version_can_be_set_aside(fake: FakeHome) -> None:
    fake.planned()
    with sqlite3.connect(fake.home.registry) as connection:
        connection.execute("PRAGMA user_version = 99")
    assert "newer grpoq" in findings(fake)[0]
    fake.grpoq("doctor", "--rebuild", expect=None)
    assert findings(fake) == []


def test_what_nobody_looks_after_is_named(fake: FakeHome) -> None:
    plan = fake.planned()
    plan.record_request("local", 1)
    (fake.home.path / "secrets.env").write_text("A=b\n")
    (fake.home.path / "secrets.env").chmod(0o644)
    (fake.home.runs / ".planning-abc").mkdir()
    found = " | ".join(findings(fake))
    for words in ("no watch runs: `grpoq resume`", "chmod 600", ".planning-abc was left by a plan"):
        assert words in found
    shutil.rmtree(plan.runs()[0].path)
    assert any("is missing or torn; plan again" in sentence for sentence in findings(fake))


def test_an_overtaken_worker_that_lives_on_is_named(fake: FakeHome) -> None:
    """Its command line is what a look at the processes shows."""
    plan = fake.planned(steps=500)
    run = plan.runs()[0]
    snapshot = fake.home.snapshots / run.snapshot()
    number = run.submit("local")
    worker = subprocess.Popen(
        [sys.executable, "-m", "worker", str(run.path), "--attempt", str(number)],
        cwd=snapshot, env=fake.environment() | {"PYTHONPATH": str(snapshot), "GRPOQ_FAKE_STEP_S": "20"},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until(lambda: run.attempts(), "it has claimed")
        durable.append_line(run.submissions_path, {"number": 2, "time": 1.0, "backend": "hand", "engine_id": None})
        assert any(f"pid {worker.pid} is attempt 1" in sentence for sentence in findings(fake))
    finally:
        worker.kill()
        worker.wait()


def test_the_shell_completes_runs_and_gates(fake: FakeHome) -> None:
    fake.planned(seeds="41,42")
    words = {"COMP_WORDS": "grpoq status van", "COMP_CWORD": "2", "_GRPOQ_COMPLETE": "complete_bash"}
    program = Path(sys.executable).with_name("grpoq")
    done = subprocess.run([program], env=fake.environment() | words, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["vanilla-s41", "vanilla-s42"]


def test_one_torn_or_foreign_plan_stops_no_other(fake: FakeHome) -> None:
    """Named by doctor and the watch, passed over by both."""
    good = fake.planned(seeds="41")
    torn = fake.planned(seeds="42")
    torn.record_request("local", 1)
    (torn.path / "plan.json").write_text("{")
    for name, text in (("list", "[]"), ("empty", "{}"), ("newer", '{"schema": 99}')):
        (fake.home.plans / name).mkdir()
        (fake.home.plans / name / "plan.json").write_text(text)
    fake.submit(good)
    assert fake.wait(good) == {"done"}
    found = findings(fake)
    assert sum("is missing or torn" in sentence for sentence in found) == 3 and any("schema 99" in s for s in found)
    assert fake.home.watch_log.read_text().count("is passed over") == 4
    fake.planned(seeds="42")  # the same again
    assert sum("is missing or torn" in sentence for sentence in findings(fake)) == 2


def test_a_torn_spec_is_written_again_by_planning_again(fake: FakeHome) -> None:
    run = fake.planned().runs()[0]
    for text in ("{", "[]", '{"schema": 1, "config": [1]}'):
        run.spec_path.write_text(text)
        assert json.loads(fake.grpoq("status", "--json").stdout)["runs"][0]["state"] == "failed"
        fake.planned()
        assert json.loads(fake.grpoq("status", "--json").stdout)["runs"][0]["state"] == "planned"


def test_a_home_that_is_not_there_is_a_sentence(fake: FakeHome) -> None:
    for command in (["resume"], ["doctor", "--rebuild"]):
        done = fake.grpoq("--home", str(fake.home.path / "nowhere"), *command, expect=2)
        assert "is no directory" in done.stderr and "Traceback" not in done.stderr


def test_a_plan_that_was_edited_after_its_lock_is_named_here_and_by_the_audit(fake: FakeHome) -> None:
    plan = fake.planned()
    assert audit(fake.home) == findings(fake) == []
    spec = durable.read_json(plan.runs()[0].spec_path)
    spec["config"]["lr"] = 1.0
    durable.write_json(plan.runs()[0].spec_path, spec)
    (told,) = findings(fake)
    assert f"spec.json of {plan.run_ids[0]} holds other numbers" in told and audit(fake.home) == [told]
