"""Removal of what a check has left in its server's folder."""

import contextlib
import os
from collections.abc import Callable

LONGEST_PATH = 2048  # of the 4,096 bytes that a path may have


def clear(root: str, beat: Callable[[], None] = lambda: None) -> bool:
    """Remove the child's directory and, where it has our user, whatever it put beside it. Whether nothing is left."""
    while names := os.listdir(root):
        if sum(_removed(root, f"{root}/{name}", beat) for name in names) == 0:
            return False
    return True


def _removed(root: str, path: str, beat: Callable[[], None]) -> bool:
    """Whether it is gone, with all that is in it. What lies too deep for a path moves up to `root` first."""
    pending, opened = [path], set()
    while pending:
        beat()
        place = pending[-1]
        if _gone(place):
            pending.pop()
        elif place in opened:
            return False
        else:
            opened.add(place)
            pending += _opened(root, place)
    return True


def _gone(path: str) -> bool:
    for remove in (os.rmdir, os.unlink):
        with contextlib.suppress(OSError):
            remove(path)
            return True
    return False


def _opened(root: str, folder: str) -> list[str]:
    """Folders in this one; other files are removed, and what a longer path could not name is moved to `root`."""
    found = []
    with contextlib.suppress(OSError):
        os.chmod(folder, 0o700)
        with os.scandir(folder) as entries:
            inside = [(entry.path, entry.is_dir(follow_symlinks=False)) for entry in entries]
        for path, is_folder in inside:
            if not is_folder:
                os.unlink(path)
            elif len(path) < LONGEST_PATH:
                found.append(path)
            else:
                os.chmod(path, 0o700)
                os.rename(path, f"{root}/{os.urandom(8).hex()}")
    return found
