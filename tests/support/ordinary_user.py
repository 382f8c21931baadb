"""pytest as an ordinary user, who can read copies of Python, of this checkout and of pytest, and nothing else of ours.

A root's tests start it, since an ordinary user's servers share their uid with everything that the user owns.
"""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.sandbox.image import LIBRARIES, image_of, python_command
from support.paths import REPO

UID = 54_321  # of nobody: no name, no group, no home
PACKAGES = ("pytest", "_pytest", "pluggy", "iniconfig", "packaging", "pygments", "platformdirs")


@contextmanager
def house() -> Iterator[Path]:
    """A folder of the user's own with all that its tests need."""
    with tempfile.TemporaryDirectory(prefix="ordinary-user-", ignore_cleanup_errors=True) as root:
        folder = Path(root)
        for name in ("core", "tests"):
            shutil.copytree(REPO / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "data"))
        for name in PACKAGES:
            package = Path(importlib.import_module(name).__file__ or "").parent
            shutil.copytree(package, folder / "site" / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(Path(importlib.import_module("pytest").__file__ or "").parents[1] / "py.py", folder / "site")
        (folder / "jail").mkdir()
        image_of("user", folder / "jail")
        (folder / "tmp").mkdir()
        for path in (folder, *folder.rglob("*")):
            os.chown(path, UID, UID)
        yield folder


def pytest_as_user(
    folder: Path, *arguments: str, level: str = "", timeout_s: float = 200
) -> subprocess.CompletedProcess:
    image = image_of("user", folder / "jail")
    environment = {
        "LD_LIBRARY_PATH": str(image / LIBRARIES),  # the interpreter may name a folder that is not for everybody
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "TMPDIR": str(folder / "tmp"),
        "GRPOQ_CACHE": str(folder / "cache"),
        "GRPOQ_SANDBOX": level,
        "PYTHONPATH": ":".join(str(folder / name) for name in ("", "tests", "site")),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    plain = ("--noconftest", "-p", "no:cacheprovider", "--rootdir", str(folder), "-c", "/dev/null", "-q", "-rs")
    return subprocess.run(
        [*python_command(image), "-S", "-m", "pytest", *plain, *arguments],
        cwd=folder,
        env=environment,
        user=UID,
        group=UID,
        extra_groups=[],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
