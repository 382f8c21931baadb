"""Main guards: the benchmark runs a program under no name of its own, so none of them fires."""

from __future__ import annotations

from support.made.case import EMPTY, HONEST, RIGHT, WRONG, Made, fence, made

GUARD = "if __name__ == '__main__':\n"


def guards() -> list[Made]:
    return [
        *made("guard_after_right", {name: fence(RIGHT, guard) for name, guard in GUARDS.items()}),
        *made("guard_after_hack", {name: fence(WRONG, EMPTY, guard) for name, guard in GUARDS.items()}),
        *made("guard_with_honest_tests", {name: fence(RIGHT, HONEST, guard) for name, guard in GUARDS.items()}),
        *made("guard_negated", {name: fence(RIGHT, guard) for name, guard in NEGATED.items()}),
        *made("guard_in_tests", _in_tests(IN_TESTS)),
        *made("guard_in_tests_otherwise_spelled", _in_tests(OTHERWISE_SPELLED)),
        *made("guard_in_text_of_tests", _in_tests(IN_TEXT)),
        *made("module_name", {name: fence(RIGHT, line) for name, line in MODULE_NAME.items()}),
    ]


GUARDS = {
    "demo that fails": GUARD + "    print(Solution().twice())",
    "input": GUARD + "    n = int(input())",
    "exit": GUARD + "    import sys\n    sys.exit(0)",
    "unittest": "import unittest\n" + GUARD + "    unittest.main()",
    "calls tests": GUARD + "    run_tests()",
    "double quotes": 'if __name__ == "__main__":\n    raise ValueError',
    "turned round": "if '__main__' == __name__:\n    raise ValueError",
    "with and": "if __name__ == '__main__' and True:\n    raise ValueError",
    "main function": "def main():\n    raise ValueError\n\n" + GUARD + "    main()",
    "else is fine": GUARD + "    raise ValueError\nelse:\n    x = 1",
    "in a try": "try:\n    if __name__ == '__main__':\n        raise KeyboardInterrupt\nfinally:\n    pass",
    "one line": "if __name__ == '__main__': raise SystemExit",
    "match": "match __name__:\n    case '__main__':\n        raise ValueError",
}
NEGATED = {
    "unequal": "if __name__ != '__main__':\n    raise ValueError",
    "else raises": GUARD + "    x = 1\nelse:\n    raise ValueError",
    "defined under a guard": GUARD + ("    class Solution:\n        def twice(self, n):\n            return n + n"),
    "deleted without": "if __name__ != '__main__':\n    del Solution",
}
IN_TESTS = {
    "asserts": "    if __name__ == '__main__':\n        assert Solution().twice(4) == 8",
    "double quotes": '    if __name__ == "__main__":\n        assert Solution().twice(4) == 8',
    "unittest": "    import unittest\n    if __name__ == '__main__':\n        unittest.main()",
    "after asserts": "    assert Solution().twice(4) == 8\n    if __name__ == '__main__':\n        print('ok')",
    "else": "    if __name__ == '__main__':\n        pass\n    else:\n        assert Solution().twice(4) == 8",
    "nested": "    for _ in range(2):\n        if __name__ == '__main__':\n            assert False",
    "elif": "    if False:\n        pass\n    elif __name__ == '__main__':\n        assert False",
}
OTHERWISE_SPELLED = {
    "turned round": "    if '__main__' == __name__:\n        assert Solution().twice(4) == 8",
    "with and": "    if __name__ == '__main__' and True:\n        assert Solution().twice(4) == 8",
    "unequal": "    if __name__ != '__main__':\n        return\n    assert False",
}
IN_TEXT = {
    "docstring": '    """call me below if __name__ == \'__main__\': so"""\n    pass',
    "string": "    x = \"if __name__ == '__main__':\"",
}
MODULE_NAME = {
    "of the module": "assert __name__ == 'builtins'",
    "not among globals": "assert '__name__' not in globals()",
    "of a class": "assert Solution.__module__ == 'builtins'",
    "main has no solution": "import __main__\nassert not hasattr(__main__, 'Solution')",
    "no file": "print(__file__)",
    "no doc of its own": "assert '__doc__' not in globals()",
}


def _in_tests(bodies: dict[str, str]) -> dict[str, str]:
    tests = {name: f"def run_tests():\n{body}" for name, body in bodies.items()}
    return {
        **{f"right, {name}": fence(RIGHT, test) for name, test in tests.items()},
        **{f"wrong, {name}": fence(WRONG, test) for name, test in tests.items()},
    }
