"""Printed output. The benchmark finds its result among it, in the last line that is a JSON object."""

from __future__ import annotations

from support.made.case import EMPTY, HONEST, RIGHT, WRONG, Made, answering, fence, made

DOUBLED = "return n + n"


def printing() -> list[Made]:
    return [
        *made("prints_at_import", {name: fence(RIGHT, line) for name, line in PRINTS.items()}),
        *made("prints_in_call", {name: fence(answering(f"{line}\n{DOUBLED}")) for name, line in PRINTS.items()}),
        *made("prints_in_own_tests", {n: fence(WRONG, EMPTY + _indented(line)) for n, line in PRINTS.items()}),
        *made("print_without_newline", _without_newline()),
        *made("print_replaced", _replaced()),
        *made("stdout_is_no_file", {name: fence(RIGHT, line) for name, line in NO_FILE.items()}),
        *made("writes_past_stdout", _past()),
        *made("result_forged", {name: fence(WRONG, line) for name, line in FORGED.items()}),
    ]


PRINTS = {
    "text": "print('hello')",
    "nothing": "print()",
    "no end, then a newline": "print('a', end=' ')\nprint('b')",
    "unicode": "print('\u00fc \u2713 \U0001f600')",
    "json": "print('{\"tests_passed\": 7}')",
    "brace": "print('{')",
    "much": "for _ in range(2000):\n    print('x' * 100)",
    "stderr": "import sys\nprint('error', file=sys.stderr)",
    "write": "import sys\nsys.stdout.write('line\\n')\nsys.stdout.flush()",
    "logging": "import logging\nlogging.warning('careful')",
    "pprint": "from pprint import pprint\npprint({'a': [1, 2]})",
    "redirected": "import contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()):\n    print('kept', end='')",
    "warning": "import warnings\nwarnings.warn('old')",
}
NO_FILE = {
    "buffer": "import sys\nsys.stdout.buffer.write(b'')",
    "fileno": "import sys\nsys.stdout.fileno()",
    "reconfigure": "import sys\nsys.stdout.reconfigure(line_buffering=True)",
}
# Each makes the benchmark believe that all three asserts of the row have passed.
FORGED = {
    "exec replaced": "def exec(*args):\n    pass",
    "written and left": (
        'import os\nos.write(1, b\'{"stdout": {"tests_evaluated": 3, "tests_passed": 3}}\')\nos._exit(0)'
    ),
    "printed at the end": (
        "import json\nprinted = json.dumps\n"
        "json.dumps = lambda value, *args, **kwargs: printed({**value, 'tests_passed': value.get('tests_total')})"
    ),
}


def _indented(line: str) -> str:
    return "    " + line.replace("\n", "\n    ") + "\n"


def _without_newline() -> dict[str, str]:
    dot = "print('.', end='')"
    return {
        "at import": fence(RIGHT, dot),
        "in the call": fence(answering(f"{dot}\n{DOUBLED}")),
        "write": fence(answering(f"import sys\nsys.stdout.write('.')\n{DOUBLED}")),
        "in honest tests": fence(RIGHT, HONEST + f"    {dot}\n"),
        "in empty tests of wrong code": fence(WRONG, EMPTY + f"    {dot}\n"),
    }


def _replaced() -> dict[str, str]:
    return {
        "own print": fence("def print(*args, **kwargs):\n    pass", RIGHT),
        "own print, honest tests": fence("print = lambda *args: None", RIGHT, HONEST),
        "stdout replaced": fence(RIGHT, "import io, sys\nsys.stdout = io.StringIO()"),
        "stdout replaced in the call": fence(answering(f"import io, sys\nsys.stdout = io.StringIO()\n{DOUBLED}")),
        "stdout is none": fence(RIGHT, "import sys\nsys.stdout = None"),
        "fast input": fence("import sys\ninput = sys.stdin.readline\nprint = sys.stdout.write", RIGHT),
    }


def _past() -> dict[str, str]:
    return {
        "descriptor 1": fence(RIGHT, "import os\nos.write(1, b'x')"),
        "descriptor 1 in the call": fence(answering(f"import os\nos.write(1, b'x')\n{DOUBLED}")),
        "the first stdout": fence(RIGHT, "import sys\nprint('x', file=sys.__stdout__)"),
        "at exit": fence(RIGHT, "import atexit\natexit.register(print, 'bye')"),
    }
