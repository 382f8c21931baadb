"""`grpoq` called in the test's own process: a fresh interpreter is what is slow about it. What it starts is real."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from orchestrator import cli


def grpoq(*arguments: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Exit code and streams; an exception that the command lets through goes through here too."""
    code, out, err = 0, io.StringIO(), io.StringIO()
    told = contextlib.redirect_stdout(out), contextlib.redirect_stderr(err)
    with environment(**env), contextlib.chdir(cwd), told[0], told[1]:
        argv, sys.argv = sys.argv, ["grpoq", *arguments]
        try:
            cli.main()
        except SystemExit as leaving:
            code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
        finally:
            sys.argv = argv
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def environment(**values: str) -> Iterator[None]:
    old = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(old)
