"""Each tracker ends with every step of every run exactly once, whatever was killed: attempts, mirrors, workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from core.runs import durable
from core.runs.run_dir import RunDir
from core.spec import TrainConfig
from orchestrator import trackers
from orchestrator.refusal import Refused
from orchestrator.store.plan_dir import PlanDir
from orchestrator.trackers import TRACKERS, Card, TrackerError
from orchestrator.trackers.curve import HEALTH, HEALTH_EVAL, curve, fingerprint
from orchestrator.trackers.follow import track
from orchestrator.trackers.mirror import Mirror
from support.fake_home import REPO, FakeHome, environment, until
from support.mirror_process import read_tensorboard
from support.mirrored_runs import (
    EVAL_EVERY,
    KILLS,
    STEPS,
    eval_row,
    every_step_stands_once,
    in_a_process,
    planned,
    train_row,
    wanted,
    without_seconds,
    write_attempt,
)
from support.patience import patient


@pytest.fixture
def plan(fake: FakeHome) -> PlanDir:
    return planned(fake)


@pytest.mark.parametrize(("name", "kills"), [("tensorboard", KILLS), ("wandb", KILLS[1:2])])
def test_every_step_stands_once_and_every_run_is_one_curve_whenever_the_mirror_was_killed(
    name: str, kills: list[str], fake: FakeHome, plan: PlanDir, tmp_path: Path
) -> None:
    """Libraries are slow to load: the other kills are in tests/system/test_trackers_killed.py."""
    every_step_stands_once(name, kills, fake, plan, tmp_path)


@pytest.mark.parametrize("name", TRACKERS)
def test_runs_that_train_at_the_same_time_do_not_end_each_other(
    name: str,
    fake: FakeHome,
    tmp_path: Path,
) -> None:
    plan = fake.planned("eval_every=50", steps=STEPS + 1, seeds="41,42")
    for run in plan.runs():
        run.attempt(1).mkdir(parents=True)
        seed = durable.read_json(run.spec_path)["seed"]
        for step in range(1, STEPS + 1 - seed % 2):
            durable.append_line(run.path / "later.jsonl", train_row(step, seed))
    found = in_a_process(name, fake, plan, tmp_path / "tracked", "grow")
    for seed, last in ((41, 29), (42, 30)):
        points = found[f"vanilla-s{seed}"]["points"]
        assert [(step, values["train/rew"]) for step, values in points] == rews(seed, 1, last)


def mirrored(plan: PlanDir, folder: Path, health: bool = False) -> dict[str, list[list[Any]]]:
    """TensorBoard, as it is read back, after one command."""
    track(plan.home, plan, "tensorboard", folder, follow=False, health=health)
    found = read_tensorboard(folder, plan.plan_id)
    return {name: of_run["points"] for name, of_run in found.items()}


def event_files(folder: Path) -> dict[str, tuple[int, int]]:
    return {p.parent.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in folder.glob("*/*/events.out.*")}


def test_a_sealed_run_is_left_alone_and_made_again_only_where_it_is_gone(plan: PlanDir, tmp_path: Path) -> None:
    first = mirrored(plan, tmp_path)
    files = event_files(tmp_path)
    assert mirrored(plan, tmp_path) == first
    again = event_files(tmp_path)
    assert {name for name in files if again[name] == files[name]} == {"vanilla-s41", "vanilla-s42"}
    for path in (tmp_path / plan.plan_id / "vanilla-s42").iterdir():
        path.unlink()
    assert mirrored(plan, tmp_path) == first


def test_a_run_that_is_retried_after_its_end_goes_on_in_its_curve(plan: PlanDir, tmp_path: Path) -> None:
    run = plan.runs()[2]
    error = {"class": "oom", "message": "made up", "exit_code": 77, "time": 1.0}
    durable.write_json(run.attempt(2) / "error.json", error)
    run.submit("local")
    assert len(mirrored(plan, tmp_path)["vanilla-s43"]) == 25
    write_attempt(run, 3, 21, STEPS)
    durable.write_json(run.result_path, {"schema": 1})
    assert without_seconds(mirrored(plan, tmp_path)["vanilla-s43"]) == wanted(run)


class Memory:
    """A tracker that keeps what it is told, and can fail."""

    errors: tuple[type[Exception], ...] = (TrackerError,)

    def __init__(self, rewinds: bool = True) -> None:
        self.rewinds = rewinds
        self.kept: dict[str, list[tuple[int, Mapping[str, float]]]] = {}
        self.open: set[str] = set()
        self.begun: list[str] = []
        self.fails_in = -1  # log calls from now

    def holds(self, card: Card) -> bool:
        return card.run_id in self.kept

    def begin(self, card: Card) -> int:
        self.begun.append(card.run_id)
        self.open.add(card.run_id)
        if self.rewinds:
            self.kept[card.run_id] = []
        kept = self.kept.setdefault(card.run_id, [])
        return kept[-1][0] + 1 if kept else 0

    def log(self, run_id: str, step: int, values: Mapping[str, float]) -> None:
        assert run_id in self.open and (not self.kept[run_id] or step > self.kept[run_id][-1][0])
        self.fails_in -= 1
        if self.fails_in == 0:
            raise TrackerError("made up")
        self.kept[run_id].append((step, values))

    def flush(self, run_id: str) -> None:
        assert run_id in self.open

    def end(self, run_id: str, failed: bool = False) -> None:
        self.open.remove(run_id)

    def view(self, plan_id: str) -> str:
        return ""

    def rews(self, run_id: str) -> list[tuple[int, float | None]]:
        return [(step, values.get("train/rew")) for step, values in self.kept[run_id]]


@dataclass
class Watched:
    """One run under way, a mirror of it, and what the mirror said."""

    run: RunDir
    plan: PlanDir
    tracker: Memory
    folder: Path
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.mirror = Mirror(self.tracker, self.plan, self.folder, False, self.said.append)

    def look(self, state: str = "running") -> list[tuple[int, float | None]]:
        self.mirror.one_pass({self.run.run_id: state})
        return self.tracker.rews(self.run.run_id)


@pytest.fixture
def watched(fake: FakeHome, tmp_path: Path) -> Callable[..., Watched]:
    def make(rewinds: bool = True) -> Watched:
        made = fake.planned(f"eval_every={EVAL_EVERY}", steps=STEPS)
        (tmp_path / "mirror").mkdir(exist_ok=True)
        return Watched(made.runs()[0], made, Memory(rewinds), tmp_path)

    return make


def rews(seed: int, first: int, last: int, other_from: int = STEPS + 1) -> list[tuple[int, float | None]]:
    return [
        (s, None if not s else 9.0 if s >= other_from else train_row(s, seed)["rew"]) for s in range(first, last + 1)
    ]


def test_steps_come_as_they_are_made_and_the_same_step_again_changes_nothing(watched: Callable[..., Watched]) -> None:
    w = watched()
    write_attempt(w.run, 1, 0, 17)
    assert w.look() == rews(41, 0, 17)
    write_attempt(w.run, 2, 11, 13, sec=5.0)  # killed after 17, resumed from 10
    assert w.look() == rews(41, 0, 17)
    write_attempt(w.run, 2, 14, 19, sec=5.0)
    assert w.look() == rews(41, 0, 19)
    assert w.tracker.begun == [w.run.run_id] and w.said == []


def test_steps_that_come_out_otherwise_replace_what_they_repeat(watched: Callable[..., Watched]) -> None:
    """Another machine, with same_machine=false: no curve of old and new steps mixed, and one beginning is enough."""
    w = watched()
    write_attempt(w.run, 1, 0, 17)
    w.look()
    for step in range(11, 15):
        write_attempt(w.run, 2, step, step, rew=9.0)
        assert w.look() == rews(41, 0, step, other_from=11)
    write_attempt(w.run, 2, 15, STEPS, rew=9.0)
    assert w.look("done") == rews(41, 0, STEPS, other_from=11)
    assert w.tracker.begun == [w.run.run_id] * 2
    assert w.said[0] == "vanilla-s41: step 11 came out otherwise when it was repeated; its curve is begun anew"


def test_a_tracker_that_cannot_be_rewound_goes_on_and_keeps_what_it_was_told_first(
    watched: Callable[..., Watched],
) -> None:
    w = watched(rewinds=False)
    write_attempt(w.run, 1, 0, 17)
    w.look()
    write_attempt(w.run, 2, 11, 14, rew=9.0)
    assert w.look() == rews(41, 0, 17) and "keeps what it was told first" in w.said[0]
    again = Watched(w.run, w.plan, w.tracker, w.folder)  # the mirror was killed: the tracker has 17 steps
    write_attempt(w.run, 2, 15, STEPS, rew=9.0)
    assert again.look("done") == [*rews(41, 0, 17), *rews(41, 18, STEPS, other_from=18)]


def test_a_library_that_fails_halfway_is_given_the_run_anew(watched: Callable[..., Watched]) -> None:
    w = watched()
    write_attempt(w.run, 1, 0, STEPS)
    w.tracker.fails_in = 12
    with pytest.raises(TrackerError):
        w.look("done")
    w.mirror.forget()
    assert w.look("done") == rews(41, 0, STEPS) and not w.tracker.open


def test_a_step_waits_for_its_evaluation_unless_none_will_come(tmp_path: Path) -> None:
    run, config = RunDir(tmp_path), TrainConfig(steps=STEPS, eval_every=EVAL_EVERY)
    durable.write_json(run.spec_path, {"seed": 41})
    write_attempt(run, 1, 0, 14)
    durable.append_line(run.attempt(1) / "metrics.jsonl", train_row(15, 41))
    assert curve(run, config, False, ended=False)[-1].step == 14
    assert curve(run, config, False, ended=True)[-1].step == 15
    durable.append_line(run.attempt(1) / "evals.jsonl", eval_row(15))
    last = curve(run, config, False, ended=False)[-1]
    assert (last.step, last.values["train/tied"], last.values["eval/hack_rate"]) == (15, 0.0, 15 / 32)
    assert curve(RunDir(tmp_path / "none"), config, False, ended=False) == []


def test_only_the_machines_own_columns_may_differ_in_one_curve(tmp_path: Path) -> None:
    run, config = RunDir(tmp_path), TrainConfig(steps=STEPS, eval_every=EVAL_EVERY)
    durable.write_json(run.spec_path, {"seed": 41})
    prints = []
    for fields in ({}, {"sec": 7.0, "peak_GB": 2.0}, {"kl": 0.25}):
        (tmp_path / "attempts").exists() and (run.attempt(1) / "metrics.jsonl").unlink()
        write_attempt(run, 1, 1, 9, **fields)
        prints.append(fingerprint(curve(run, config, False, ended=True)))
    assert prints[0] == prints[1] != prints[2]


def test_health_tells_no_outcome(plan: PlanDir, tmp_path: Path) -> None:
    points = mirrored(plan, tmp_path, health=True)["vanilla-s41"]
    assert {name for _, values in points for name in values} == {
        "train/tied", "train/kl", "train/sec", "eval/n_pass", "eval/sec",
    }  # fmt: skip
    assert len(points) == STEPS + 1
    telling = ("hack", "gt_", "rew", "pass_rate", "empty", "hk_", "nll", "acc")
    shown = {*HEALTH, *HEALTH_EVAL} - {"t_rew"}  # seconds of grading
    assert not [name for name in shown if any(word in name for word in telling)]
    assert "train/hack_s" in mirrored(plan, tmp_path)["vanilla-s41"][1][1]  # sealed so, it is shown all when asked


def test_a_follower_goes_with_the_runs_through_kills_and_ends_with_them(fake: FakeHome) -> None:
    """`submit --track`: workers killed, the follower killed and started again, SIGTERM, and the end."""
    plan = fake.planned("checkpoint_every=10", "eval_every=40", steps=40, seeds="41,42", slots=2)
    pace = {"GRPOQ_FAKE_STEP_S": "0.1"}
    done = fake.grpoq("submit", "--backend", "local", "--track", "tensorboard", **pace)
    folder = fake.home.path / "track" / "tensorboard"
    assert f"mirrored into tensorboard: {folder}" in done.stdout
    lock, log = (folder / "mirror" / f"{plan.plan_id}.{ending}" for ending in ("lock", "log"))
    run = plan.runs()[0]
    until(lambda: len(run.metrics()) >= 13, "steps")
    os.kill(run.heartbeat(1)["pid"], signal.SIGKILL)  # type: ignore[index]
    until(lambda: event_files(folder), "a curve")
    follower = int(log.read_text().rsplit("pid ", 1)[1].split()[0])
    os.kill(follower, signal.SIGKILL)
    until(lambda: not durable.is_flocked(lock), "the follower's end")
    with environment(PYTHONPATH=str(REPO)):
        command = [sys.executable, "-m", "orchestrator.cli", "track", "tensorboard", "--follow"]
        second = subprocess.Popen(command, env=fake.environment(), stdout=subprocess.PIPE, text=True)
        until(lambda: durable.is_flocked(lock), "the second follower")
        assert "mirrored into" in fake.grpoq("track", "tensorboard", expect=1).stderr
        until(lambda: event_files(folder), "a curve again")
        second.terminate()
        assert second.wait(patient(10)) == 0 and "stopped" in second.communicate()[0]
        third = subprocess.Popen(command, env=fake.environment(), stdout=subprocess.PIPE, text=True)
    assert fake.wait(plan) == {"done"}
    assert third.wait(patient(20)) == 0 and "all runs have ended" in third.communicate()[0]
    assert len(run.attempts()) == 2
    found = read_tensorboard(folder, plan.plan_id)
    for each in plan.runs():
        of_run = found[each.run_id.rpartition("-")[0]]["points"]
        assert [step for step, _ in of_run] == list(range(41))
        assert [values["train/rew"] for _, values in of_run[1:]] == pytest.approx([r["rew"] for r in each.metrics()])


def test_what_cannot_be_mirrored_is_refused_before_anything_is_written(
    fake: FakeHome,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    plan = fake.planned()
    assert "choose from tensorboard, wandb, trackio" in fake.grpoq("track", "mlflow", expect=2).stderr
    assert "unknown tracker 'mlflow'" in fake.grpoq("submit", "--track", "tensorboard,mlflow", expect=2).stderr
    assert "mirrors nothing" in fake.grpoq("submit", "--track", "wandb", expect=2, WANDB_MODE="disabled").stderr
    assert plan.request() is None and not (fake.home.path / "track").exists()
    (tmp_path / "file").write_text("")
    assert "choose another --dir" in fake.grpoq("track", "wandb", "--dir", str(tmp_path / "file"), expect=2).stderr
    assert "nothing to mirror yet" in fake.grpoq("track", "tensorboard", expect=1).stderr
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    with pytest.raises(Refused, match=r"pip install 'grpoq\[wandb\]'"):
        trackers.require("wandb")


def test_online_without_a_key_is_refused_and_never_asked_for(
    fake: FakeHome,
    plan: PlanDir,
    tmp_path: Path,
) -> None:
    nothing = {"HOME": str(tmp_path), "NETRC": str(tmp_path / "netrc"), "WANDB_API_KEY": ""}
    done = fake.grpoq("track", "wandb", expect=2, WANDB_MODE="online", **nothing)
    assert "WANDB_API_KEY" in done.stderr


def test_no_library_is_loaded_before_there_is_something_to_mirror() -> None:
    code = (
        "import sys, orchestrator.trackers.follow\n"
        "from orchestrator.trackers import TRACKERS, require\n"
        "from pathlib import Path\n"
        "for name in TRACKERS: require(name); TRACKERS[name].open(Path('/nonexistent'))\n"
        "print(*sys.modules)"
    )
    env = os.environ | {"WANDB_MODE": "offline"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPO, check=True, env=env)
    assert not set(done.stdout.split()) & {*TRACKERS, "numpy", "huggingface_hub", "torch"}
