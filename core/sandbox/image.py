"""A copy of Python for judged code: interpreter, standard library, the libraries that they load, the judging modules.

One per kind of server (core.sandbox.pool). Judged code sees nothing else, so nothing that lies beside the original can
be read, and the kinds have no inode in common: a lock, a time or a cached page of a shared file would carry bits from
who holds expected values to who is asked for them. Copies lie in the cache under a digest of what they are made of.
"""

import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from core.runs.cache import cache_folder

ASKED, TOLD = "asked", "told"  # for answers; expected values or a canonical solution

CORE = Path(__file__).resolve().parents[1]
STDLIB = Path(os.__file__).resolve().parent
ZONES = Path("/usr/share/zoneinfo")
LIBRARIES, GRADER, CONTENTS = "libraries", "grader", "contents.json"
JUDGING = ("__init__.py", "sandbox/__init__.py", "sandbox/jail")  # of core
LEFT_OUT = ("ensurepip", "idlelib", "lib2to3", "test", "tkinter", "turtle", "turtledemo")
EXTENSIONS_LEFT_OUT = ("_ctypes_test", "_test", "_tkinter", "_xx", "nis", "xx")
UNUSED_S = 86_400.0

# Run in the original Python: names of all libraries that its extension modules load, as the loader was asked for them.
_LIST_LIBRARIES = """
import ctypes, os, sys
for module in sys.argv[1:]:
    try:
        __import__(module)
    except ImportError:
        pass
def tell(info, size, data):
    print(os.fsdecode(ctypes.string_at(info[1] or b"")))
    return 0
kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_void_p), ctypes.c_size_t, ctypes.c_void_p)
ctypes.CDLL(None).dl_iterate_phdr(kind(tell), None)
"""


_in_use: dict[tuple[str, Path], Path] = {}  # and locked so until this process ends


def image_of(kind: str, place: Path) -> Path:
    """The folder of the copy for this kind below `place`, made where it is missing or incomplete.

    Raises OSError where it cannot be made.
    """
    known = _in_use.get((kind, place))
    if known is not None and (known / CONTENTS).exists():
        return known
    image = place / f"{_digest()}-{kind}"
    with _locked(place / "lock"):
        if not _is_whole(image):
            _remove(image)
            _make(image)
            _prune(place)
        in_use = os.open(image, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)  # tidiers of /tmp heed this lock as well
        fcntl.flock(in_use, fcntl.LOCK_SH)
        os.utime(image)
    _in_use[kind, place] = image
    return image


def default_place() -> Path:
    """Where copies lie: the cache, or a folder of this user's below the temporary one where that cannot be written."""
    for folder in (cache_folder(), Path(tempfile.gettempdir()) / f"grpoq-{os.getuid()}"):
        place = folder / "jail"
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        is_ours = place.stat().st_uid == os.getuid() and folder.stat().st_uid in (0, os.getuid())
        if is_ours and os.access(place, os.W_OK | os.X_OK):
            # Children of a root's server have another user, and pass through.
            place.chmod(0o711 if os.getuid() == 0 else 0o700)
            return place
    raise OSError(f"no copy of Python can be made: neither {cache_folder()} (GRPOQ_CACHE) nor the temporary folder "
                  "can be written by this user")  # fmt: skip


def is_public(place: Path) -> bool:
    """Whether every user may pass through to it."""
    return all(path.stat().st_mode & 0o001 for path in (place, *place.parents))


def python_command(image: Path) -> list[str]:
    """The copy's interpreter, started by the copy's loader, so that no library is taken from elsewhere."""
    libraries = image / LIBRARIES
    python = str(image / "bin" / _interpreter().name)
    for loader in libraries.glob("ld-*"):
        only = [] if "musl" in loader.name else ["--inhibit-cache"]
        # By name, because the interpreter itself may point to an absolute place for it.
        preloaded = [word for path in libraries.glob("libpython*") for word in ("--preload", str(path))]
        return [str(loader), *only, "--library-path", str(libraries), *preloaded, python]
    return [python]


def environment(image: Path) -> dict[str, str]:
    """What points into the copy: time zones; and locales, of which it has none but the C library's own."""
    return {"PYTHONTZPATH": str(image / ZONES.name), "LOCPATH": str(image / "locale")}


def require_hidden(paths: Iterable[Path], visible: Iterable[str]) -> None:
    """Raises OSError where one of the paths lies among what judged code is shown: `visible`, and what is copied."""
    for path in paths:
        for shown in (*map(Path, visible), *_shown()):
            if path.resolve().is_relative_to(shown):
                raise OSError(
                    f"{path} lies in {shown}, a part of Python that judged code can read: move it elsewhere "
                    "(GRPOQ_HOME, or where grpoq is installed)"
                )


def _interpreter() -> Path:
    return Path(getattr(sys, "_base_executable", sys.executable)).resolve()  # of a virtual environment: what it is of


def _shown() -> list[Path]:
    """Packages and modules of the standard library that are copied."""
    names = sys.stdlib_module_names - frozenset(LEFT_OUT)
    return [
        p for p in sorted(STDLIB.iterdir()) if _stem(p) in names or _stem(p).startswith(("_sysconfigdata", "lib-dyn"))
    ]


def _stem(path: Path) -> str:
    return path.name.partition(".")[0]


def _digest() -> str:
    """Of what decides a copy's contents. Libraries are not asked for: a copy is whole with those that it has."""
    stamps = [(str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in (_interpreter(), STDLIB, STDLIB / "os.py")]
    judging = [p.read_bytes().hex() for p in (Path(__file__), *_judging_modules())]
    return hashlib.sha256(json.dumps([sys.version, platform.machine(), stamps, judging]).encode()).hexdigest()[:16]


def _judging_modules() -> Iterator[Path]:
    for name in JUDGING:
        yield from sorted((CORE / name).glob("*.py")) if (CORE / name).is_dir() else [CORE / name]


def _make(image: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="making-", dir=image.parent) as making:
        folder = Path(making) / image.name
        for source, name in _sources():
            _copy(source, folder / name)
        count, size = _measure(folder)
        (folder / CONTENTS).write_text(json.dumps({"files": count, "bytes": size}))
        for path in (folder, *folder.rglob("*")):
            # Files that not even their owner may write: old versions of landlock let him open them and cut them off.
            path.chmod(0o755 if path.is_dir() else 0o555 if path.stat().st_mode & 0o100 else 0o444)
        folder.rename(image)


def _sources() -> Iterator[tuple[Path, str]]:
    """Each file to be copied and its name in the copy."""
    interpreter = _interpreter()
    yield interpreter, f"bin/{interpreter.name}"
    library = f"{sys.platlibdir}/{STDLIB.name}"
    for path in _standard_library():
        yield path, f"{library}/{path.relative_to(STDLIB)}"
    for path in _libraries():
        yield path, f"{LIBRARIES}/{path.name}"
    for path in _judging_modules():
        yield path, f"{GRADER}/core/{path.relative_to(CORE)}"
    for path in _files(ZONES, ("posix", "right")) if ZONES.is_dir() else ():
        yield path, f"{ZONES.name}/{path.relative_to(ZONES)}"


def _standard_library() -> Iterator[Path]:
    """Code alone: whatever data somebody has put there stays behind."""
    compiled = f".{sys.implementation.cache_tag}.pyc"
    for top in _shown():
        for path in _files(top, ("test", "tests", "site-packages", "dist-packages")) if top.is_dir() else [top]:
            is_code = path.suffix == ".py" or path.name.endswith(compiled)
            if is_code or (path.suffix == ".so" and not path.name.startswith(EXTENSIONS_LEFT_OUT)):
                yield path
            cached = path.parent / "__pycache__" / (path.stem + compiled)
            if path == top and cached.exists():
                yield cached


def _files(folder: Path, left_out: tuple[str, ...]) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in left_out]
        yield from (Path(parent, name) for name in names)


def _libraries() -> list[Path]:
    """What the interpreter and its extension modules load, the loader included."""
    modules = [
        _stem(path) for path in (STDLIB / "lib-dynload").glob("*.so") if not path.name.startswith(EXTENSIONS_LEFT_OUT)
    ]
    command = [str(_interpreter()), "-S", "-s", "-P", "-B", "-W", "ignore", "-c", _LIST_LIBRARIES, *modules]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode != 0:
        raise OSError(f"{command[0]} cannot tell its libraries: {done.stderr.strip()[-300:]}")
    found = {Path(line) for line in done.stdout.splitlines() if line.startswith("/")}
    return sorted(path for path in found if not path.is_relative_to(STDLIB))


def _copy(source: Path, target: Path) -> None:
    """Contents and time, which compiled modules are known by; never a link, which would be the same inode."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    times = source.stat()
    os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))
    target.chmod(times.st_mode & 0o777)


def _measure(image: Path) -> tuple[int, int]:
    sizes = [path.stat().st_size for path in _files(image, ()) if path.name != CONTENTS]
    return len(sizes), sum(sizes)


def _is_whole(image: Path) -> bool:
    try:
        told = json.loads((image / CONTENTS).read_text())
        return _measure(image) == (told["files"], told["bytes"])
    except (OSError, ValueError, KeyError):
        return False


def _prune(place: Path) -> None:
    """Remove copies that no process has open and none has used for a day."""
    for image in place.glob("*-*"):
        if time.time() - image.stat().st_mtime < UNUSED_S:
            continue
        fd = os.open(image, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass
        else:
            _remove(image)
        finally:
            os.close(fd)


def _remove(image: Path) -> None:
    if image.exists():
        shutil.rmtree(image)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time makes or removes copies."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
