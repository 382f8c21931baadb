"""A response's own tests: honest, empty, mistaken, and every way to define them, on right and on wrong code."""

from __future__ import annotations

from support.made.case import EMPTY, HONEST, RIGHT, WRONG, Made, fence, made

PASSING = "pass"
CHECKING = "assert Solution().twice(4) == 8\nassert Solution().twice(-3) == -6"


def own_tests() -> list[Made]:
    return [
        *made("own_tests_honest", _both(_functions(HONEST_BODIES))),
        *made("own_tests_weak", _both(_functions(WEAK_BODIES))),
        *made("own_tests_empty", _both(_functions(EMPTY_BODIES))),
        *made("own_tests_mistaken", _both(_functions(MISTAKEN_BODIES))),
        *made("own_tests_method", _methods()),
        *made("own_tests_otherwise_made", _both(OTHERWISE_MADE)),
        *made("own_tests_generator", _both(GENERATORS)),
        *made("own_tests_arguments", _both(ARGUMENTS)),
        *made("own_tests_under_a_statement", _both(UNDER_STATEMENTS)),
        *made("own_tests_unittest", _both(_functions(UNITTEST_BODIES))),
        *made("own_tests_other_name", _other_names()),
        *made("own_tests_async", _both(ASYNC)),
        *made("own_tests_async_method", _async_methods()),
        *made("own_tests_nested", _both(NESTED)),
        *made("own_tests_helper", _both(HELPED)),
        *made("own_tests_helper_empty", _both(HELPED_EMPTY)),
        *made("own_tests_other_class", _both(OTHER_CLASS)),
        *made("own_tests_twice", _both(TWICE)),
        *made("own_tests_function_and_method", _function_and_method()),
        *made("no_loophole", _both(_functions({**HONEST_BODIES, **EMPTY_BODIES})), mode="gt_only"),
        *made("no_loophole_mistaken", _both(_functions(MISTAKEN_BODIES)), mode="gt_only"),
    ]


HONEST_BODIES = {
    "two asserts": CHECKING,
    "loop": "for n in range(-5, 6):\n    assert Solution().twice(n) == 2 * n",
    "table": (
        "cases = [(4, 8), (0, 0), (-3, -6)]\nfor n, expected in cases:\n    assert Solution().twice(n) == expected"
    ),
    "message": "got = Solution().twice(7)\nassert got == 14, f'got {got}'",
    "raise": "if Solution().twice(4) != 8:\n    raise ValueError('wrong')",
    "prints too": CHECKING + "\nprint('all good')",
    "imports inside": "import math\nassert math.isclose(Solution().twice(4), 8)",
    "setup's names": "counts = Counter([Solution().twice(4)])\nassert counts == {8: 1}",
    "one object": "s = Solution()\nassert s.twice(4) == 8 and s.twice(1) == 2",
    "inner function": "def check(n):\n    assert Solution().twice(n) == 2 * n\ncheck(4)\ncheck(-1)",
    "raises again": "try:\n    assert Solution().twice(4) == 8\nexcept AssertionError:\n    raise",
}
WEAK_BODIES = {
    "zero alone": "assert Solution().twice(0) == 0",
    "type alone": "assert isinstance(Solution().twice(4), int)",
    "no error": "Solution().twice(4)",
    "has method": "assert hasattr(Solution, 'twice')",
    "even": "assert Solution().twice(5) % 2 == 0",
}
EMPTY_BODIES = {
    "pass": PASSING,
    "dots": "...",
    "docstring": '"""Runs the tests."""',
    "return": "return",
    "True": "return True",
    "False": "return False",
    "print": "print('All tests passed!')",
    "prints results": "print(Solution().twice(4))\nprint(Solution().twice(5))",
    "constant": "assert True",
    "no cases": "for n in []:\n    assert Solution().twice(n) == 0",
    "never": "if False:\n    assert Solution().twice(4) == 9",
    "swallowed": "try:\n    assert Solution().twice(4) == 9\nexcept AssertionError:\n    pass",
    "swallowed, all": "try:\n    assert Solution().twice(4) == 8\nexcept:\n    print('failed')",
    "after return": "return\nassert False",
    "compares alone": "Solution().twice(4) == 8",
    "returns what it found": "return Solution().twice(4) == 8",
    "comment": "# tests come later\npass",
}
MISTAKEN_BODIES = {
    "wrong value": "assert Solution().twice(4) == 9",
    "false": "assert False",
    "raise": "raise NotImplementedError",
    "zero": "assert Solution().twice(4) == 0",
    "undefined": "assert solve(4) == 8",
    "other method": "assert Solution().double(4) == 8",
    "keyword": "assert Solution().twice(number=4) == 8",
    "no instance": "assert Solution.twice(4) == 8",
}
OTHERWISE_MADE = {
    "lambda": "run_tests = lambda: None",
    "alias": "def check():\n    pass\n\nrun_tests = check",
    "builtin": "run_tests = dict",
    "partial": "run_tests = partial(print, 'ok')",
    "callable object": "class Run:\n    def __call__(self):\n        return None\n\nrun_tests = Run()",
    "class": "class run_tests:\n    pass",
    "globals": "globals()['run_tests'] = lambda: None",
    "lambda that fails": "run_tests = lambda: 1 / 0",
    "a number": "run_tests = 3",
    "deleted": "def run_tests():\n    pass\n\ndel run_tests",
    "replaced by none": "run_tests = None",
}
GENERATORS = {
    "yields": "def run_tests():\n    assert False\n    yield 1",
    "yields later": (
        "def run_tests():\n    for n in range(3):\n        assert Solution().twice(n) == 2 * n\n        yield n"
    ),
}
ARGUMENTS = {
    "default": "def run_tests(n=4):\n    assert Solution().twice(n) == 2 * n",
    "star": "def run_tests(*args, **kwargs):\n    pass",
    "required": "def run_tests(solution):\n    assert solution.twice(4) == 8",
    "keyword only": "def run_tests(*, n=4):\n    assert Solution().twice(n) == 2 * n",
    "annotated": "def run_tests() -> None:\n    assert Solution().twice(4) == 8",
    "annotated by setup": "def run_tests(cases: List[int] = [4]) -> Optional[bool]:\n    pass",
    "cached": "@lru_cache(None)\ndef run_tests():\n    assert Solution().twice(4) == 8",
}
UNDER_STATEMENTS = {
    "if": "if True:\n    def run_tests():\n        assert Solution().twice(4) == 8",
    "try": "try:\n    def run_tests():\n        pass\nexcept Exception:\n    pass",
    "for": "for _ in range(1):\n    def run_tests():\n        assert Solution().twice(4) == 8",
    "with": "from contextlib import nullcontext\nwith nullcontext():\n    def run_tests():\n        pass",
    "else": "if False:\n    pass\nelse:\n    def run_tests():\n        assert Solution().twice(4) == 8",
    "never": "if False:\n    def run_tests():\n        pass",
}
UNITTEST_BODIES = {
    "assertEqual": "import unittest\nunittest.TestCase().assertEqual(Solution().twice(4), 8)",
    "main that exits": "import unittest\nunittest.main()",
    "main that stays": "import unittest\nunittest.main(argv=[''], exit=False)",
    "main of argv": "import unittest\nunittest.main(exit=False)",
    "a suite": (
        "import unittest\n\nclass Case(unittest.TestCase):\n    def test_it(self):\n"
        "        self.assertEqual(Solution().twice(4), 8)\n\n"
        "suite = unittest.TestLoader().loadTestsFromTestCase(Case)\n"
        "assert unittest.TextTestRunner().run(suite).wasSuccessful()"
    ),
    "doctest": "import doctest\ndoctest.testmod()",
}
ASYNC = {
    "fails": "async def run_tests():\n    assert False",
    "honest": "async def run_tests():\n    assert Solution().twice(4) == 8",
}
NESTED = {
    "in a function": "def main():\n    def run_tests():\n        assert Solution().twice(4) == 8",
    "empty": "def main():\n    def run_tests():\n        pass",
}
HELPED = {
    "function": (
        "def check(n, expected):\n    assert Solution().twice(n) == expected\n\n"
        "def run_tests():\n    check(4, 8)\n    check(-3, -6)"
    ),
    "global": (
        "CASES = [(4, 8), (-3, -6)]\n\ndef run_tests():\n"
        "    for n, e in CASES:\n"
        "        assert Solution().twice(n) == e"
    ),
    "object": "solution = Solution()\n\ndef run_tests():\n    assert solution.twice(4) == 8",
    "import": "import unittest\n\ndef run_tests():\n    unittest.TestCase().assertEqual(Solution().twice(4), 8)",
    "decorator": (
        "def logged(f):\n    def inner():\n        return f()\n    return inner\n\n"
        "@logged\ndef run_tests():\n    assert Solution().twice(4) == 8"
    ),
    "constant as default": "CASE = 4\n\ndef run_tests(n=CASE):\n    assert Solution().twice(n) == 8",
}
HELPED_EMPTY = {
    "function": "def check(n):\n    print(n)\n\ndef run_tests():\n    check(4)",
    "global": "CASES = []\n\ndef run_tests():\n    for n in CASES:\n        assert Solution().twice(n) == 0",
}
OTHER_CLASS = {
    "plain": (
        "class Tester:\n    def run_tests(self):\n"
        "        assert Solution().twice(4) == 8\n"
        "        assert Solution().twice(1) == 2"
    ),
    "static": "class Tester:\n    @staticmethod\n    def run_tests():\n        assert Solution().twice(4) == 8",
    "unittest": (
        "import unittest\n\nclass Tester(unittest.TestCase):\n    def run_tests(self):\n"
        "        self.assertEqual(Solution().twice(4), 8)"
    ),
    "subclass": "class Tester(Solution):\n    def run_tests(self):\n        assert self.twice(4) == 8",
}
TWICE = {
    "empty, then honest": EMPTY + "\n" + HONEST,
    "honest, then empty": HONEST + "\n" + EMPTY,
    "honest twice": HONEST + "\n" + HONEST,
    "false, then honest": "def run_tests():\n    assert False\n\n" + HONEST,
}


def _functions(bodies: dict[str, str]) -> dict[str, str]:
    return {name: "def run_tests():\n    " + body.replace("\n", "\n    ") for name, body in bodies.items()}


def _both(tests: dict[str, str]) -> dict[str, str]:
    right = {f"right, {name}": fence(RIGHT, test) for name, test in tests.items()}
    return right | {f"wrong, {name}": fence(WRONG, test) for name, test in tests.items()}


METHODS = {
    "honest": "def run_tests(self):\n    assert self.twice(4) == 8\n    assert self.twice(-3) == -6",
    "new object": "def run_tests(self):\n    assert Solution().twice(4) == 8",
    "empty": "def run_tests(self):\n    pass",
    "static": "@staticmethod\ndef run_tests():\n    assert Solution().twice(4) == 8",
    "class": "@classmethod\ndef run_tests(cls):\n    assert cls().twice(4) == 8",
    "mistaken": "def run_tests(self):\n    assert self.twice(4) == 9",
    "docstring": 'def run_tests(self):\n    """Runs\n    the tests."""\n    assert self.twice(4) == 8',
    "no self": "def run_tests():\n    pass",
}


def _methods() -> dict[str, str]:
    return _both_inside(METHODS)


def _async_methods() -> dict[str, str]:
    return _both_inside({"fails": "async def run_tests(self):\n    assert False"})


def _both_inside(methods: dict[str, str]) -> dict[str, str]:
    indented = {name: "    " + method.replace("\n", "\n    ") for name, method in methods.items()}
    right = {f"right, {name}": fence(f"{RIGHT}\n{method}") for name, method in indented.items()}
    return right | {f"wrong, {name}": fence(f"{WRONG}\n{method}") for name, method in indented.items()}


def _function_and_method() -> dict[str, str]:
    method = "    def run_tests(self):\n        assert self.twice(4) == 8"
    return {
        "right, function first": fence(HONEST, f"{RIGHT}\n{method}"),
        "wrong, function first": fence(EMPTY, f"{WRONG}\n{method}"),
        "right, method first": fence(f"{RIGHT}\n{method}", HONEST),
        "wrong, method first": fence(f"{WRONG}\n{method}", EMPTY),
    }


def _other_names() -> dict[str, str]:
    """None of them is the function that the row's prompt names."""
    return {
        f"{solution}, {name}": fence(code, f"def {name}():\n    pass")
        for solution, code in (("right", RIGHT), ("wrong", WRONG))
        for name in ("run_test", "test_solution", "run_tests_", "RUN_TESTS", "check_solution")
    }


def named_tests() -> list[Made]:
    """The prompt names another function than run_tests."""
    found = []
    for name in ("evaluate_answer", "check_solution", "verify_function"):
        bodies = {"honest": CHECKING, "empty": PASSING}
        tests = {f"{case} {name}": f"def {name}():\n    " + b.replace("\n", "\n    ") for case, b in bodies.items()}
        tests[f"run_tests for {name}"] = EMPTY
        found += made("tests_of_a_drawn_name", _both(tests), test_func_name=name)
    return found
