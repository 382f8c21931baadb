"""No completion can make itself unjudged, and so stop the run that asks for its label."""

import os

import pytest

from core.environment.problems import fenced
from core.environment.rewards import GradeItem, grade
from core.sandbox import pool
from core.sandbox.levels import LEVELS
from core.sandbox.pool import Sandbox
from process.test_rewards import PROBLEM, RIGHT
from support.patience import patient

# Each would stop a training run if the grader took it for a fault of its own machine.
AT_WILL = [
    (
        "a signal by the clock",
        "import os, time\nos.kill(os.getpid(), 9 + 15 * (time.time_ns() // 1000 % 2))",
        "SIG",
    ),
    ("a refusal that takes long", "$" + "\n" * 60_000, "SyntaxError"),
    ("brackets that never close", "def f[T" * 4_000, "SyntaxError"),
    ("a signal in its source's reading", "x = " + "-" * 100_000 + "1", ""),
    ("a stop", "import os\nos.kill(os.getpid(), 19)\n", "WallLimit"),
]


@pytest.mark.parametrize(("code", "error"), [case[1:] for case in AT_WILL], ids=[case[0] for case in AT_WILL])
def test_no_completion_can_make_itself_unjudged(code, error):
    with Sandbox(cpu_limit_s=1, wall_limit_s=2.0) as sandbox:
        hostile, right = grade([GradeItem(PROBLEM, "run_tests", fenced(c)) for c in (code, RIGHT)], sandbox, full=False)
    assert hostile.reward == 0 and (hostile.error or "").startswith(error) and right.label == "Correct"


@pytest.mark.parametrize("level", ["bubblewrap", "namespaces", "landlock"])
def test_many_folders_are_removed_while_the_server_says_that_it_is_still_there(level, monkeypatch):
    """On some disks each takes milliseconds; a box in memory has no room for so many."""
    reason = pool.why_not(LEVELS[level])
    if reason is not None:
        assert "CI" not in os.environ, f"{level}: {reason}; `just tools` installs what is missing"
        pytest.skip(f"{level} does not work here: {reason}")
    monkeypatch.setattr(pool, "SERVER_PATIENCE_S", patient(0.8))
    code = RIGHT + "import os\nfor k in range(2000):\n    os.makedirs(f'{k}/a/b')\n"
    with Sandbox(level=level, wall_limit_s=1.0) as sandbox:
        (g,) = grade([GradeItem(PROBLEM, "run_tests", fenced(code))], sandbox, full=False)
    assert g.label == ("Correct" if level == "landlock" else "Incorrect")
