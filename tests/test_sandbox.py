import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.answers import encoded, matches
from core.sandbox import SERVER_FLAGS, Check, Sandbox

REPO = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox() as sandbox:
        yield sandbox


def calls(program, *steps, **fields):
    return Check("calls", fields.pop("setup", ""), program, steps=steps, **fields)


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
        (type("Int", (int,), {})(3), 3, False),
        (type("Any", (), {"__eq__": lambda *_: True})(), 3, False),
        ([type("Str", (str,), {})("a")], ["a"], False),
        pytest.param(10**5000, 10**5000, False, id="an int too long for JSON"),
    ],
)
def test_answers_match_as_exact_builtin_values_do(value, expected, same):
    assert matches(json.loads(encoded(value)), expected) is same


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
    assert spinning.error == "CpuLimit" and 2.5 < spinning.cpu_s < 4.5


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
    assert first.answers != second.answers
    assert not Path(first.answers[0]).exists() and not Path(second.answers[0]).exists()


def test_links_are_not_followed_when_files_are_read(sandbox):
    assert sandbox.run([calls("import os; os.symlink('/etc/passwd', 'result.txt'); os.mkfifo('pipe')")])[0].files == {}


def test_a_deep_tree_is_removed(sandbox):
    program = "import os\nfor _ in range(3000):\n    os.mkdir('d')\n    os.chdir('d')"
    here = sandbox.run([calls("import os; here = os.getcwd()\n" + program, "here")])[0].answers[0]
    assert not Path(here).exists()


def test_nothing_but_stdio_and_the_result_pipe_is_open(sandbox):
    program = "import os\nfds = [fd for fd in range(256) if os.path.exists(f'/proc/self/fd/{fd}')]"
    result = sandbox.run([calls(program, "fds", "open(0).read()", "sorted(os.environ)")])[0]
    assert result.answers[:2] == ([0, 1, 2, 3], "")
    assert "HOME" not in result.answers[2]


def test_no_process_and_no_thread_can_be_started(sandbox):
    result = sandbox.run([calls("import os, threading", "os.fork()", "threading.Thread(target=print).start()")])[0]
    assert [next(iter(answer)) for answer in result.answers] == ["raised", "raised"]


def test_hash_order_and_random_numbers_are_the_same_in_every_sandbox():
    check = calls("import random", "list({str(n) for n in range(50)})", "random.random()")
    with Sandbox() as one, Sandbox() as other:
        assert one.run([check])[0].answers == other.run([check])[0].answers


def test_the_judged_code_is_main_and_can_use_dataclasses(sandbox):
    program = "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: 'int' = 1"
    assert sandbox.run([calls(program, "P().x", "__name__")])[0].answers == (1, "__main__")


def test_a_check_that_reveals_answers_never_shares_a_server_with_one_that_does_not(sandbox):
    program = "import os"
    blind = calls(program, "os.getppid()")
    seeing = calls(program, "os.getppid()", reveals_answers=True)
    (a,), (b,) = (result.answers for result in sandbox.run([blind, seeing]))
    assert a != b and {a, b} <= set(sandbox.server_pids())


def test_no_verdict_is_lost_when_the_server_dies():
    with Sandbox() as sandbox:
        (server,) = sandbox.run([calls("import os", "os.getppid()")])[0].answers
        os.kill(server, signal.SIGKILL)
        results = sandbox.run([calls(f"x = {n}", "x") for n in range(20)])
        assert [result.answers for result in results] == [(n,) for n in range(20)]
        assert server not in sandbox.server_pids()


def test_a_check_that_kills_its_server_fails_alone(monkeypatch):
    """A privileged server's children may not signal it, so here the blow comes from outside."""
    from core import sandbox as module

    receive = module._Server._receive
    deaths = []

    def die_on_13(server):
        raw = receive(server)
        if raw["stdout"] == "13\n":
            deaths.append(server.pid)
            os.kill(server.pid, signal.SIGKILL)
            raise module._ServerDied
        return raw

    monkeypatch.setattr(module._Server, "_receive", die_on_13)
    with Sandbox() as sandbox:
        results = sandbox.run([calls(f"print({n})", str(n)) for n in range(10, 16)])
    assert [result.answers for result in results] == [(10,), (11,), (12,), None, (14,), (15,)]
    assert results[3].error == "SandboxDied" and len(set(deaths)) == 3


@pytest.mark.skipif(os.geteuid() != 0, reason="an unprivileged user's processes may signal each other")
def test_judged_code_cannot_kill_its_server_or_read_its_memory(sandbox):
    program = "import os\ntry:\n    os.kill(-1, 9)\nexcept OSError: pass"
    result = sandbox.run([calls(program, "os.kill(os.getppid(), 9)", "open(f'/proc/{os.getppid()}/mem', 'rb')")])[0]
    assert result.answers == ({"raised": "PermissionError"}, {"raised": "PermissionError"})


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
from core.sandbox import Check, Sandbox
sandbox = Sandbox()
sandbox.run([Check("calls", "", "")])
print(*sandbox.server_pids(), flush=True)
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


def test_the_server_needs_nothing_but_the_standard_library():
    program = "import sys; sys.path[:0] = [sys.argv[1]]; import core.sandbox_server; print('torch' in sys.modules)"
    command = [sys.executable, *SERVER_FLAGS, "-c", program, str(REPO)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"


def test_a_sandbox_that_cannot_work_says_so_instead_of_failing_every_check(monkeypatch):
    monkeypatch.setattr("core.sandbox.SERVER_PROGRAM", "raise SystemExit(1)")
    with pytest.raises(RuntimeError, match="the sandbox does not work here"):
        Sandbox().run([calls("")])
