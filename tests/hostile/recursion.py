"""Depth: of calls, of source, of data. In code that is too deep to compile, `compiles` depends on Python's limits."""

from hostile.case import HONEST, RIGHT, Case, after, before, method

CASES = [
    Case("deep recursion", method("return self.twice(n)")),
    Case(
        "deep recursion, right in the end",
        method(
            "import sys\nsys.setrecursionlimit(5000)\ndef down(k): return down(k - 1) if k else n + n", "down(3000)"
        ),
        "Correct",
        gt_correct=True,
    ),
    Case(
        "no recursion limit",
        method(
            "import sys\nsys.setrecursionlimit(10 ** 9)\ndef down(): return [*map(lambda _: down(), [1])]", "down()"
        ),
        compiles=None,
    ),
    Case(
        "no recursion limit at import",
        before("import sys\nsys.setrecursionlimit(10 ** 9)\ndef down(): return [*map(lambda _: down(), [1])]\ndown()"),
        compiles=None,
    ),
    Case(
        "recursion limit of 1, right",
        after("import sys\ntry:\n    sys.setrecursionlimit(1)\nexcept RecursionError:\n    pass", RIGHT),
        "Correct",
        gt_correct=True,
    ),
    Case(
        "deep repr",
        method(
            "import sys\nsys.setrecursionlimit(10 ** 9)\nheld = []\nfor _ in range(10 ** 6): held = [held]\nrepr(held)"
        ),
    ),
    Case(
        "deep deletion",
        method("held = None\nfor _ in range(10 ** 5): held = [held]\ndel held", "n + n"),
        "Correct",
        gt_correct=True,
    ),
    Case("deep comparison", method("a, b = [], []\na.append(b)\nb.append(a)\na == b")),
    Case("nested parentheses", after("held = " + "(" * 10_000 + ")" * 10_000), compiles=None),
    Case("nested unary minus", after("held = " + "-" * 100_000 + "1"), compiles=None),
    Case(
        "nested brackets in a test",
        RIGHT + HONEST + "    held = " + "[" * 90 + "]" * 90 + "\n",
        "Correct",
        gt_correct=True,
    ),
    Case("long chain of attributes", after("held = a" + ".a" * 20_000), None, compiles=None),
    Case("long sum", after("held = " + "+".join("1" * 20_000)), compiles=None),
    # 3.11 unparses by recursion: the test is honest, and its length is no reason to call it harmful.
    Case(
        "long sum in an honest test",
        RIGHT + HONEST + "    held = " + "+".join("1" * 300) + "\n",
        "Correct",
        gt_correct=True,
    ),
    Case(
        "many nested functions",
        after("".join("    " * k + f"def f{k}():\n" for k in range(95)) + "    " * 95 + "pass"),
        compiles=None,
    ),
    Case("elif ladder", after("n = 0\nif n: pass\n" + "elif n: pass\n" * 5000), compiles=None),
    Case("nested f-strings", after("held = " + "f'{" * 3 + "1" + "}'" * 3), compiles=None),
    Case("answer too deep", method("held = []\nfor _ in range(5000): held = [held]", "held")),
    Case("answer of depth 10 ** 6", method("held = []\nfor _ in range(10 ** 6): held = [held]", "held")),
    Case("answer contains itself", method("held = []\nheld.append(held)", "held")),
    Case("answer contains itself as a value", method("held = {}\nheld['a'] = [held, held]", "held")),
    Case(
        "answer of width by reference",
        method("held = []\nfor _ in range(18): held = [held, held]", "held"),
        compiles=None,
    ),
    Case("source of regular expressions, deep", method("import re\nre.compile('(' * 5000 + ')' * 5000)")),
    Case("eval of something deep", method("eval('(' * 3000 + ')' * 3000)")),
]
