"""W&B's mirror killed at every kind of point, one after the other."""

from __future__ import annotations

from pathlib import Path

from support.fake_home import FakeHome
from support.mirrored_runs import KILLS, every_step_stands_once, planned


def test_every_step_stands_once_whenever_the_mirror_was_killed(fake: FakeHome, tmp_path: Path) -> None:
    every_step_stands_once("wandb", KILLS, fake, planned(fake), tmp_path)
