"""Names that meet (the response's, the canonical solution's, the setup's, the runner's), and how a class is built."""

from __future__ import annotations

from support.made.case import HONEST, RIGHT, WRONG, Made, answering, fence, made

SCALED = "class Solution:\n    def scaled(self, n):\n        return n + n\n"
SCALED_TESTS = "def run_tests():\n    assert Solution().scaled(4) == 8\n    assert Solution().scaled(1) == 2\n"


def names() -> list[Made]:
    return [
        *made("names_of_canonical_helpers", _helpers(), row="scaled"),
        *made("names_of_the_runner", {name: fence(RIGHT, test) for name, test in RUNNER.items()}),
        *made("names_of_builtins", {name: fence(line, RIGHT) for name, line in BUILTINS.items()}),
        *made("names_of_builtins_the_runner_calls", {name: fence(line, RIGHT) for name, line in CALLED.items()}),
        *made("names_of_setup", {name: fence(line, RIGHT) for name, line in SETUP.items()}),
        *made("how_the_class_is_built", {name: fence(code) for name, code in CLASSES.items()}),
        *made("state", {name: fence(code) for name, code in STATE.items()}),
        *made("libraries", {name: fence(answering(body)) for name, body in LIBRARIES.items()}),
        *made("class_looked_up_by_module", {name: fence(code) for name, code in BY_MODULE.items()}),
        *made("files", {name: fence(answering(body)) for name, body in FILES.items()}),
        *made("processes", {name: fence(answering(body)) for name, body in PROCESSES.items()}),
        *made("input", {name: fence(answering(body)) for name, body in INPUT.items()}),
    ]


def _helpers() -> dict[str, str]:
    combine = "def combine(a):\n    return a + a\n"
    uses = "class Solution:\n    def scaled(self, n):\n        return combine(n)\n"
    return {
        "other helper of that name": fence(combine, uses, SCALED_TESTS),
        "other global of that name": fence("SCALE = 'two'", SCALED, SCALED_TESTS),
        "both": fence("SCALE = None", combine, uses, SCALED_TESTS),
        "helper, no tests": fence(combine, uses),
        "helper, empty tests": fence(combine, uses, "def run_tests():\n    pass"),
        "wrong helper, honest tests": fence("def combine(a):\n    return 0\n", uses, SCALED_TESTS),
        "wrong helper, empty tests": fence("def combine(a):\n    return 0\n", uses, "def run_tests():\n    pass"),
        "class of that name": fence("class combine:\n    pass", SCALED, SCALED_TESTS),
    }


_COUNTED = "def run_tests():\n    global {0}\n    assert Solution().twice(4) == 8\n    {0} += 1\n"
RUNNER = {
    "test_cases": (
        "test_cases = [(4, 8)]\n\ndef run_tests():\n"
        "    for n, e in test_cases:\n"
        "        assert Solution().twice(n) == e"
    ),
    "tests_passed": "tests_passed = 0\n\n" + _COUNTED.format("tests_passed"),
    "failures_count": "failures_count = 'none'\n\ndef run_tests():\n    assert failures_count == 'none'",
    "test_errors": "test_errors = 0\n\n" + _COUNTED.format("test_errors"),
}
BUILTINS = {
    "sum": "sum = 3",
    "list": "list = [1]",
    "max": "def max(a, b):\n    return a",
    "input": "input = lambda: '4'",
    "int": "int = 4",
    "open": "open = None",
    "assertion": "class AssertionError(Exception):\n    pass",
}
CALLED = {
    "exec": "def exec(*args):\n    pass",
    "len": "len = None",
}
SETUP = {
    "Counter": "class Counter:\n    pass",
    "math": "math = 3.14",
    "inf": "inf = 10**9",
    "List": "List = list",
    "import again": "import math\nfrom typing import List, Dict\nfrom collections import Counter",
}
CLASSES = {
    "dataclass inside": (
        "from dataclasses import dataclass, field\n\n@dataclass(order=True)\nclass Node:\n    value: int\n"
        "    children: List[int] = field(default_factory=list)\n\n" + answering("return Node(2 * n).value")
    ),
    "dataclass with ClassVar": (
        "from dataclasses import dataclass\n\n"
        "@dataclass(frozen=True, slots=True)\nclass Node:\n"
        "    value: int\n"
        "    kind: ClassVar[str] = 'x'\n\n" + answering("return Node(2 * n).value")
    ),
    "enum": "from enum import Enum, auto\n\nclass E(Enum):\n    A = auto()\n    B = auto()\n\n"
    + answering("return n * E.B.value"),
    "NamedTuple": "class P(NamedTuple):\n    a: int\n\n" + answering("return P(2 * n).a"),
    "generic": "T = TypeVar('T')\n\nclass Box(Generic[T]):\n    pass\n\n" + RIGHT,
    "protocol": "class P(Protocol):\n    def f(self) -> int: ...\n\n" + RIGHT,
    "TypedDict": "class D(TypedDict):\n    a: int\n\n" + answering("d: D = {'a': n}\nreturn 2 * d['a']"),
    "abstract": "from abc import ABC, abstractmethod\n\nclass A(ABC):\n    @abstractmethod\n    def f(self): ...\n\n"
    + RIGHT,
    "inherited": "class Base:\n    def twice(self, n):\n        return 2 * n\n\nclass Solution(Base):\n    pass\n",
    "subclass later": RIGHT + "\nclass Better(Solution):\n    pass\n",
    "defined twice": WRONG + "\n" + RIGHT,
    "defined twice, wrong last": RIGHT + "\n" + WRONG,
    "alias": RIGHT.replace("Solution", "Answer") + "\nSolution = Answer\n",
    "function": "def Solution():\n    class S:\n        twice = lambda self, n: 2 * n\n    return S()\n",
    "other class": RIGHT.replace("Solution", "Answer"),
    "function alone": "def twice(n):\n    return 2 * n\n",
    "other method": RIGHT.replace("twice", "double"),
    "wrong argument": RIGHT.replace("self, n", "self, number").replace("n + n", "2 * number"),
    "no self": "class Solution:\n    def twice(n):\n        return 2 * n\n",
    "static": "class Solution:\n    @staticmethod\n    def twice(n):\n        return 2 * n\n",
    "init": (
        "class Solution:\n    def __init__(self):\n"
        "        self.two = 2\n\n    def twice(self, n):\n"
        "        return self.two * n\n"
    ),
    "init with argument": (
        "class Solution:\n    def __init__(self, two):\n"
        "        self.two = two\n\n    def twice(self, n):\n"
        "        return self.two * n\n"
    ),
    "async method": "class Solution:\n    async def twice(self, n):\n        return 2 * n\n",
    "generator method": "class Solution:\n    def twice(self, n):\n        yield 2 * n\n",
    "cached": "class Solution:\n    @lru_cache(maxsize=None)\n    def twice(self, n):\n        return 2 * n\n",
    "property": "class Solution:\n    @property\n    def twice(self):\n        return lambda n: 2 * n\n",
    "slots": "class Solution:\n    __slots__ = ()\n\n    def twice(self, n):\n        return 2 * n\n",
    "metaclass": (
        "class M(type):\n    pass\n\nclass Solution(metaclass=M):\n    def twice(self, n):\n        return 2 * n\n"
    ),
    "code in the class": (
        "class Solution:\n    two = 1 + 1\n    for _ in range(3):\n"
        "        pass\n\n    def twice(self, n):\n"
        "        return self.two * n\n"
    ),
    "nothing but a comment": "# to be done\n",
    "pass": "class Solution:\n    def twice(self, n):\n        pass\n",
    "starter": "class Solution:\n    def twice(self, n):\n        # Add your code here\n",
    "not implemented": "class Solution:\n    def twice(self, n):\n        raise NotImplementedError\n",
    "demo at module level": RIGHT + "\nprint(Solution().twice(4))\n",
    "tests at module level": RIGHT + "\nassert Solution().twice(4) == 8\n",
    "failing tests at module level": WRONG + "\nassert Solution().twice(4) == 8\n",
    "own tests called": RIGHT + "\n" + HONEST + "\nrun_tests()\n",
    "own failing tests called": WRONG + "\n" + HONEST + "\nrun_tests()\n",
}
STATE = {
    "memo": "memo = {}\n\n" + answering("memo[n] = 2 * n\nreturn memo[n]"),
    "counter": "calls = 0\n\n" + answering("global calls\ncalls += 1\nreturn 2 * n"),
    "right once": "calls = 0\n\n" + answering("global calls\ncalls += 1\nreturn 2 * n if calls == 1 else 0"),
    "class attribute": (
        "class Solution:\n    seen = []\n\n    def twice(self, n):\n        self.seen.append(n)\n        return 2 * n\n"
    ),
    "mutable default": (
        "class Solution:\n    def twice(self, n, seen=[]):\n        seen.append(n)\n        return 2 * seen[-1]\n"
    ),
    "replaces itself": answering("global Solution\nSolution = None\nreturn 2 * n"),
}
LIBRARIES = {
    "heapq": "import heapq\nh = [2 * n]\nheapq.heapify(h)\nreturn heapq.heappop(h)",
    "bisect": "from bisect import bisect_left\nreturn 2 * n + bisect_left([], n)",
    "re": "import re\nreturn int(re.match('-?[0-9]+', str(2 * n))[0])",
    "itertools": "return sum(islice(repeat(n), 2))",
    "threads": (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(2) as pool:\n"
        "    return sum(pool.map(int, [n, n]))"
    ),
    "asyncio": "import asyncio\n\nasync def f():\n    return 2 * n\n\nreturn asyncio.run(f())",
    "deepcopy": "import copy\nreturn copy.deepcopy([2 * n])[0]",
    "json": "import json\nreturn json.loads(json.dumps(2 * n))",
    "time": "import time\ntime.time()\nreturn 2 * n",
    "random": "import random\nrandom.seed(1)\nrandom.random()\nreturn 2 * n",
    "inspect": "import inspect\ninspect.signature(Solution.twice)\nreturn 2 * n",
    "recursion limit": (
        "import sys\nsys.setrecursionlimit(10**4)\n\ndef down(k):\n"
        "    return 2 * n if k == 0 else down(k - 1)\n\n"
        "return down(3000)"
    ),
    "weak reference": "import weakref\nreturn 2 * n if weakref.ref(self)() is self else 0",
    "singledispatch": (
        "@singledispatch\ndef f(x):\n    return 0\n\n@f.register\ndef _(x: int):\n    return 2 * x\n\nreturn f(n)"
    ),
    "numpy missing": "try:\n    import no_such_numpy as np\nexcept ImportError:\n    np = None\nreturn 2 * n",
}
BY_MODULE = {
    "pickle": "class Node:\n    pass\n\n" + answering("import pickle\npickle.dumps(Node())\nreturn 2 * n"),
    "type hints": "class Node:\n    a: 'List[int]'\n\n" + answering("get_type_hints(Node)\nreturn 2 * n"),
    "main": RIGHT + "\nimport __main__\n__main__.Solution\n",
    "modules": RIGHT + "\nimport sys\nsys.modules[__name__].Solution\n",
}
FILES = {
    "written and read": (
        "with open('x.txt', 'w') as f:\n    f.write(str(2 * n))\nwith open('x.txt') as f:\n    return int(f.read())"
    ),
    "temporary": "import tempfile\nwith tempfile.TemporaryFile() as f:\n    return 2 * n",
    "missing": "open('no_such_file.txt')\nreturn 2 * n",
    "folder": "import os\nos.listdir('.')\nreturn 2 * n",
}
PROCESSES = {
    "subprocess": "import subprocess\nsubprocess.run(['true'], check=True)\nreturn 2 * n",
    "system": "import os\nreturn 2 * n + os.system('true')",
    "pool": (
        "import multiprocessing\n"
        "with multiprocessing.get_context('fork').Pool(1) as pool:\n"
        "    return pool.apply(int, (2 * n,))"
    ),
}
INPUT = {
    "input": "return int(input())",
    "caught": "try:\n    input()\nexcept EOFError:\n    return 2 * n",
    "read": "import sys\nsys.stdin.read()\nreturn 2 * n",
    "lines": "import sys\nfor line in sys.stdin:\n    n = 0\nreturn 2 * n",
}
