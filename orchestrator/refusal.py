"""A sentence for the user and the exit code that goes with it (docs/queue.md, Exit codes)."""

from __future__ import annotations

FAILED = 1  # some runs failed, nothing to report, nothing can go on
BAD_INPUT = 2
UNREACHABLE = 3
UNKNOWN_RUN = 4
TIMED_OUT = 124


class Refused(Exception):
    """What was asked cannot be done; nothing was written. The text says what is wrong and the way out."""

    def __init__(self, sentence: str, exit_code: int = BAD_INPUT) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code
