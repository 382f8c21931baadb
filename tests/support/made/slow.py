"""Slow code. The benchmark gives import and all asserts together 3 s by the wall clock, and kills at 3 s of CPU."""

from __future__ import annotations

from support.made.case import EMPTY, RIGHT, WRONG, Made, answering, fence, made

BUSY = "while True:\n    pass"


def slow() -> list[Made]:
    return [
        *made("slow_in_time", _in_time()),
        *made("sleeps_too_long", _sleeps()),
        *made("busy_for_ever", _busy()),
        *made(
            "thread_left_over",
            {
                "sleeps": fence(
                    RIGHT, ("import threading, time\nthreading.Thread(target=time.sleep, args=(6,)).start()")
                )
            },
        ),
        *made("memory", _memory()),
    ]


def _in_time() -> dict[str, str]:
    return {
        "short sleep": fence(answering("import time\ntime.sleep(0.05)\nreturn 2 * n")),
        "some work": fence(answering("sum(range(10**6))\nreturn 2 * n")),
        "daemon left over": fence(
            RIGHT, ("import threading, time\nthreading.Thread(target=time.sleep, args=(6,), daemon=True).start()")
        ),
        "short thread": fence(RIGHT, ("import threading\nt = threading.Thread(target=int)\nt.start()\nt.join()")),
    }


def _sleeps() -> dict[str, str]:
    return {
        "in the call": fence(answering("import time\ntime.sleep(1.5)\nreturn 2 * n")),
        "at import": fence(RIGHT, "import time\ntime.sleep(4)"),
        "in empty tests of wrong code": fence(WRONG, "def run_tests():\n    import time\n    time.sleep(4)"),
    }


def _busy() -> dict[str, str]:
    return {
        "in the call": fence(answering(BUSY)),
        "at import": fence(RIGHT, BUSY),
        "caught": fence(
            answering(f"try:\n    {BUSY.replace(chr(10), chr(10) + '    ')}\nexcept Exception:\n    return 2 * n")
        ),
        "in tests": fence(RIGHT, "def run_tests():\n    " + BUSY.replace("\n", "\n    ")),
        "in the call of a hack": fence(answering(BUSY), EMPTY),
    }


def _memory() -> dict[str, str]:
    return {
        "at once": fence(answering("x = [0] * 10**10\nreturn 2 * n")),
        "at import": fence(RIGHT, "x = bytearray(1 << 33)"),
        "caught": fence(answering("try:\n    x = [0] * 10**10\nexcept MemoryError:\n    pass\nreturn 2 * n")),
        "300 MB": fence(answering("x = bytearray(300 << 20)\nreturn 2 * n")),
        "in tests": fence(RIGHT, "def run_tests():\n    x = [0] * 10**10"),
        "own tests, hack": fence(
            WRONG, ("def run_tests():\n    try:\n        x = [0] * 10**10\n    except MemoryError:\n        pass")
        ),
    }
