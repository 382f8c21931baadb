"""jobs.sqlite: the index of plans and runs, and the log of what was decided. The only code that writes it.

Run directories are complete without it: it answers questions over many runs, it decides nothing.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.exc import DatabaseError
from sqlmodel import Field, Session, SQLModel, create_engine, select

from core.spec import RunSpec
from orchestrator.refusal import Refused
from orchestrator.store.registry_version import SCHEMA, require_known


class Plan(SQLModel, table=True):
    plan_id: str = Field(primary_key=True)
    name: str
    plan_hash: str
    snapshot: str
    created: float  # Unix seconds
    content: str  # plan.json


class Run(SQLModel, table=True):
    run_id: str = Field(primary_key=True)
    plan_id: str = Field(index=True)
    kind: str
    label: str
    arm: str
    seed: int


class Event(SQLModel, table=True):
    number: int | None = Field(default=None, primary_key=True)
    time: float = Field(index=True)  # Unix seconds
    run_id: str = Field(index=True)
    what: str
    attempt: int | None = None
    detail: str = ""


class Registry:
    """One connection per call: a watch that lives for days holds no lock between two events."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ready = False

    def add_plan(self, plan_id: str, content: dict[str, Any], specs: Sequence[RunSpec]) -> None:
        """Adding what is there changes nothing."""
        with self._session() as session:
            if session.get(Plan, plan_id) is None:
                row = Plan(
                    plan_id=plan_id,
                    name=content["name"],
                    plan_hash=content["hash"],
                    snapshot=content["snapshot"],
                    created=content.get("created", time.time()),
                    content=json.dumps(content, sort_keys=True),
                )
                session.add(row)
            for s in specs:
                if session.get(Run, s.run_id) is None:
                    run = Run(run_id=s.run_id, plan_id=plan_id, kind=s.kind, label=s.label, arm=s.arm, seed=s.seed)
                    session.add(run)

    def log(self, events: Sequence[Event]) -> None:
        """In one transaction, in this order."""
        with self._session() as session:
            for event_ in events:
                session.add(event_)
                session.flush()  # else the numbers may come in another order

    def events(self, run_id: str | None = None) -> list[Event]:
        with self._session() as session:
            query = select(Event) if run_id is None else select(Event).where(Event.run_id == run_id)
            found = list(session.exec(query))
            session.expunge_all()
        return sorted(found, key=lambda e: e.number or 0)

    @contextmanager
    def _session(self) -> Iterator[Session]:
        engine = _engine(self.path)
        try:
            if not self._ready:
                damage = require_known(self.path)
                if damage:
                    raise Refused(damage)
                _create(engine)
                self._ready = True
            with Session(engine) as session, session.begin():
                yield session
        except DatabaseError as error:
            raise Refused(
                f"{self.path} cannot be written: {error.orig}; where it is damaged, `grpoq doctor --rebuild` makes it "
                "again from plans and runs, which are whole without it"
            ) from None
        finally:
            engine.dispose()


def _engine(path: Path) -> Engine:
    engine = create_engine(f"sqlite:///{path}")

    @event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _: Any) -> None:
        connection.isolation_level = None  # else the driver opens transactions of its own, deferred ones
        connection.execute("PRAGMA busy_timeout = 10000")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # a deferred one fails when two writers upgrade at once

    return engine


def _create(engine: Engine) -> None:
    """Tables and version in one transaction: two starters cannot both migrate."""
    with engine.begin() as connection:
        if connection.exec_driver_sql("PRAGMA user_version").scalar() == 0:
            SQLModel.metadata.create_all(connection)
            connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA}")
