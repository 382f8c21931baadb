"""CI runs every file of tests/system: its parts name them one by one."""

from __future__ import annotations

from support.paths import REPO, TESTS


def test_every_system_test_is_part_of_ci() -> None:
    said = (REPO / ".ci" / "run").read_text()
    files = sorted(path.relative_to(REPO).as_posix() for path in (TESTS / "system").glob("test_*.py"))
    assert len(files) > 20 and not [file for file in files if file not in said]
