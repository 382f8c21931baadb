"""CI runs every file of tests/system: its parts name them one by one. Any of them may be run together."""

from __future__ import annotations

from support.paths import REPO, TESTS


def test_every_system_test_is_part_of_ci() -> None:
    said = (REPO / ".ci" / "run").read_text()
    files = sorted(path.relative_to(REPO).as_posix() for path in (TESTS / "system").glob("test_*.py"))
    assert len(files) > 20 and not [file for file in files if file not in said]


def test_no_two_test_files_have_one_name() -> None:
    """pytest imports them by it: of two that are asked for together the second is an error."""
    names = [path.name for path in TESTS.rglob("test_*.py")]
    assert not [name for name in names if names.count(name) > 1]
