import collections
import contextlib
import enum
import fractions
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import time
import unittest.mock
from pathlib import Path

import pytest

from core.sandbox.jail import judge
from core.sandbox.jail.answers import claims_equality, encoded, matches
from core.sandbox.levels import CHOICE_VARIABLE, LEVELS, SERVER_FLAGS
from core.sandbox.pool import TRIES_ALONE, Check, Sandbox, active_level, why_not
from support.paths import REPO

SHUT_IN = ("bubblewrap", "namespaces", "landlock")


@pytest.fixture(scope="module", params=SHUT_IN)
def sandbox(request):
    """One of each level that hides anything: what is claimed for one is tested for all."""
    reason = why_not(LEVELS[request.param])
    if reason is not None:
        assert "CI" not in os.environ, f"{request.param}: {reason}; `just tools` installs what is missing"
        pytest.skip(f"{request.param} does not work here: {reason}")
    with Sandbox(level=request.param) as sandbox:
        yield sandbox


def calls(program, *steps, **fields):
    return Check("calls", fields.pop("setup", ""), program, steps=steps, **fields)


def nested(depth):
    value = 7
    for _ in range(depth):
        value = [value]
    return value


def gone(pid):
    """Dead, be it unreaped: in a container nobody may reap what lost its parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] in "ZX"
    except OSError:
        return True


def wait_until(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not so within {seconds} s"
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("value", "expected", "same"),
    [
        ([1, 2], [1, 2], True),
        ([1, 2], [2, 1], False),
        (2, 2.0, True),
        (True, 1, True),
        ("1", 1, False),
        (None, 0, False),
        ((1,), [1], False),
        ({2, 1}, {1, 2}, True),
        ({1, 3}, {1, 2}, False),
        ({"a": [1]}, {"a": [1]}, True),
        ({"a": 1, "b": 1}, {"a": 1}, False),
        ({"tuple": []}, (), False),
        (b"x", b"x", True),
        (float("inf"), float("inf"), True),
        (float("nan"), float("nan"), False),
        (type("Int", (int,), {"__eq__": lambda *_: False})(3), 3, True),
        (type("Int", (int,), {"__eq__": lambda *_: True})(3), 4, False),
        (type("Float", (float,), {})(3.5), 3.5, True),
        (type("Any", (), {"__eq__": lambda *_: True})(), 3, False),
        ([type("Str", (str,), {})("a")], ["a"], True),
        (collections.Counter("aab"), {"a": 2, "b": 1}, True),
        (collections.defaultdict(list, {1: [2]}), {1: [2]}, True),
        (collections.OrderedDict(a=1), {"a": 1}, True),
        (collections.namedtuple("P", "x y")(1, 2), (1, 2), True),
        (collections.namedtuple("P", "x y")(1, 2), [1, 2], False),
        (enum.IntEnum("E", "A").A, 1, True),
        (enum.Enum("E", "A").A, 1, False),
        (type("L", (list,), {"__iter__": lambda _: iter([9])})([1]), [1], True),
        (type("S", (set,), {})({1}), {1}, True),
        ({1: 2}.keys(), {1}, True),
        ({1: 2}.values(), [2], False),
        (bytearray(b"x"), b"x", True),
        (2 + 0j, 2, True),
        (2 + 1j, 2, False),
        (fractions.Fraction(1, 2), 0.5, False),
        (collections.deque([1]), [1], False),
        (type("Liar", (), {"__class__": dict})(), {}, False),
        (nested(150), nested(150), True),
        (nested(150), nested(149), False),
        pytest.param(10**5000, 10**5000, True, id="an int too long for JSON"),
        pytest.param([-(10**5000)], [-(10**5000)], True, id="a negative one"),
        pytest.param(10**5000, 10**5000 + 1, False, id="and its neighbour"),
        pytest.param(10**5000, 1.0, False, id="and a float"),
    ],
)
def test_answers_match_by_their_builtin_contents(value, expected, same):
    assert matches(json.loads(encoded(value)), expected) is same


@pytest.mark.parametrize(
    ("value", "claims"),
    [
        (1, False),
        ([{"a": (1, {2})}], False),
        (collections.OrderedDict(a=1), False),
        (collections.Counter("a"), False),
        (fractions.Fraction(1, 2), False),
        (object(), False),
        (unittest.mock.ANY, True),
        (enum.IntEnum("E", "A").A, False),
        (type("Any", (), {"__eq__": lambda *_: True})(), True),
        ([[type("Any", (), {"__eq__": lambda *_: True})()]], True),
        ({1: type("Any", (), {"__eq__": lambda *_: True})()}, True),
        (type("D", (dict,), {"__eq__": lambda *_: True})(), True),
        (type("Any", (), {"__eq__": functools.partial(lambda *_: True)})(), True),
    ],
)
def test_an_own_equality_is_one_that_neither_a_builtin_nor_the_library_has(value, claims):
    assert claims_equality(value) is claims


def test_a_value_that_contains_itself_is_foreign():
    loop = []
    loop.append(loop)
    loop.append({})
    assert not matches([encoded(loop)], [loop]) and len(encoded(loop)) < 10_000


def test_answers_come_back_in_order_and_errors_by_name(sandbox):
    checks = [calls(f"def f(x): return x // {n}", "f(6)", "f('a')", "[f(9)]") for n in (2, 0, 3)]
    two, zero, three = sandbox.run(checks)
    assert two.answers == (3, {"raised": "TypeError"}, [4]) and two.done and two.error is None
    assert zero.answers == ({"raised": "ZeroDivisionError"}, {"raised": "TypeError"}, {"raised": "ZeroDivisionError"})
    assert three.answers == (2, {"raised": "TypeError"}, [3])


def test_equal_checks_run_once(sandbox):
    check = calls("import os", "os.getpid()")
    first, second, other = sandbox.run([check, check, calls("import os; x = 1", "os.getpid()")])
    assert first.answers == second.answers != other.answers


@pytest.mark.parametrize(
    ("program", "imported", "error"),
    [
        ("def f(:", False, "SyntaxError"),
        (" x = 1", False, "IndentationError"),
        ("x = 1 / 0", True, "ZeroDivisionError"),
        ("import sys; sys.exit(0)", False, "SystemExit"),
        ("import os; os._exit(0)", False, "EarlyExit"),
        ("x = '\0'", False, "SyntaxError"),
        ("(" * 5000, False, "SyntaxError"),
        ("raise KeyboardInterrupt", False, "KeyboardInterrupt"),
        ("", True, None),
    ],
)
def test_what_compiles_and_what_went_wrong(program, imported, error, sandbox):
    result = sandbox.run([calls(program)])[0]
    assert (result.imported, result.error) == (imported, error)


def test_cpu_time_is_the_judge_of_slowness(sandbox):
    spinning = sandbox.run([calls("while True: pass")])[0]
    assert spinning.error == "CpuLimit" and 4 < spinning.cpu_s < 5


def test_who_sleeps_is_ended_by_the_wall_limit():
    with Sandbox(wall_limit_s=0.5) as sandbox:
        sleeping, after = sandbox.run([calls("import time; time.sleep(60)"), calls("", "1")])
    assert sleeping.error == "WallLimit" and sleeping.cpu_s < 0.4 and sleeping.seconds < 5
    assert after.answers == (1,)


def test_memory_is_limited(sandbox):
    assert sandbox.run([calls("x = bytearray(2 << 30)")])[0].error == "MemoryError"


def test_output_is_captured_up_to_a_cap_and_does_not_stop_the_program(sandbox):
    result = sandbox.run([calls("import sys; print('a' * 3_000_000); print('b', file=sys.stderr)", "1")])[0]
    assert result.done and set(result.stdout) == {"a"} and len(result.stdout) == 1 << 16 and result.stderr == "b\n"


def test_each_child_has_a_fresh_folder_that_is_removed(sandbox):
    write = calls("import os; print(os.listdir('.')); open('result.txt', 'w').write('PASS')", "os.getcwd()")
    first, second = sandbox.run([write, calls(write.program + " ", "os.getcwd()")])
    assert first.stdout == second.stdout == "[]\n"
    assert first.files == second.files == {"result.txt": "PASS"}
    assert first.answers == second.answers  # a name that counts would tell what has gone before
    assert not Path(first.answers[0]).exists()


def test_links_are_not_followed_when_files_are_read(sandbox):
    assert sandbox.run([calls("import os; os.symlink('/etc/passwd', 'result.txt'); os.mkfifo('pipe')")])[0].files == {}


def test_a_deep_tree_is_removed(sandbox):
    program = "import os\nfor _ in range(3000):\n    os.mkdir('d')\n    os.chdir('d')"
    here = sandbox.run([calls("import os; here = os.getcwd()\n" + program, "here")])[0].answers[0]
    assert not Path(here).exists()


def test_nothing_but_stdio_and_the_talk_with_the_server_is_open(sandbox):
    program = """
import os
def is_open(fd):
    try:
        return os.fstat(fd) is not None
    except OSError:
        return False
"""
    result = sandbox.run(
        [calls(program, "[fd for fd in range(256) if is_open(fd)]", "open(0).read()", "[*os.environ]")]
    )[0]
    assert result.answers[:2] == ([0, 1, 2, 3], "")
    assert "HOME" not in result.answers[2]


def test_threads_can_be_started_and_processes_cannot(sandbox):
    program = """
import os, threading
def in_a_thread():
    seen = []
    thread = threading.Thread(target=seen.append, args=(7,))
    thread.start()
    thread.join()
    return seen
"""
    steps = (
        "in_a_thread()",
        "os.fork()",
        "os.posix_spawn('/bin/true', ['true'], {})",
        "os.execv('/bin/true', ['true'])",
    )
    result = sandbox.run([calls(program, *steps)])[0]
    assert result.answers == ([7], *({"raised": "PermissionError"},) * 3) and result.done


def test_judged_code_sees_no_file_of_ours_and_writes_nowhere_else(sandbox, tmp_path):
    secret = tmp_path / "jobs.sqlite"
    secret.write_text("secret")
    tmp_path.chmod(0o777)
    program = """
import os
def attempt(function, *arguments):
    try:
        return function(*arguments)
    except OSError as error:
        return type(error).__name__
def read(path):
    return attempt(lambda: open(path).read())
def write(path):
    return attempt(lambda: open(path, "w").write("x"))
"""
    paths = (
        str(secret),
        "/etc/passwd",
        str(REPO / "README.md"),
        str(REPO / "core/environment/rewards.py"),
        "/proc/self/environ",
    )
    reads = sandbox.run([calls(program, *(f"read({path!r})" for path in paths))])[0].answers
    assert set(reads) <= {"FileNotFoundError", "PermissionError"}
    places = (str(tmp_path / "new"), "/usr/new", "/new", "/dev/shm/new", "/dev/new", str(REPO / "new"))
    writes = sandbox.run([calls(program, *(f"write({path!r})" for path in places))])[0].answers
    assert set(writes) <= {"FileNotFoundError", "PermissionError", "OSError"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["jobs.sqlite"]


def test_judged_code_reaches_no_listener_of_this_machine(sandbox):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        program = f"import socket\ndef connect(): return socket.create_connection(('127.0.0.1', {port}), 1)"
        assert sandbox.run([calls(program, "connect()")])[0].answers == ({"raised": "PermissionError"},)
        listener.settimeout(0.05)
        with pytest.raises(TimeoutError):
            listener.accept()


def test_a_check_leaves_nothing_that_the_next_one_finds(sandbox):
    program = """
import os
PLACES = ("/tmp", "/dev/shm", "/var/tmp", os.path.dirname(os.getcwd()), "/dev", "/")
def leave():
    left = []
    for folder in PLACES:
        try:
            open(folder + "/left", "w").write("x")
            left.append(folder)
        except OSError:
            pass
    return left
def found():
    return [folder for folder in PLACES if os.path.exists(folder + "/left")]
"""
    assert sandbox.run([calls(program, "len(leave()) >= 0")])[0].answers == (True,)
    assert sandbox.run([calls(program, "found()")])[0].answers == ([],)


def test_the_nonce_is_drawn_when_nothing_can_be_changed_any_more(sandbox):
    """Read before it is there, it blocks; written as guessed, it spoils the check; nothing can follow `finished`."""
    read = calls("import select", "select.select([3], [], [], 0)[0]")
    guess = calls("import os\nos.write(3, b'F' + bytes(4) + b'D' + (16).to_bytes(4, 'big') + b'0' * 16)\nos._exit(0)")
    late = calls("import os\nos.write(3, b'F' + bytes(4))", "1")
    blocked, guessed, followed = sandbox.run([read, guess, late])
    assert blocked.answers == ([],) and blocked.done
    assert (guessed.error, guessed.done) == (followed.error, followed.done) == ("ForgedResult", False)


def test_hash_order_and_random_numbers_are_the_same_in_every_sandbox():
    check = calls("import random", "list({str(n) for n in range(50)})", "random.random()")
    with Sandbox() as one, Sandbox() as other:
        assert one.run([check])[0].answers == other.run([check])[0].answers


def test_the_judged_code_is_no_main_program_and_can_use_dataclasses(sandbox):
    """Its namespace is the benchmark's: an empty one, whose __name__ is that of builtins."""
    program = "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: 'int' = 1"
    steps = ("P().x", "__name__", "P.__module__", "'__name__' in globals()", "hasattr(__import__('__main__'), 'P')")
    assert sandbox.run([calls(program, *steps)])[0].answers == (1, "builtins", "builtins", False, False)


def server_pids(sandbox):
    return [server.pid for server in sandbox._servers.values()]


def test_a_check_that_reveals_answers_never_shares_a_server_with_one_that_does_not():
    program = "import os"
    blind = calls(program, "os.getppid()")
    seeing = calls(program, "os.getppid()", reveals_answers=True)
    with Sandbox(level="landlock") as sandbox:  # at others every server calls itself 1
        (a,), (b,) = (result.answers for result in sandbox.run([blind, seeing]))
        assert a != b and {a, b} == set(server_pids(sandbox))


def test_no_verdict_is_lost_when_the_server_dies(sandbox):
    sandbox.run([calls("")])
    before = server_pids(sandbox)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    results = sandbox.run([calls(f"x = {n}", "x") for n in range(20)])
    assert [result.answers for result in results] == [(n,) for n in range(20)]
    assert not set(before) & set(server_pids(sandbox))


def test_a_check_that_kills_its_server_fails_alone(monkeypatch):
    """Judged code may not signal its server, so here the blow comes from outside whenever 13 is running."""
    from core.sandbox import pool as module

    exchange = module._Server.exchange
    deaths = []

    def die_on_13(server):
        if server.abandoned()[0].steps == ("13",):
            deaths.append(server.pid)
            with contextlib.suppress(ProcessLookupError):
                os.kill(server.pid, signal.SIGKILL)
            wait_until(lambda: gone(server.pid))
        return exchange(server)

    monkeypatch.setattr(module._Server, "exchange", die_on_13)
    with Sandbox() as sandbox:
        slow = "import time; time.sleep(0.3)"
        results = sandbox.run([calls(slow if n == 13 else "", str(n)) for n in range(10, 16)])
    assert [result.answers for result in results] == [(10,), (11,), (12,), None, (14,), (15,)]
    assert results[3].error == "SandboxDied" and results[3].unjudged and len(set(deaths)) == 1 + TRIES_ALONE


def test_judged_code_cannot_kill_its_server_or_read_its_memory(sandbox):
    steps = ("os.kill(os.getppid(), 9)", "os.kill(-1, 9)", "os.killpg(0, 9)", "open(f'/proc/{os.getppid()}/mem', 'rb')")
    result = sandbox.run([calls("import os", *steps)])[0]
    assert result.answers[:3] == ({"raised": "PermissionError"},) * 3
    assert result.answers[3]["raised"] in ("PermissionError", "FileNotFoundError")


def test_judged_code_may_signal_itself(sandbox):
    program = "import os, signal\nseen = []\nsignal.signal(signal.SIGUSR1, lambda *_: seen.append(1))"
    assert sandbox.run([calls(program, "os.kill(os.getpid(), signal.SIGUSR1)", "seen")])[0].answers == (None, [1])


def test_several_workers_run_at_once_and_keep_the_order():
    checks = [calls(f"import time; time.sleep({0.3 if n % 2 else 0.0})", str(n)) for n in range(8)]
    with Sandbox(workers=4) as sandbox:
        started = time.monotonic()
        answers = [result.answers for result in sandbox.run(checks)]
        assert answers == [(n,) for n in range(8)]
        assert time.monotonic() - started < 1.2  # 4 * 0.3 in a row


@pytest.mark.parametrize("close", [True, False])
def test_nothing_outlives_the_parent(close, tmp_path):
    """Closed properly or killed: server, children and folders are gone."""
    program = f"""
import sys, threading, time
sys.path.insert(0, {str(REPO)!r})
from core.sandbox.pool import Check, Sandbox
sandbox = Sandbox()
sandbox.run([Check("calls", "", "")])
print(*(server.pid for server in sandbox._servers.values()), flush=True)
if {close}:
    sandbox.close()
    time.sleep(60)
sandbox.run([Check("calls", "", "import os, time; print(os.getpid()); time.sleep(60)")])
"""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment
    ) as parent:
        server = int(parent.stdout.readline())
        if close:
            wait_until(lambda: gone(server))
        else:
            children = Path(f"/proc/{server}/task/{server}/children")
            wait_until(lambda: children.read_text().split())
            child = int(children.read_text().split()[0])
            parent.kill()
            wait_until(lambda: gone(server) and gone(child))
        wait_until(lambda: not list(tmp_path.iterdir()))
        parent.kill()


@pytest.mark.parametrize(
    ("setup", "harmless"),
    [
        (
            "from typing import *\ninf = float('inf')\nclass N:\n    def __init__(self, v: List[int] = 0): self.v = v",
            True,
        ),
        ("", True),
        ("import os", False),
        ("from os import *", False),
        ("from math import *\nprint(1)", False),
        ("x = open('/etc/passwd')", False),
        ("def f(x=print(1)): pass", False),
        ("@print\ndef f(): pass", False),
        ("def f(x: print(1)): pass", False),
        ("def f() -> print(1): pass", False),
        ("def f(x=[print(1)]): pass", False),
        ("class A(metaclass=print): pass", False),
        ("class A:\n    print(1)", False),
        ("def f(", False),
    ],
)
def test_setup_code_runs_in_the_server_only_if_it_merely_imports_and_defines(setup, harmless):
    assert judge.is_harmless(setup) is harmless


def test_setup_code_that_acts_runs_in_each_child(sandbox):
    setup = "import os\nstate = [os.getpid()]\nstate.append(len(state))"
    first, second = sandbox.run([calls(f"x = {n}", "state", "os.getpid()", setup=setup) for n in (1, 2)])
    for result in (first, second):
        (pid, one), found = result.answers
        assert pid == found and one == 1


def test_what_a_program_does_to_prepared_setup_code_is_gone_with_its_child(sandbox):
    setup = "class Node:\n    kind = 1\n\ndef make():\n    return Node"
    setup = setup.replace("    kind = 1\n", "    pass\n")
    changing = calls("Node.kind = 2\nclass Node:\n    kind = 3", "make().kind", setup=setup)
    clean = calls("x = 1", "hasattr(make(), 'kind')", setup=setup)
    assert [result.answers for result in sandbox.run([changing, clean])] == [(3,), (False,)]


def test_the_server_needs_nothing_but_the_standard_library():
    program = "import sys; sys.path[:0] = [sys.argv[1]]; import core.sandbox.jail.server; print('torch' in sys.modules)"
    command = [sys.executable, *SERVER_FLAGS, "-c", program, str(REPO)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"


def test_a_sandbox_that_cannot_work_says_so_instead_of_failing_every_check(monkeypatch):
    monkeypatch.setattr("core.sandbox.levels.SERVER_PROGRAM", "raise SystemExit('no luck')")
    monkeypatch.setattr("core.sandbox.pool._active", {})
    with pytest.raises(RuntimeError, match=r"the sandbox does not work here.*landlock.*no luck.*GRPOQ_SANDBOX=limits"):
        Sandbox().run([calls("")])


def test_an_unknown_level_is_refused_with_the_known_ones(monkeypatch):
    monkeypatch.setenv(CHOICE_VARIABLE, "chroot")
    with pytest.raises(
        ValueError, match=r"'chroot' .GRPOQ_SANDBOX.; choose from bubblewrap, namespaces, landlock, limits"
    ):
        Sandbox().run([calls("")])


def test_the_next_best_level_is_taken_where_bubblewrap_is_missing(monkeypatch, tmp_path):
    monkeypatch.setattr("core.sandbox.pool._active", {})
    monkeypatch.setenv("PATH", str(tmp_path))  # nothing is in it
    assert active_level().name == "namespaces"
