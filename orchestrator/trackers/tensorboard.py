"""TensorBoard: one event file per run, written by its own EventFileWriter; neither torch nor TensorFlow is needed.

A step is one event with all its values, so that a torn end loses whole steps. A run that is begun anew replaces its old
file: of two files in a directory readers take the order from their names, which hold only seconds and a pid.
"""

from __future__ import annotations

import shlex
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.runs import durable
from orchestrator.trackers import Card


class TensorBoard:
    rewinds = True
    errors: tuple[type[Exception], ...] = (OSError,)

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._writers: dict[str, Any] = {}

    def holds(self, card: Card) -> bool:
        return any(self._place(card).glob("events.out.tfevents.*"))

    def _place(self, card: Card) -> Path:
        return self.folder / card.plan_id / card.name

    def begin(self, card: Card) -> int:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        if card.run_id in self._writers:
            self.end(card.run_id)
        place = self._place(card)
        if place.exists():
            shutil.rmtree(place)
        writer = self._writers[card.run_id] = EventFileWriter(str(place))
        hparams = {name: _hparam(value) for name, value in card.config.items()}
        writer.add_event(Event(wall_time=time.time(), summary=hparams_pb(hparams, trial_id=card.name)))
        return 0

    def log(self, run_id: str, step: int, values: Mapping[str, float]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        event = Event(wall_time=time.time(), step=step)
        for name, value in values.items():
            event.summary.value.add(tag=name, simple_value=value)
        self._writers[run_id].add_event(event)

    def flush(self, run_id: str) -> None:
        self._writers[run_id].flush()

    def end(self, run_id: str, failed: bool = False) -> None:
        writer = self._writers.pop(run_id)
        writer.close()
        for path in Path(writer.get_logdir()).iterdir():
            durable.fsync_file(path)
        durable.fsync_dir(Path(writer.get_logdir()))

    def view(self, plan_id: str) -> str:
        return f"tensorboard --logdir {shlex.quote(str(self.folder / plan_id))}"


def _hparam(value: Any) -> bool | float | str:
    """As the hparams plugin takes it."""
    if isinstance(value, bool | int | float | str):
        return value
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
