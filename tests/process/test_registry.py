"""jobs.sqlite: an index with one writer at a time, which no older grpoq touches."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.refusal import Refused
from orchestrator.store.registry import Event, Registry
from orchestrator.store.registry_version import SCHEMA, require_known
from support.paths import REPO
from support.patience import patient


def event(run_id: str, what: str, attempt: int | None = None) -> Event:
    return Event(time=0.0, run_id=run_id, what=what, attempt=attempt)


def test_events_come_back_in_order(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "jobs.sqlite")
    for number in range(5):
        registry.log([event("a", "launched", 2 * number), event("a", "running", 2 * number + 1)])
    registry.log([event("b", "done")])
    assert [e.attempt for e in registry.events("a")] == list(range(10))
    assert len(registry.events()) == 11


def test_it_is_in_wal_mode_with_its_version(tmp_path: Path) -> None:
    Registry(tmp_path / "jobs.sqlite").log([event("a", "x")])
    with sqlite3.connect(tmp_path / "jobs.sqlite") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert connection.execute("PRAGMA user_version").fetchone()[0] == SCHEMA


def test_many_writers_lose_no_event(tmp_path: Path) -> None:
    """Four processes, started on a database that does not exist yet: they race for the tables too."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom orchestrator.store.registry import Event, Registry\n"
        "r = Registry(Path(sys.argv[1]))\n"
        "for i in range(25): r.log([Event(time=0.0, run_id=sys.argv[2], what='x', attempt=i)])\n"
    )
    repo = REPO
    path = tmp_path / "jobs.sqlite"
    started = [subprocess.Popen([sys.executable, "-c", code, str(path), name], cwd=repo) for name in "abcd"]
    assert [process.wait(patient(60)) for process in started] == [0, 0, 0, 0]
    registry = Registry(path)
    for name in "abcd":
        assert [e.attempt for e in registry.events(name)] == list(range(25))


def test_a_newer_registry_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    Registry(path).log([event("a", "x")])
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(Refused, match="newer grpoq"):
        require_known(path)
    with pytest.raises(Refused, match="newer grpoq"):
        Registry(path).log([event("a", "y")])
    assert path.read_bytes() == before


def test_a_broken_registry_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    path.write_bytes(b"not a database at all, but long enough to be read as one" * 20)
    assert "is damaged" in require_known(path) and "--rebuild" in require_known(path)
    with pytest.raises(Refused, match="is damaged"):
        Registry(path).log([])


def test_asking_for_the_version_leaves_no_file_behind(tmp_path: Path) -> None:
    Registry(tmp_path / "jobs.sqlite").log([event("a", "x")])
    before = sorted(p.name for p in tmp_path.iterdir())
    require_known(tmp_path / "jobs.sqlite")
    assert sorted(p.name for p in tmp_path.iterdir()) == before
