"""trackio: one SQLite file per plan, on this machine only; no login, no Space, no server."""

from __future__ import annotations

import contextlib
import contextvars
import io
import os
import shlex
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.trackers import Card, TrackerError

REMOTE = ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL", "TRACKIO_BUCKET_ID", "TRACKIO_DATASET_ID", "TRACKIO_WEBHOOK_URL")


class Trackio:
    rewinds = True
    errors: tuple[type[Exception], ...] = (OSError, sqlite3.Error, ValueError, TrackerError)

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._runs: dict[str, Any] = {}
        self._logged: dict[str, int] = {}
        for name in REMOTE:
            os.environ.pop(name, None)
        os.environ |= {"TRACKIO_DIR": str(folder), "TRACKIO_STORAGE_MODE": "sqlite", "HF_HUB_OFFLINE": "1"}
        os.environ["TRACKIO_SQLITE_SYNCHRONOUS"] = "FULL"  # committed is on disk

    def holds(self, card: Card) -> bool:
        return bool(self._stored(card))

    def _stored(self, card: Card) -> list[Any]:
        import trackio

        try:
            return [run for run in trackio.Api().runs(card.plan_id) if run.name == card.name]
        except ValueError:  # no such project yet
            return []

    def begin(self, card: Card) -> int:
        import trackio

        if card.run_id in self._runs:
            self.end(card.run_id)
        for old in self._stored(card):
            if not old.delete():
                raise TrackerError(f"trackio could not remove run {card.name} of {card.plan_id}")
        # In a context of its own: init ends the run that it finds open in the present one.
        with contextlib.redirect_stdout(io.StringIO()):
            self._runs[card.run_id] = contextvars.Context().run(
                trackio.init,
                project=card.plan_id,
                name=card.name,
                group=card.label,
                config=dict(card.config),
                resume="never",
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
            )
        self._logged[card.run_id] = 0
        return 0

    def log(self, run_id: str, step: int, values: Mapping[str, float]) -> None:
        self._runs[run_id].log(dict(values), step=step)
        self._logged[run_id] += 1

    def flush(self, run_id: str) -> None:
        """Its own thread writes twice a second."""

    def end(self, run_id: str, failed: bool = False) -> None:
        """Its library only warns of what it could not write, so the rows are counted."""
        from trackio.sqlite_storage import SQLiteStorage

        run, logged = self._runs.pop(run_id), self._logged.pop(run_id)
        with contextlib.redirect_stdout(io.StringIO()):
            run.finish()
        kept = SQLiteStorage.get_log_count(run.project, run.name, run_id=run.id)
        if kept != logged:
            raise TrackerError(f"trackio kept {kept} of {logged} steps of {run.name}")

    def view(self, plan_id: str) -> str:
        return f"TRACKIO_DIR={shlex.quote(str(self.folder))} trackio show --project {plan_id}"
