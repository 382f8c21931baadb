"""Real workers: who may run, who is refused, what ends a run, and with which exit code."""

from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path

from core.environment import teacher_pool
from core.runs import durable
from core.runs.run_dir import RunDir
from support import real_run
from support.patience import patient


def wait_until_alive(run: RunDir, number: int, step: int = 1) -> None:
    deadline = time.monotonic() + patient(90)
    while not (run.attempts()[-1:] == [number] and len(run.metrics()) >= step):
        assert time.monotonic() < deadline, (run.path / "test-worker.log").read_text()[-2000:]
        time.sleep(0.01)


def files(run: RunDir) -> set[str]:
    return {str(p.relative_to(run.path)) for p in run.path.rglob("*")}


def test_second_worker_is_refused_and_take_over_fences_the_first(tmp_path: Path) -> None:
    run = real_run.planned(tmp_path, "steps=2000")
    first = real_run.worker(run)
    wait_until_alive(run, 1)
    first.send_signal(signal.SIGSTOP)  # alive, and unable to answer
    before = files(run)
    assert real_run.worker(run).wait(patient(60)) == 79
    assert files(run) - before <= {"test-worker.log"}
    second = real_run.worker(run, "--take-over")
    wait_until_alive(run, 2)
    rows = (run.attempt(1) / "metrics.jsonl").read_bytes()
    first.send_signal(signal.SIGCONT)
    assert first.wait(patient(60)) == 79
    assert (run.attempt(1) / "metrics.jsonl").read_bytes().count(b"\n") <= rows.count(b"\n") + 1
    assert not (run.attempt(1) / "error.json").exists()
    second.terminate()
    assert second.wait(patient(60)) == 75


def test_finished_run_is_never_run_again(tmp_path: Path) -> None:
    run = real_run.planned(tmp_path, "steps=2", "eval_every=2")
    real_run.finish(run)
    before = files(run)
    assert real_run.worker(run).wait(patient(60)) == 0
    assert files(run) == before


def test_inherited_thread_settings_do_not_change_the_result(tmp_path: Path) -> None:
    plain, crowded = real_run.planned(tmp_path / "a"), real_run.planned(tmp_path / "b")
    real_run.finish(plain)
    settings = {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2", "ATEN_CPU_CAPABILITY": "default"}
    assert real_run.worker(crowded, **settings).wait(patient(120)) == 0
    real_run.assert_equal_runs(plain, crowded)


def test_checkpoint_of_another_machine_is_refused_with_78(tmp_path: Path) -> None:
    run = real_run.planned(tmp_path, "steps=8")
    process = real_run.worker(run)
    wait_until_alive(run, 1, step=5)
    process.kill()
    process.wait()
    for folder in run.checkpoints.glob("step_*"):
        state = json.loads((folder / "state.json").read_text())
        state["machine"]["cpu"] = "another"
        durable.write_json(folder / "state.json", state)
    assert real_run.worker(run).wait(patient(60)) == 78
    assert "same_machine=false" in json.loads((run.attempt(2) / "error.json").read_text())["message"]


def test_disk_below_the_floor_stops_with_80(tmp_path: Path) -> None:
    run = real_run.planned(tmp_path)
    spec = json.loads(run.spec_path.read_text())
    spec["config"]["disk_floor_gb"] = 1e9
    durable.write_json(run.spec_path, spec)
    assert real_run.worker(run).wait(patient(60)) == 80
    assert json.loads((run.attempt(1) / "error.json").read_text())["class"] == "disk"


def test_a_pool_that_was_changed_after_planning_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "mine.jsonl"
    source.write_text(teacher_pool.NANO_POOL.read_text())
    run = real_run.planned(tmp_path / "home", f"teacher={source}", "mix=0.25")
    spec = durable.read_json(run.spec_path)
    assert spec is not None and spec["config"]["teacher"] == "file"
    assert spec["config"]["teacher_sha256"] == teacher_pool.file_sha256(source)
    run.teacher_path.write_text(run.teacher_path.read_text().replace("return", "yield", 1))
    assert real_run.worker(run).wait(patient(120)) == 1
    error = run.error(1)
    assert error is not None and error["class"] == "data" and "the plan froze" in error["message"]


def error_of(run: RunDir, attempt: int) -> dict:
    return json.loads((run.attempt(attempt) / "error.json").read_text())


def test_a_run_that_solves_nothing_at_first_exits_82_and_nothing_of_its_plan_changes(tmp_path: Path) -> None:
    run = real_run.planned(tmp_path, "require_solves=true")
    spec = run.spec_path.read_bytes()
    assert real_run.worker(run).wait(patient(120)) == 82
    error = error_of(run, 1)
    assert (error["class"], error["exit_code"]) == ("tripwire", 82) and "require_solves" in error["message"]
    assert run.spec_path.read_bytes() == spec
    assert not run.metrics() and not run.checkpoints.exists() and not run.has_result()
    assert [row["step"] for row in run.evals()] == [0]


def test_a_killed_run_trips_at_the_step_and_with_the_words_of_the_unbroken_one(tmp_path: Path) -> None:
    unbroken = real_run.planned(tmp_path / "a", "max_kl=0.005", "steps=60")  # these weights pass it in a dozen steps
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    broken = RunDir(tmp_path / "b" / "runs" / unbroken.run_id)
    assert real_run.worker(unbroken).wait(patient(120)) == 82
    expected = error_of(unbroken, 1)["message"]
    rows = unbroken.metrics()
    last = rows[-1]["step"]
    saved = max(int(p.name[5:]) for p in unbroken.checkpoints.glob("step_*"))
    assert 4 <= saved < last and f"step {last}: kl" in expected
    assert sum(row["kl"] is not None and row["kl"] > 0.005 for row in rows) == 2

    process = real_run.worker(broken)
    deadline = time.monotonic() + patient(90)
    while not list(broken.checkpoints.glob("step_*")) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.kill()
    assert process.wait() == -9
    spec = broken.spec_path.read_bytes()
    assert real_run.worker(broken).wait(patient(120)) == 82
    assert error_of(broken, 2)["message"] == expected
    assert real_run.comparable(broken.metrics()) == real_run.comparable(rows)
    assert broken.spec_path.read_bytes() == spec


VALUE = "hf_s3cr3t=with=equals"


def written(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "secrets.env"
    path.write_text(text)
    path.chmod(mode)
    return path


WITNESS = """
import os, sys
if os.environ.get("WITNESS"):
    leave = os._exit

    def tell(code):
        open(os.environ["WITNESS"], "w").write(os.environ.get("HF_TOKEN", ""))
        leave(code)

    os._exit = tell
"""


def test_a_worker_reads_its_homes_secrets_and_writes_them_nowhere(tmp_path: Path) -> None:
    run = real_run.planned(tmp_path / "home", "device=cuda")  # ends with 78 where torch has no CUDA: short enough
    written(tmp_path / "home", f"HF_TOKEN={VALUE}\n")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(WITNESS)
    snapshot = next((tmp_path / "home" / "snapshots").iterdir())
    environment = {"PYTHONPATH": f"{snapshot}:{tmp_path / 'site'}", "WITNESS": str(tmp_path / "witness")}
    assert real_run.worker(run, cwd=snapshot, **environment).wait(patient(60)) == 78
    assert (tmp_path / "witness").read_text() == VALUE
    assert "secrets HF_TOKEN" in (run.attempt(1) / "worker.log").read_text()
    for path in run.path.rglob("*"):
        assert path.is_dir() or VALUE.encode() not in path.read_bytes(), path
