"""The loop that reconciles: it is the local queue, and the one who resubmits what died.

One watch per home, by a kernel lock. A detached one leaves when no submitted plan has anything left to do; it gives
up its lock under apply.lock, so that a `submit` at that moment sees either a watch that will look again, or none.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence

from core.runs import durable
from orchestrator.queue import background
from orchestrator.refusal import FAILED, Refused
from orchestrator.store.home import Home

INTERVAL_S = 0.5


def is_running(home: Home) -> bool:
    return durable.is_flocked(home.watch_lock)


def start_detached(home: Home) -> None:
    """Start a watch that outlives this terminal, unless one runs. Returns once it holds the lock."""
    background.start_detached(home, ["watch", "--detached"], home.watch_log, lambda: is_running(home), "the watch")


def watch(home: Home, detached: bool) -> None:
    """Reconcile for ever; a detached watch until all submitted runs have ended."""
    home.path.mkdir(parents=True, exist_ok=True)
    lock = background.take_lock(home.watch_lock)
    if lock is None:
        if detached:
            return
        raise Refused(f"a watch of {home.path} runs already; `grpoq status` shows what it does", FAILED)
    from orchestrator.queue.reconcile import Reconciler  # it imports the backends, which import this

    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the terminal may go, the queue stays
    say(f"watch of {home.path}, pid {os.getpid()}")
    reconciler = Reconciler(home, say=say, watching=True)
    with _alarm_clock() as (sleep, stopped):
        while not stopped():
            try:
                with home.applying():
                    left = reconciler.one_pass()
                    if detached and not left:
                        os.close(lock)
                        say("nothing left to do")
                        return
            except OSError as error:  # a full disk, too many files: the runs go on, and so does the queue
                say(f"pass not finished: {error}")
            sleep(INTERVAL_S, reconciler.living())


def say(line: str) -> None:
    with contextlib.suppress(OSError):  # the terminal is gone
        print(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {line}", flush=True)


@contextlib.contextmanager
def _alarm_clock() -> Iterator[tuple[Callable[[float, Sequence[int]], None], Callable[[], bool]]]:
    """(sleep, stopped): a sleep that ends early when one of the processes ends, or SIGTERM or SIGINT comes."""
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    reader.setblocking(False)
    wanted: list[int] = []
    old_wakeup = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    old = {
        which: signal.signal(which, lambda number, _: wanted.append(number))
        for which in (signal.SIGTERM, signal.SIGINT)
    }
    old[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)

    def sleep(seconds: float, processes: Sequence[int]) -> None:
        poll = select.poll()  # not select: a watch of many runs holds descriptors above 1024
        for descriptor in (reader.fileno(), *processes):
            poll.register(descriptor, select.POLLIN)
        if any(descriptor == reader.fileno() for descriptor, _ in poll.poll(seconds * 1000)):
            with contextlib.suppress(BlockingIOError):
                reader.recv(4096)

    try:
        yield sleep, lambda: bool(wanted)
    finally:
        signal.set_wakeup_fd(old_wakeup)
        for which, handler in old.items():
            signal.signal(which, handler)
        reader.close()
        writer.close()
