"""A run that keeps few checkpoints ends as one that keeps all, and goes on from wherever a removal was cut short."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from core.runs import durable
from core.runs.run_dir import RunDir
from core.training import checkpoint, retention
from support import in_process, real_run, small_policy

RULE = {"keep_newest": 2, "keep_every": 4, "checkpoint_every": 1, "steps": 6}


def standing(run: RunDir) -> list[int]:
    return sorted(int(path.name[5:]) for path in run.checkpoints.glob("step_*"))


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """Its first hack is in step 2. Ended while it removed its first checkpoint, half of its files gone; resumed."""
    run = in_process.planned(tmp_path_factory.mktemp("killed"), "vanilla", **RULE)
    real = shutil.rmtree

    def dying(folder: Path, **named: Any) -> None:
        if ".outdated" in Path(folder).name:
            (Path(folder) / "optimizer.safetensors").unlink()
            raise KeyboardInterrupt
        real(folder, **named)

    with pytest.MonkeyPatch.context() as patch:
        hacked = lambda rows: 2 if any(row["step"] == 2 for row in rows) else None  # noqa: E731
        patch.setattr(retention, "first_hack", hacked)
        with patch.context() as ending:
            ending.setattr(shutil, "rmtree", dying)
            with pytest.raises(KeyboardInterrupt):
                in_process.attempt(run)
        assert standing(run) == [2, 3] and (run.checkpoints / ".step_000001.outdated").is_dir()
        assert in_process.attempt(run) is not None
    return run


def test_it_ends_as_the_run_that_was_not_killed_and_kept_all(killed: RunDir, tmp_path: Path) -> None:
    twin = in_process.planned(tmp_path, "vanilla", **{**RULE, "keep_newest": 0, "keep_every": 0})
    assert in_process.attempt(twin) is not None
    assert standing(twin) == [1, 2, 3, 4, 5, 6]
    real_run.assert_equal_runs(killed, twin)


def test_the_rule_is_kept_and_every_removal_on_record(killed: RunDir) -> None:
    assert standing(killed) == [2, 4, 5, 6]
    assert not list(killed.checkpoints.glob(".*"))
    events = [(event["event"], event["step"]) for event in durable.read_lines(killed.events_path)]
    assert events.index(("removal", 1)) == events.index(("checkpoint", 3)) + 1 and ("removal", 3) in events


def test_what_a_resume_would_go_back_to_stays_where_a_newer_one_is_damaged(killed: RunDir, tmp_path: Path) -> None:
    run = RunDir(Path(shutil.copytree(killed.path, tmp_path / "copy")))
    config = small_policy.config("smoke", keep_newest=2)
    newest = run.checkpoints / "step_000006"
    assert checkpoint._outdated(run, newest, 6, config) == [2, 4]
    (run.checkpoints / "step_000005" / "adapter.safetensors").write_bytes(b"damaged")
    assert checkpoint._outdated(run, newest, 6, config) == [2, 5]
    (newest / "adapter.safetensors").write_bytes(b"damaged")
    assert checkpoint._outdated(run, newest, 6, config) == []
