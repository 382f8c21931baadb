"""What brings the queue back after a boot, and what wakes its user: real commands, fake systemctl and crontab."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from core.runs import durable
from orchestrator.queue.service import Service
from orchestrator.queue.signals import signal_worker
from support.fake_home import REPO, FakeHome, until
from support.patience import patient

SYSTEMCTL = """#!/bin/sh
echo "$@" >> "$SERVICE_LOG"
"""
CRONTAB = """#!/bin/sh
if [ "$1" = -l ]; then cat "$SERVICE_LOG.tab" 2>/dev/null || { echo "no crontab" >&2; exit 1; }
else cat > "$SERVICE_LOG.tab"; fi
"""


def tools(tmp_path: Path, **scripts: str) -> dict[str, str]:
    """An environment whose PATH has these executables, /bin, and neither the real systemctl nor the real crontab."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in scripts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    for name in ("sh", "cat"):
        (folder / name).symlink_to(f"/bin/{name}")
    return {
        "PATH": str(folder), "SERVICE_LOG": str(tmp_path / "service.log"), "XDG_CONFIG_HOME": str(tmp_path / "config"),
    }  # fmt: skip


def test_install_writes_a_unit_and_says_so(fake: FakeHome, tmp_path: Path) -> None:
    env = tools(tmp_path, systemctl=SYSTEMCTL)
    said = fake.grpoq("service", "install", **env).stdout
    unit = next((tmp_path / "config" / "systemd" / "user").iterdir())
    assert str(unit) in said and unit.name.startswith("grpoq-")
    text = unit.read_text()
    for line in ("Restart=always", "KillMode=process", "WantedBy=default.target", f"WorkingDirectory={fake.home.path}"):
        assert line in text
    calls = (tmp_path / "service.log").read_text().splitlines()
    assert calls[-2:] == ["--user daemon-reload", f"--user enable --now {unit.name}"]
    assert "removed" in fake.grpoq("service", "uninstall", **env).stdout and not unit.exists()


def test_where_there_is_no_systemd_a_cron_line_is_added_once_and_others_are_kept(
    fake: FakeHome,
    tmp_path: Path,
) -> None:
    env = tools(tmp_path, crontab=CRONTAB)
    tab = tmp_path / "service.log.tab"
    tab.write_text("5 4 * * * of-mine\n")
    for _ in range(2):
        fake.grpoq("service", "install", **env)
    assert tab.read_text().splitlines()[0] == "5 4 * * * of-mine" and len(tab.read_text().splitlines()) == 2
    fake.grpoq("service", "uninstall", **env)
    assert tab.read_text() == "5 4 * * * of-mine\n"


def test_where_there_is_neither_the_line_is_shown_and_nothing_written(fake: FakeHome, tmp_path: Path) -> None:
    done = fake.grpoq("service", "install", expect=1, **tools(tmp_path))
    assert "* * * * * cd " in done.stderr and not (tmp_path / "config").exists()


def test_the_cron_line_brings_killed_runs_back_from_a_bare_environment(fake: FakeHome) -> None:
    """As cron runs it: HOME and little else, by sh."""
    plan = fake.planned(steps=60)
    run = plan.runs()[0]
    fake.submit(plan, GRPOQ_FAKE_STEP_S="0.05")
    until(lambda: run.metrics(), "it trains")
    os.kill(until(fake.watch_pid, "the watch"), signal.SIGKILL)
    until(lambda: signal_worker(run, 1, signal.SIGKILL) or not run.is_alive(1), "it is dead")
    until(lambda: not durable.is_flocked(fake.home.watch_lock), "the watch is dead")
    line = Service(fake.home).cron_line().removeprefix("* * * * * ").replace("\\%", "%")
    subprocess.run(["/bin/sh", "-c", line], env={"HOME": "/nowhere"}, cwd="/", check=True, timeout=patient(60))
    assert run.has_result() and run.attempts() == [1, 2]
    assert str(REPO) in line


def told(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.parametrize("knob, events", [({}, ["finish"]), ({"GRPOQ_FAKE_ERROR": "code:1"}, ["failure", "finish"])])
def test_a_command_is_run_once_for_each_event(
    fake: FakeHome,
    tmp_path: Path,
    knob: dict[str, str],
    events: list[str],
) -> None:
    heard = tmp_path / "heard"
    fake.grpoq("notify", f'cat >> {heard}; echo "$GRPOQ_EVENT $GRPOQ_MESSAGE" >> {heard}.env')
    plan = fake.planned()
    fake.submit(plan, **knob)
    fake.wait(plan)
    until(lambda: len(told(heard)) == len(events) and fake.watch_pid() is None, "it is told, and the watch has left")
    assert [row["event"] for row in told(heard)] == events
    assert all(row["plan"] == plan.plan_id and row["message"] for row in told(heard))
    assert (tmp_path / "heard.env").read_text().split()[0] == events[0]
    fake.grpoq("submit", "--backend", "local")
    until(lambda: fake.watch_pid() is None, "the second watch has left")
    assert len(told(heard)) == len(events)  # a new watch tells nothing twice


def test_a_command_that_fails_or_hangs_stops_no_run(fake: FakeHome) -> None:
    fake.grpoq("notify", "sleep 300 >/dev/null 2>&1 & exit 3")
    plan = fake.planned()
    fake.submit(plan)
    assert fake.wait(plan) == {"done"}
    assert "ended with" in fake.grpoq("notify", "--test", expect=1).stderr
    assert "no command is set" in fake.grpoq("notify", "--off").stdout
