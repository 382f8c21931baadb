"""What `pueue status --json` says, in our words. Reads 4.x and 3.x forms; what it does not know it passes on by name.

Ids are handed out anew once their task is removed, so a task is known by its label, never by its id alone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from orchestrator.backends.words import ENDED, RUNNING, WAITING

WORDS = {"Queued": WAITING, "Stashed": WAITING, "Running": RUNNING, "Done": ENDED}
PREFIX = "grpoq"


@dataclass(frozen=True)
class Task:
    id: int
    group: str
    label: str
    status: str  # pueue's own word: Queued, Stashed, Running, Paused, Locked, Done, or a later version's
    word: str  # ours, or pueue's own where we have none: alive, unknown
    held: bool = False  # stashed with no time set: nothing but `enqueue` brings it back into the queue

    @property
    def liveliness(self) -> int:
        return {RUNNING: 3, WAITING: 1, ENDED: 0}.get(self.word, 2)


@dataclass(frozen=True)
class Group:
    status: str  # Running, Paused, Reset, or a later version's
    slots: int


@dataclass(frozen=True)
class Status:
    tasks: tuple[Task, ...]
    groups: dict[str, Group]

    def labelled(self, label: str) -> Task | None:
        """The liveliest: `pueue restart` makes a second task of the same label beside the ended one."""
        found = [task for task in self.tasks if task.label == label]
        return max(found, key=lambda task: (task.liveliness, task.id), default=None)


def label_of(run_id: str, number: int) -> str:
    return f"{PREFIX}:{run_id}:{number}"


def submission_of(label: str) -> tuple[str, int] | None:
    """(run_id, number) of a label that we gave."""
    prefix, _, rest = label.partition(":")
    run_id, _, number = rest.rpartition(":")
    return (run_id, int(number)) if prefix == PREFIX and run_id and number.isdecimal() else None


def parse_status(text: str) -> Status:
    """Raises ValueError where the text is no status at all; a task or group that is malformed is left out."""
    content = json.loads(text)
    if not isinstance(content, dict) or not isinstance(content.get("tasks"), dict):
        raise ValueError(f"no pueue status: {text[:80]!r}")
    tasks = [_task(row) for row in content["tasks"].values()]
    groups = content.get("groups")
    return Status(
        tuple(sorted((task for task in tasks if task), key=lambda task: task.id)),
        {name: _group(row) for name, row in groups.items()} if isinstance(groups, dict) else {},
    )


def _task(row: Any) -> Task | None:
    if not isinstance(row, dict) or not isinstance(row.get("id"), int):
        return None
    name, content = _variant(row.get("status"))
    held = name == "Stashed" and (content or {}).get("enqueue_at") is None
    return Task(row["id"], row.get("group") or "", row.get("label") or "", name, WORDS.get(name, name), held)


def _group(row: Any) -> Group:
    """3.x gave the status alone where it did not give the whole."""
    fields = row if isinstance(row, dict) else {"status": row}
    slots = fields.get("parallel_tasks")
    return Group(_variant(fields.get("status"))[0], slots if isinstance(slots, int) else -1)


def _variant(value: Any) -> tuple[str, dict[str, Any] | None]:
    """A Rust enum in JSON: its name, or an object whose only key is the name."""
    if isinstance(value, str):
        return value, None
    if isinstance(value, dict) and len(value) == 1:
        name, content = next(iter(value.items()))
        return name, content if isinstance(content, dict) else None
    return f"status {value!r}", None
