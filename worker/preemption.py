"""A signal asks; the loop answers at the end of the step, with a checkpoint."""

from __future__ import annotations

import os
import signal
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)


class StopRequest:
    def __init__(self) -> None:
        self.received: str | None = None
        self.pid = os.getpid()
        for number in SIGNALS:
            signal.signal(number, self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() == self.pid:  # a forked child inherits the handler, and must not speak for the run
            self.received = signal.Signals(number).name
