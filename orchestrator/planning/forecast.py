"""Disk and host memory of a plan: what it will take, beside what is there now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.spec import RunSpec
from orchestrator.planning import disk_forecast, host_forecast


@dataclass(frozen=True)
class Needs:
    places: list[disk_forecast.Place]
    host: dict[str, Any] | None  # None: no model's shape is known
    slots: int
    floor_gb: float

    def to_json(self) -> dict[str, Any]:
        return {"disk": [place.to_json() for place in self.places], "host_memory": self.host}

    def lines(self) -> list[str]:
        """What is needed, then what is not there."""
        host = [host_forecast.line(self.host, self.slots)] if self.host else []
        short = host_forecast.warning(self.host) if self.host else None
        missing = [*disk_forecast.warnings(self.places, self.floor_gb), *([short] if short else [])]
        return [*disk_forecast.lines(self.places), *host, *(f"not enough: {sentence}" for sentence in missing)]


def needs(home: Path, specs: Sequence[RunSpec], slots: int) -> Needs:
    floor = max(spec.config.disk_floor_gb for spec in specs)
    return Needs(disk_forecast.places(home, specs, slots), host_forecast.forecast(specs, slots), slots, floor)
