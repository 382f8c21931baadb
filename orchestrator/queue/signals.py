"""Signals to a worker of this host, and the ending that it could not write itself."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from core.runs import durable
from core.runs.run_dir import Fenced, RunDir


def signal_worker(run: RunDir, attempt: int, which: signal.Signals) -> bool:
    """Signal the living worker of our own host, and nobody who has inherited its pid. False: it is gone."""
    handle = open_worker(run, attempt)
    if handle is None:
        return False
    try:
        signal.pidfd_send_signal(handle, which)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True


def open_worker(run: RunDir, attempt: int) -> int | None:
    """A pidfd of the attempt's living process, readable once it ends; None: it is gone, or on another host."""
    beat = run.heartbeat(attempt)
    if beat is None:
        return None
    try:
        handle = os.pidfd_open(beat["pid"])
    except OSError:
        return None
    if run.is_alive(attempt):  # asked while we hold the process: the pid cannot change hands any more
        return handle
    os.close(handle)
    return None


def record_error(run: RunDir, number: int, error: dict[str, Any]) -> None:
    """error.json for an attempt that could not write its own; claims the number where no worker came that far."""
    if number not in run.attempts():
        try:
            away = any(run.is_out_of_reach(n) for n in run.attempts()[-1:])
            os.close(run.claim(number, take_over=away).lock)
        except Fenced:
            return  # somebody lives or came later: then there is nothing to record
    row = {"traceback": None, **error, "time": time.time()}
    durable.write_json(run.attempt(number) / "error.json", row)
