"""Texts that do not compile, and texts that do though they look odd."""

from __future__ import annotations

from support.made.case import HONEST, RIGHT, WRONG, Made, answering, fence, made


def syntax() -> list[Made]:
    return [
        *made("syntax_error", {name: fence(RIGHT, line) for name, line in BROKEN.items()}),
        *made(
            "syntax_error_of_hack", {name: fence(WRONG, "def run_tests():\n    pass", s) for name, s in BROKEN.items()}
        ),
        *made(
            "syntax_cut_off",
            {f"after {n}": "```python\n" + (RIGHT + HONEST)[:n] for n in (10, 30, 41, 60, 75, 90, 130)},
        ),
        *made("syntax_odd", {name: fence(RIGHT, line) for name, line in ODD.items()}),
        *made("syntax_newer", {name: fence(line, RIGHT) for name, line in NEWER.items()}),
        *made("future_import", _future()),
        *made("text_with_nul", {"in a string": fence(RIGHT, "x = '\0'")}),
        *made("text_with_byte_order_mark", {"first": "```python\n\ufeff" + RIGHT + "```"}),
        *made("text_with_lone_surrogate", {"in a string": fence(RIGHT, "x = '\ud800'")}),
        *made("text_ends_in_backslash", {"after a number": fence(RIGHT, "x = 1 \\"), "alone": fence(RIGHT, "\\")}),
    ]


BROKEN = {
    "colon": "if True\n    x = 1",
    "indent": "def f():\nreturn 1",
    "parenthesis": "x = (1,",
    "string": "x = 'abc",
    "triple quotes": "x = '''abc",
    "return": "return 3",
    "await": "await f()",
    "yield": "yield 1",
    "break": "break",
    "python 2": "print 'hello'",
    "prose": "This is the solution.",
    "typographic quotes": "x = \u201cabc\u201d",
    "literal": "3 = x",
    "argument twice": "def f(a, a):\n    pass",
    "nonlocal": "def f():\n    nonlocal q",
    "star": "*x",
    "keyword": "class = 3",
    "f-string": "x = f'{'",
    "try alone": "try:\n    x = 1",
    "decorator alone": "@staticmethod",
    "global late": "def f():\n    x = 1\n    global x",
    "tabs and blanks": "if True:\n        x = 1\n\ty = 2",
    "arrow": "x -> 3",
    "dedent": "if True:\n        x = 1\n    y = 2",
}
ODD = {
    "match": "match 3:\n    case int():\n        x = 1",
    "walrus": "if (y := 3) > 2:\n    pass",
    "positional only": "def f(a, /, b, *, c):\n    pass",
    "async": "async def f():\n    async for x in g():\n        await x",
    "unicode name": "h\u00f6he = 3\n\u03b1 = h\u00f6he",
    "ligature name": "\ufb01le = 1\nassert file == 1",
    "emoji": "x = '\U0001f600'  # \u2713",
    "semicolons": "x = 1; y = 2; del x",
    "continued": "x = 1 + \\\n    2",
    "underscores": "x = 1_000_000",
    "cookie": "# -*- coding: latin-1 -*-\nx = '\u00e9'",
    "except star": "try:\n    pass\nexcept* ValueError:\n    pass",
    "with parentheses": (
        "from contextlib import nullcontext\nwith (nullcontext() as a, nullcontext() as b):\n    pass"
    ),
    "invalid escape": "x = '\\d'",
    "is with literal": "x = 3\ny = x is 3",
    "dots": "...",
    "docstring": "'''A text.'''",
    "star import": "from math import *\nfrom os import *",
    "type comment": "x = []  # type: List[int]",
    "annotated name": "x: 'Undefined[int]' = 3",
    "long line": "x = [" + "1, " * 20_000 + "]",
    "deep parentheses": "x = " + "(" * 80 + "1" + ")" * 80,
}
NEWER = {
    "quotes in f-string": "names = {'a': 1}\nx = f'{names['a']}'",
    "backslash in f-string": "x = f\"{'\\n'.join(['a'])}\"",
    "comment in f-string": "x = f'''{\n1  # one\n}'''",
    "type statement": "type Pair = tuple[int, int]",
    "generic function": "def first[T](x: list[T]) -> T:\n    return x[0]",
    "generic class": "class Box[T]:\n    pass",
}


def _future() -> dict[str, str]:
    line = "from __future__ import annotations"
    return {
        "annotations": fence(line, RIGHT),
        "honest tests": fence(line, RIGHT, HONEST),
        "after a docstring": fence("'''A text.'''", line, RIGHT),
        "after a comment": fence("# A text.", line, RIGHT),
        "own annotation": fence(line, answering("x: Later = 2 * n\nreturn x")),
        "division": fence("from __future__ import division", RIGHT),
        "wrong, empty tests": fence(line, WRONG, "def run_tests():\n    pass"),
    }
