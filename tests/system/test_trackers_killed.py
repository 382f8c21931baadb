"""Mirrors killed at every kind of point, one after the other."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.fake_home import FakeHome
from support.mirrored_runs import KILLS, every_step_stands_once, planned


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_every_step_stands_once_whenever_the_mirror_was_killed(name: str, fake: FakeHome, tmp_path: Path) -> None:
    every_step_stands_once(name, KILLS, fake, planned(fake), tmp_path)
