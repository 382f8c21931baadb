"""A box with real pueue: fifteen runs, its daemon killed, the box rebooted, and nobody there to help.

The reboot is real in all that grpoq can see of one: every process is gone, and the kernel gives another boot id, from a
file that is mounted over the true one for what starts afterwards.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.runs import durable
from core.runs.run_dir import RunDir
from orchestrator.queue.processes import pueued_pid, workers
from orchestrator.queue.service import Service
from orchestrator.store.plan_dir import PlanDir
from orchestrator.tools.audit import audit
from support.fake_home import FakeHome, until
from support.patience import patient

SECRET = "hf_not-to-be-found"
SEEDS = ",".join(str(41 + n) for n in range(15))
AS_AFTER_A_BOOT = 'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"'


@pytest.fixture
def box(fake: FakeHome, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHome]:
    if shutil.which("pueued") is None:
        pytest.skip("pueue is not installed: `just tools pueue`")
    monkeypatch.delenv("GRPOQ_PUEUE_BIN")
    fake.env |= {"HF_TOKEN": SECRET, "MY_SECRET": SECRET, "GRPOQ_FAKE_STEP_S": "0.03"}
    yield fake
    pid = pueued_pid(fake.home)
    if pid is not None:
        os.kill(pid, signal.SIGKILL)


def submitted(box: FakeHome, steps: int = 40) -> PlanDir:
    plan = box.planned(seeds=SEEDS, slots=2, steps=steps)
    assert "to pueue: 15 runs, 2 at a time" in box.grpoq("submit").stdout
    return plan


def living(plan: PlanDir) -> list[RunDir]:
    return [run for run in plan.runs() if run.attempts() and run.is_alive(run.attempts()[-1])]


def in_state_of_pueue(box: FakeHome, text: str) -> bool:
    return any(text.encode() in path.read_bytes() for path in (box.home.path / "pueue").rglob("*") if path.is_file())


def test_a_killed_daemon_leaves_orphans_that_are_adopted_and_none_is_doubled(box: FakeHome) -> None:
    plan = submitted(box)
    orphans = until(lambda: len(living(plan)) == 2 and living(plan), "two train")
    numbers = [run.attempts() for run in orphans]
    first = until(lambda: pueued_pid(box.home), "pueued")
    assert in_state_of_pueue(box, "grpoq:") and not in_state_of_pueue(box, SECRET)
    for process in workers(box.home):
        assert SECRET.encode() not in Path(f"/proc/{process.pid}/environ").read_bytes()
    os.kill(first, signal.SIGKILL)
    second = until(lambda: pueued_pid(box.home) not in (None, first) and pueued_pid(box.home), "another pueued")
    most = 0

    def all_done() -> bool:
        nonlocal most
        most = max(most, len(living(plan)))
        return all(run.has_result() for run in plan.runs())

    until(all_done, "all fifteen", 120)
    assert second != first and most == 2
    assert [run.attempts() for run in orphans] == numbers, "an orphan was started again"
    assert all(run.attempts() == [1] for run in plan.runs()) and audit(box.home) == []
    assert not in_state_of_pueue(box, SECRET)


def test_after_a_reboot_all_train_on_without_a_hand(box: FakeHome, tmp_path: Path) -> None:
    boot = tmp_path / "boot_id"
    boot.write_text(f"{uuid.uuid4()}\n")
    rebooted = ["unshare", "--mount", "sh", "-c", AS_AFTER_A_BOOT, str(boot)]
    if subprocess.run([*rebooted, "true"], capture_output=True).returncode:
        pytest.skip("this user may not mount over the boot id")
    plan = submitted(box, steps=150)
    running = until(lambda: len(living(plan)) == 2 and living(plan), "two train")
    until(lambda: all(run.metrics() for run in running), "both have a row")

    def down() -> bool:
        """The watch first: it would bring back what dies before it."""
        pids = [box.watch_pid(), pueued_pid(box.home), *(process.pid for process in workers(box.home))]
        for pid in (pid for pid in pids if pid is not None):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not any(pids)

    until(down, "the box is down")
    assert not any(run.has_result() for run in running)
    line = Service(box.home).cron_line().removeprefix("* * * * * ").replace("\\%", "%")
    subprocess.run(
        [*rebooted, "/bin/sh", "-c", line], env={"HOME": "/nowhere"}, cwd="/", check=True, timeout=patient(150)
    )
    status = subprocess.run(
        [*rebooted, sys.executable, "-m", "orchestrator.cli", "status", "--json"],
        env=box.environment(), cwd=box.home.path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(status.stdout)["counts"] == {"done": 15}
    boots = [{event["boot_id"] for event in durable.read_lines(run.events_path)} for run in running]
    assert all(len(of_run) == 2 for of_run in boots), "what ran before the boot was not resumed after it"
    assert [run.attempts() for run in running] == [[1, 2], [1, 2]]
    assert all([row["step"] for row in run.metrics()] == list(range(1, 151)) for run in plan.runs())
    assert audit(box.home) == []
