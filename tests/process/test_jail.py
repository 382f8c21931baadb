"""No draught: what judged code is shown, what it cannot mark, count or lock, and what no check leaves for the next.

Each claim is of all levels that hide anything, for a root's servers and for an ordinary user's.
"""

from __future__ import annotations

import itertools
import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.sandbox import image
from core.sandbox.levels import LEVELS
from core.sandbox.pool import SERVER_ENVIRONMENT, Check, Sandbox, why_not
from support.paths import REPO

SHUT_IN = ("bubblewrap", "namespaces", "landlock")
AS_ROOT = os.geteuid() == 0
REFUSED = {"raised": "PermissionError"}
KINDS = (False, True)  # of a check: reveals_answers
STDLIB = Path(os.__file__).parent
PLACES = ("/usr/src", "/usr/local/share", f"{STDLIB}/site-packages", f"{STDLIB}/json")
NAME = f"grpoq-{secrets.token_hex(4)}.jsonl"

SYSTEM_CALLS = """
import ctypes, fcntl, os, struct
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    ctypes.set_errno(0)
    if libc.syscall(number, *arguments) >= 0:
        return 'done'
    raise OSError(ctypes.get_errno(), '')
def page(of=os.__file__):
    import mmap
    fd = os.open(of, os.O_RDONLY)
    return mmap.mmap(fd, 4096, mmap.MAP_PRIVATE, mmap.PROT_READ)
LIBRARY = os.open(os.__file__, os.O_RDONLY)
own = open('own', 'w+b')
"""
# By what they would do. All would work on a file of one's own, and without the filter they do.
X86_CALLS = {
    "evict cached pages": "os.posix_fadvise(LIBRARY, 0, 0, os.POSIX_FADV_DONTNEED)",
    "fetch pages": "call(187, LIBRARY, 0, 4096)",
    "read what is cached": "os.preadv(LIBRARY, [bytearray(9)], 0, os.RWF_NOWAIT)",
    "ask what is cached": "call(27, ctypes.c_void_p(id(page) & ~4095), 4096, ctypes.create_string_buffer(1))",
    "ask what is cached, by file": "call(451, LIBRARY, bytes(16), ctypes.create_string_buffer(40), 0)",
    "evict pages by madvise": "page().madvise(21)",
    "fetch pages by madvise": "page().madvise(3)",
    "merge equal pages": "page().madvise(12)",
    "merge equal pages of the process": "call(157, 67, 1, 0, 0, 0)",
    "asynchronous reads": "call(206, 1, ctypes.byref(ctypes.c_void_p()))",
    "lock": "fcntl.flock(LIBRARY, fcntl.LOCK_EX | fcntl.LOCK_NB)",
    "lock a range": "fcntl.lockf(own, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 5)",
    "ask for a range's lock": "fcntl.fcntl(LIBRARY, fcntl.F_GETLK, struct.pack('hhqqi', 1, 0, 0, 0, 0))",
    "lock a range of the open file": "fcntl.fcntl(own, 37, struct.pack('hhqqi', 1, 0, 0, 0, 0))",
    "lease": "fcntl.fcntl(own, fcntl.F_SETLEASE, fcntl.F_RDLCK)",
    "signals to an owner": "fcntl.fcntl(LIBRARY, fcntl.F_SETOWN, os.getpid())",
    "signals of a number": "fcntl.fcntl(LIBRARY, 10, 9)",
    "signals to an owner, by ioctl": "fcntl.ioctl(3, 0x8902, struct.pack('i', os.getpid()))",
    "notices of a folder": "fcntl.fcntl(os.open('.', os.O_RDONLY), fcntl.F_NOTIFY, fcntl.DN_CREATE)",
    "hint that stays with a file": "fcntl.fcntl(LIBRARY, 1036, struct.pack('Q', 3))",
    "flags of a file": "fcntl.ioctl(own, 0x40086602, struct.pack('l', 0x40))",
    "watches": "call(294, 0)",
    "times of a device": "os.utime('/dev/null')",
    "times": "os.utime('own', (1, 1))",
    "attributes": "os.setxattr('.', 'user.x', b'x')",
    "attributes away": "os.removexattr('.', 'user.x')",
    "truncate by name": "os.truncate('own', 0)",
    "free memory of the machine": "call(99, ctypes.create_string_buffer(128))",
    "free space of a file system": "os.statvfs(os.__file__)",
    "files of the kernel's own file system": "os.memfd_create('x')",
    "a socket's number": "__import__('socket').socket(fileno=os.dup(3)).getsockopt(1, 57, 8)",
    "another's processor time": "__import__('time').clock_gettime(~os.getppid() << 3 | 2)",
    "sleep by another's clock": "call(230, ~os.getppid() << 3 | 2, 1, bytes(16), 0)",
    "a timer of another's clock": "call(222, ~os.getppid() << 3 | 2, 0, ctypes.byref(ctypes.c_int()))",
    "is another there, by its clock": "call(229, ~os.getppid() << 3 | 2, bytes(16))",
    "wake who waits at a shared page": "call(202, ctypes.c_void_p(id(page) & ~4095), 1, 9, 0, 0, 0)",
    "wake who waits at one of a file": "call(202, ctypes.c_void_p(id(page) & ~4095), 10, 9, 0, 0, -1)",
    "the same, newest call": "call(454, ctypes.c_void_p(id(page) & ~4095), -1, 9, 2)",
}  # fmt: skip
OF_A_SHARED_USER = {
    "mode": "os.chmod('own', 0o600)",
    "mode of an open file": "os.fchmod(own.fileno(), 0o600)",
    "mode, newest call": "call(452, -100, b'own', 0o600, 0)",
    "group": "os.chown('own', -1, os.getgid())",
    "group of an open file": "os.fchown(own.fileno(), -1, os.getgid())",
    "group of a link": "os.lchown('own', -1, os.getgid())",
}


@pytest.fixture(scope="module")
def truth_below_usr() -> Iterator[list[str]]:
    """Files that are there before any server starts."""
    if not AS_ROOT:
        yield []
        return
    files = [Path(place) / NAME for place in PLACES if Path(place).is_dir()]
    try:
        for path in files:
            path.write_text("truth")
        yield [str(path) for path in files]
    finally:
        for path in files:
            path.unlink(missing_ok=True)


@pytest.fixture(scope="module", params=SHUT_IN)
def sandbox(request, truth_below_usr) -> Iterator[Sandbox]:
    reason = why_not(LEVELS[request.param])
    if reason is not None:
        assert "CI" not in os.environ, f"{request.param}: {reason}; `just tools` installs what is missing"
        pytest.skip(f"{request.param} does not work here: {reason}")
    with Sandbox(level=request.param) as sandbox:
        yield sandbox


def answers(sandbox: Sandbox, program: str, *steps: str, reveals_answers: bool = False) -> tuple:
    result = sandbox.run([Check("calls", "", program, steps=steps, reveals_answers=reveals_answers)])[0]
    assert result.answers is not None, result
    return result.answers


def servers(sandbox: Sandbox) -> dict:
    return {reveals: server for (reveals, _), server in sandbox._servers.items()}


# ---- what is shown
INODES = """
import ctypes, os, sys
def every(*tops):
    found = []
    for top in tops:
        for folder, _, names in os.walk(top):
            for name in ('', *names):
                s = os.lstat(f'{folder}/{name}')
                if s.st_mode & 0o170000 in (0o040000, 0o100000):
                    found.append([s.st_dev, s.st_ino, f'{folder}/{name}'])
    return found
def mapped():
    seen = []
    def tell(info, size, data):
        seen.append(os.fsdecode(ctypes.string_at(info[1] or b'')))
        return 0
    kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_void_p), ctypes.c_size_t, ctypes.c_void_p)
    ctypes.CDLL(None).dl_iterate_phdr(kind(tell), None)
    return [path for path in seen if path.startswith('/')]
"""


def test_the_two_kinds_of_servers_have_no_file_in_common(sandbox):
    """Nor one with this process, which holds the answers too: libraries that are mapped, and all that can be opened."""
    inodes = {}
    for kind in KINDS:
        program, step = f"{INODES}\nTOP = sys.prefix", "[every(TOP), mapped(), sys.executable]"
        result = sandbox.run([Check("calls", "", program, steps=(step,), reveals_answers=kind, records_cap=1 << 22)])[0]
        files, mapped, executable = result.answers[0]
        inodes[kind] = {(dev, ino) for dev, ino, _ in files}
        names = {name for _, _, name in files}
        assert {executable, *mapped} <= names and len(mapped) > 5 and len(names) > 500
    assert not inodes[False] & inodes[True]
    mine = [*STDLIB.glob("*.py"), *{Path(line.split()[-1]) for line in mapped_here()}]
    assert not {(s.st_dev, s.st_ino) for s in map(os.stat, mine)} & (inodes[False] | inodes[True])


def mapped_here() -> list[str]:
    return [line for line in Path("/proc/self/maps").read_text().splitlines() if "/" in line and ".so" in line]


def test_nothing_is_shown_but_python_the_devices_and_the_folder(sandbox):
    root = answers(sandbox, "import os", "os.listdir('/')", "os.listdir('/dev')", "os.listdir('/usr')")
    if root[0] == REFUSED:  # landlock: not even the names of a folder
        assert root == (REFUSED,) * 3
    else:
        assert set(root[0]) == {"box", "dev", str(image.default_place()).split("/")[1]}
        assert sorted(root[1]) == ["full", "null", "random", "urandom", "zero"] and "raised" in root[2]


@pytest.mark.skipif(not AS_ROOT, reason="only root may write there")
def test_truth_below_usr_or_within_the_standard_library_is_not_read(truth_below_usr, sandbox):
    assert len(truth_below_usr) >= 3
    steps = [f"read({path!r})" for path in truth_below_usr] + [f"read(os.__file__.replace('os.py', 'json/{NAME}'))"]
    read = "import os\ndef read(path): return open(path).read()"
    assert all(list(answer) == ["raised"] for answer in answers(sandbox, read, *steps))


def test_no_data_and_no_package_is_copied_with_the_standard_library(tmp_path, monkeypatch):
    """Whoever put it there, under whatever name: only modules that Python itself has, and of them only code."""
    library = tmp_path / "python3.11"
    for name in ("json/__init__.py", "json/problems.jsonl", "truth.py", "truth/__init__.py", "site-packages/a.py",
                 "lib-dynload/math.so", "lib-dynload/_test.so", "test/a.py", "os.py", "problems.jsonl"):  # fmt: skip
        (library / name).parent.mkdir(parents=True, exist_ok=True)
        (library / name).write_text("x")
    monkeypatch.setattr(image, "STDLIB", library)
    found = {str(path.relative_to(library)) for path in image._standard_library()}
    assert found == {"json/__init__.py", "lib-dynload/math.so", "os.py"}


@pytest.mark.parametrize("level", SHUT_IN)
def test_a_home_within_what_is_shown_is_refused(level, monkeypatch):
    monkeypatch.setenv("GRPOQ_HOME", str(STDLIB / "json" / "home"))
    said = why_not(LEVELS[level])
    assert re.search("json/home lies in .*json, a part of Python that judged code can read.*GRPOQ_HOME", said or "")


def test_the_standard_library_is_whole(sandbox):
    """All that honest code imports, those with libraries of their own included; and time zones."""
    modules = "ssl, hashlib, sqlite3, lzma, bz2, zlib, decimal, ctypes, asyncio, unittest, csv, xml.etree.ElementTree"
    program = f"import {modules}, zoneinfo, dataclasses, statistics, fractions, concurrent.futures, array, uuid"
    steps = ["len(hashlib.sha256(b'').digest())", "decimal.Decimal(1).sqrt() == 1", "asyncio.run(asyncio.sleep(0, 7))"]
    if image.ZONES.is_dir():
        steps.append("zoneinfo.ZoneInfo('Europe/Berlin').key")
    assert answers(sandbox, program, *steps) == (32, True, 7, "Europe/Berlin")[: len(steps)]


def test_the_environment_names_nothing_of_the_trainer(sandbox):
    (names, place) = answers(sandbox, "import os", "[*os.environ]", "os.environ.get('PWD', '/')")
    assert set(names) <= {*SERVER_ENVIRONMENT, "PYTHONTZPATH", "LOCPATH", "PWD", "SHLVL"} and place == "/"


# ---- the copy
def test_a_damaged_copy_is_made_again_and_an_unused_one_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(image, "_sources", lambda: [(STDLIB / "bisect.py", "lib/bisect.py")])
    made = image.image_of("asked", tmp_path)
    module = made / "lib" / "bisect.py"
    module.unlink()
    old = tmp_path / "0123456789abcdef-asked"
    old.mkdir()
    os.utime(old, (time.time() - 2 * 86_400,) * 2)
    image._in_use.clear()
    assert image.image_of("asked", tmp_path) == made and module.exists() and not old.exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("making")] == []


def test_a_place_that_cannot_be_written_gives_way_to_the_temporary_folder(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GRPOQ_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert image.default_place() == tmp_path / f"grpoq-{os.getuid()}" / "jail"
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file"))
    with pytest.raises(OSError, match="GRPOQ_CACHE"):
        image.default_place()


# ---- what is refused
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of another architecture")
@pytest.mark.parametrize("kind", KINDS)
def test_what_would_carry_bits_by_files_or_counters_is_refused(kind, sandbox):
    wanted = X86_CALLS if AS_ROOT else X86_CALLS | OF_A_SHARED_USER
    got = answers(sandbox, SYSTEM_CALLS, *wanted.values(), reveals_answers=kind)
    assert {name: answer for name, answer in zip(wanted, got, strict=True) if answer != REFUSED} == {}


def test_what_honest_code_does_with_its_files_and_memory_still_works(sandbox):
    program = """
import ctypes, fcntl, mmap, os, shutil, socket, tempfile, threading
def files():
    os.makedirs('a/b')
    open('a/b/c', 'w').write('x' * 9)
    os.rename('a/b/c', 'a/d')
    shutil.move('a/d', 'e')
    os.link('e', 'f')
    os.symlink('f', 'g')
    with open('g', 'r+') as file:
        file.truncate(3)
        os.fsync(file.fileno())
    shutil.rmtree('a')
    with tempfile.TemporaryDirectory(dir='.') as folder:
        open(folder + '/h', 'w').close()
    return open('g').read(), sorted(os.listdir('.'))
def memory():
    held = mmap.mmap(-1, 1 << 20)
    held[0] = 1
    held.madvise(mmap.MADV_DONTNEED)
    return len(held)
def talk():
    one, other = socket.socketpair()
    one.setblocking(False)
    one.send(b'x')
    return other.recv(1), one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), os.isatty(0)
def threads():
    seen = []
    started = [threading.Thread(target=seen.append, args=(n,)) for n in range(20)]
    [t.start() for t in started], [t.join() for t in started]
    return len(seen)
def wait():
    from concurrent.futures import ThreadPoolExecutor
    libc = ctypes.CDLL(None)
    thread = ctypes.c_ulong()
    libc.pthread_create(ctypes.byref(thread), None, libc.getppid, None)
    with ThreadPoolExecutor(4) as pool:
        return libc.pthread_join(thread, None), sum(pool.map(abs, range(9)))
"""
    wanted = (
        {"tuple": ["xxx", ["e", "f", "g"]]},
        1 << 20,
        {"tuple": [{"bytes": "78"}, 0, False]},
        20,
        {"tuple": [0, 36]},
    )
    assert answers(sandbox, program, "files()", "memory()", "talk()", "threads()", "wait()") == wanted


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of another architecture")
def test_the_filter_is_the_same_at_level_limits():
    with Sandbox(level="limits") as sandbox:
        test_what_would_carry_bits_by_files_or_counters_is_refused(False, sandbox)


# ---- what a check leaves, and what it is told of others
def test_nothing_of_an_earlier_check_shows_in_names_users_and_numbers(sandbox):
    ask = "import os, threading\nfor _ in range(50):\n    t = threading.Thread(target=int)\n    t.start()\n    t.join()"
    told = [answers(sandbox, f"{ask}\n# {n}", "os.getcwd()", "os.getuid()", "os.getpid()") for n in range(4)]
    assert len({(cwd, uid) for cwd, uid, _ in told}) == 1
    pids = [pid for _, _, pid in told]
    if servers(sandbox)[False]._folder == "/box":  # landlock has the machine's numbers
        assert [b - a for a, b in itertools.pairwise(pids)] != [51] * 3 and min(pids) > 2


def test_nothing_can_be_made_beside_the_checks_own_folder(sandbox):
    program = "import os\ndef make(where): os.mkdir(where)"
    assert set(map(str, answers(sandbox, program, "make('../beside')", "make('/box/beside')"))) <= {
        str({"raised": name}) for name in ("PermissionError", "FileNotFoundError")
    }


def test_memory_runs_out_for_servers_and_their_children_first(sandbox):
    for kind in KINDS:
        answers(sandbox, "", "1", reveals_answers=kind)
    for server in servers(sandbox).values():
        assert Path(f"/proc/{server.pid}/oom_score_adj").read_text() == "1000\n"
    child = "import time; time.sleep(0.05)"  # inherits it; its own file is not shown to it
    assert answers(sandbox, child, "open('/proc/self/oom_score_adj', 'w').write('0')")[0]["raised"] in (
        "FileNotFoundError", "PermissionError")  # fmt: skip


def test_a_box_in_memory_has_room_for_few_files(sandbox):
    assert answers(sandbox, "here = 1", "here") == (1,)  # its server runs now, whichever test came first
    if servers(sandbox)[False]._folder != "/box":
        pytest.skip("its folder lies on the disk")
    program = """
import os
made = 0
try:
    while made < 9000:
        os.mkdir(str(made))
        made += 1
except OSError as e:
    error = e.errno
"""
    made, error = answers(sandbox, program, "made", "error")
    assert 4000 < made < 4200 and error == 28
    assert answers(sandbox, "import os", "os.listdir('.')") == ([],)


def test_one_lane_cannot_use_up_the_threads_of_another():
    """The kernel counts tasks by user and namespace, 64 at most: 40 threads here leave room for 40 there."""
    start = "threading.Thread(target=time.sleep, args=(1,), daemon=True).start()"
    program = f"import threading, time\nthreading.stack_size(1 << 16)\nfor _ in range(40): {start}\ntime.sleep(.3)"
    checks = [Check("calls", "", f"{program}\n# {n}", reveals_answers=n > 1) for n in range(4)]
    for level in SHUT_IN:
        with Sandbox(workers=2, level=level) as sandbox:
            assert [result.error for result in sandbox.run(checks)] == [None] * 4, level


@pytest.mark.skipif(not AS_ROOT, reason="an ordinary user has one uid")
def test_each_server_has_a_user_of_its_own():
    check = [Check("calls", "", f"# {n}", reveals_answers=n > 1) for n in range(4)]
    with Sandbox(workers=2) as one, Sandbox() as other:
        one.run(check), other.run(check)
        users = [server._user.uid for sandbox in (one, other) for server in sandbox._servers.values()]
    assert len(users) == len(set(users)) == 6


OLD_LANDLOCK = """
import ctypes, fcntl, os, socket, struct, sys
from core.sandbox.jail import landlock, seccomp
version, victim, own, stdlib = int(sys.argv[1]), sys.argv[2], sys.argv[3], os.path.dirname(os.__file__)
landlock.version = lambda: version
a, b = socket.socketpair()
held = os.open(victim, os.O_RDONLY)
seccomp.install_for_all(shared_user=True)
ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)
landlock.restrict([stdlib], own)
seccomp.install_for_child(shared_user=True)
attempts = {
    "mode": lambda: os.chmod(victim, 0),
    "group": lambda: os.chown(victim, -1, os.getgid()),
    "times": lambda: os.utime(victim, (1, 1)),
    "attribute": lambda: os.setxattr(victim, "user.x", b"x"),
    "truncate": lambda: os.truncate(victim, 0),
    "open and truncate": lambda: os.open(victim, os.O_RDONLY | os.O_TRUNC),
    "owner": lambda: fcntl.fcntl(a, fcntl.F_SETOWN, os.getppid()),
    "signal": lambda: fcntl.fcntl(a, 10, 9),
    "owner by ioctl": lambda: fcntl.ioctl(a, 0x8901, struct.pack("i", os.getppid())),
    "device control": lambda: fcntl.ioctl(held, 0x40086602, struct.pack("l", 0x40)),
    "kill": lambda: os.kill(os.getppid(), 0),
    "connect": lambda: socket.socket().connect(("127.0.0.1", 9)),
    "link": lambda: os.link(victim, own + "/link"),
    "move": lambda: os.rename(victim, own + "/moved"),
    "remove": lambda: os.unlink(victim),
}
for name, attempt in attempts.items():
    try:
        attempt()
        print(name)
    except OSError:
        pass
print("all tried")
"""


@pytest.mark.parametrize("version", [1, 2, 3, 4, 5])
def test_the_filter_closes_what_older_versions_of_landlock_leave_open(version, tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "victim").write_text("x")
    command = [sys.executable, "-c", OLD_LANDLOCK, str(version), str(tmp_path / "victim"), str(tmp_path / "own")]
    environment = {**os.environ, "PYTHONPATH": str(REPO)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPO, env=environment, check=False)
    assert done.stdout == "all tried\n", done.stdout + done.stderr
    assert (tmp_path / "victim").read_text() == "x"
