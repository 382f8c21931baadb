"""Code that leaves: exits and errors at import, in a call and in its own tests."""

from __future__ import annotations

from support.made.case import EMPTY, RIGHT, WRONG, Made, answering, fence, made


def leaving() -> list[Made]:
    return [
        *made("exit_at_import", {name: fence(RIGHT, line) for name, line in {**EXITS, **HARD_EXITS}.items()}),
        *made("exit_in_call", {name: fence(answering(line)) for name, line in EXITS.items()}),
        *made("exit_in_own_tests", _in_tests({**EXITS, **HARD_EXITS}, RIGHT)),
        *made("exit_in_own_tests_of_wrong", _in_tests(EXITS, WRONG)),
        *made("process_gone_in_call", {name: fence(answering(line)) for name, line in HARD_EXITS.items()}),
        *made("error_at_import", {name: fence(RIGHT, line) for name, line in ERRORS.items()}),
        *made("error_at_import_of_hack", {name: fence(WRONG, EMPTY, line) for name, line in ERRORS.items()}),
        *made("error_in_call", {name: fence(answering(line)) for name, line in ERRORS.items()}),
        *made("syntax_error_raised_at_import", {name: fence(RIGHT, line) for name, line in RAISED_SYNTAX.items()}),
        *made("syntax_error_raised_in_call", {name: fence(answering(line)) for name, line in RAISED_SYNTAX.items()}),
    ]


EXITS = {
    "exit": "exit()",
    "exit with 0": "exit(0)",
    "quit": "quit()",
    "quit with text": "quit('bye')",
    "sys.exit": "import sys\nsys.exit()",
    "sys.exit with 1": "import sys\nsys.exit(1)",
    "SystemExit": "raise SystemExit",
    "KeyboardInterrupt": "raise KeyboardInterrupt",
    "GeneratorExit": "raise GeneratorExit",
    "own BaseException": "class Leave(BaseException):\n    pass\n\nraise Leave",
}
HARD_EXITS = {
    "os._exit with 0": "import os\nos._exit(0)",
    "os._exit with 1": "import os\nos._exit(1)",
    "abort": "import os\nos.abort()",
    "killed by itself": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
    "segmentation fault": "import ctypes\nctypes.string_at(0)",
}
ERRORS = {
    "ValueError": "raise ValueError('no')",
    "ZeroDivisionError": "1 / 0",
    "NameError": "undefined_name",
    "AssertionError": "assert False",
    "ImportError": "import no_such_module_here",
    "own Exception": "class Wrong(Exception):\n    pass\n\nraise Wrong",
    "RecursionError": "def down():\n    down()\n\ndown()",
    "StopIteration": "next(iter([]))",
    "UnicodeError": "b'\\xff'.decode()",
    "group": "raise ExceptionGroup('two', [ValueError(), TypeError()])",
    "input": "input()",
    "MemoryError": "x = [0] * 10**12",
}
RAISED_SYNTAX = {
    "eval": "eval('1 +')",
    "exec": "exec('if')",
    "raise": "raise SyntaxError",
    "IndentationError": "compile(' x', 'here', 'exec')\ncompile('if 1:\\nx', 'here', 'exec')",
    "literal_eval": "import ast\nast.literal_eval('(')",
}


def _in_tests(lines: dict[str, str], solution: str) -> dict[str, str]:
    bodies = {name: "\n".join(f"    {part}" for part in line.split("\n")) for name, line in lines.items()}
    return {name: fence(solution, f"def run_tests():\n{body}") for name, body in bodies.items()}
