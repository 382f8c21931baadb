"""When a child that does not end is ended."""

import contextlib
import time
from collections.abc import Callable

from core.sandbox.jail.settings import Settings

LOOKS = 4  # in wall_s
SHORTEST_LOOK_S = 0.02
PROBE_CPU_S, PROBE_WALL_S = 0.01, 0.2
SCARCE, IDLE_SHARE = 0.05, 0.1
STANDS_STILL_S, STILL_FACTOR = 5e-5, 3


class Patience:
    """With a child that takes CPU time, and with one that takes none.

    The CPU time is its clock's, exact; what RLIMIT_CPU counts is sampled, and off by a third at load.
    A child is idle where it took far less of the CPU than it could have had, by what this process just got of it. Where
    that is next to nothing, a clock that stands still for long is the only sign, and a far cap comes in the end.
    """

    def __init__(self, started: float, cpu_s: Callable[[], float], settings: Settings) -> None:
        """started: by the monotonic clock; cpu_s: what the child has used, OSError where it is gone."""
        self._started, self._cpu_s, self._settings = started, cpu_s, settings
        self._interval = settings.wall_s / LOOKS
        self._looked, self._cpu = started, 0.0
        self._idle_s = self._still_s = 0.0

    def seconds_left(self) -> float:
        """Until the next look: no sooner than its CPU time can be up."""
        wait = min(self._interval, max(self._settings.cpu_s - self._cpu, SHORTEST_LOOK_S))
        return max(0.0, self._looked + wait - time.monotonic())

    def verdict(self) -> str | None:
        """Look at the child; what it is to be ended for, or null. Starved: not by a fault of its own."""
        used = self._used()
        if self._cpu > self._settings.cpu_s:
            return "CpuLimit"
        seems_idle = used < IDLE_SHARE * (time.monotonic() - self._looked)
        available = _share_of_cpu() if seems_idle else 1.0
        now = time.monotonic()
        passed, self._looked = now - self._looked, now
        self._still_s = self._still_s + passed if used < STANDS_STILL_S else 0.0
        if available > SCARCE and used < IDLE_SHARE * available * passed:
            self._idle_s += passed
        if self._idle_s >= self._settings.wall_s or self._still_s >= self._settings.wall_s * STILL_FACTOR:
            return "WallLimit"
        return "Starved" if now - self._started > self._settings.far_s else None

    def _used(self) -> float:
        """CPU time since the last look."""
        before = self._cpu
        with contextlib.suppress(OSError):  # it has ended meanwhile
            self._cpu = self._cpu_s()
        return self._cpu - before


def _share_of_cpu() -> float:
    """What a process that wants a CPU gets of it now, in (0, 1]; asked for longer than a slice, which any load has."""
    began, spent = time.monotonic(), time.process_time()
    while time.process_time() - spent < PROBE_CPU_S and time.monotonic() - began < PROBE_WALL_S:
        pass
    return min(1.0, (time.process_time() - spent) / (time.monotonic() - began))
