"""gt_accepted: right by the row's own rule, where its prompt admits other answers than the listed one.

The benchmark's label, gt_correct, compares with the listed answer alone. This one stands beside it and changes neither
a label nor a reward: it says how many right solutions that comparison calls wrong. What is accepted is decided outside
the judged process, from its answers as data, so that a forged answer can at most be a wrong one.
"""

import math
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from core.environment.asserts import Case, arguments_of, literal_value
from core.environment.checkers import CHECKERS
from core.environment.problems import Problem
from core.environment.uniqueness import ANY_ORDER, CHECKER, EXACT, LISTED, OPEN, TOLERANCE, Rule
from core.sandbox.jail.answers import MAX_DEPTH, matches

# Judged code can make ints of one hash: a set of n of them takes n * n / 2 comparisons to build.
MAX_MEMBERS = 1_000
NOT_DATA = object()  # what `decoded` makes of an answer that describes no value
_COLLECTIONS: dict[str, Callable[[list], object]] = {"tuple": tuple, "set": set, "frozenset": frozenset, "dict": dict}


def accepted(
    problem: Problem, cases: Sequence[Case], answers: Sequence[object] | None, gt_correct: bool
) -> bool | None:
    """Whether every answer is right by the problem's rule; None where the rule is open, whatever was answered.

    answers: one per case, decoded from JSON as the judged process reported them; None or fewer where not every call
    was answered, which no rule makes right. An open rule leaves the listed answer unjudged too: of rows that only the
    listed answer could get a verdict on, every judged one would be right.
    """
    rule = problem.rule
    if rule.kind == OPEN:
        return None
    if gt_correct or rule.kind == EXACT or answers is None or len(answers) != len(cases):
        return gt_correct
    verdicts = [_accepts(rule, n, case, answer) for n, (case, answer) in enumerate(zip(cases, answers, strict=True))]
    return False if False in verdicts else None if None in verdicts else True


def _accepts(rule: Rule, number: int, case: Case, answer: object) -> bool | None:
    if matches(answer, case.expected):
        return True
    value = decoded(answer)
    return value is not NOT_DATA and JUDGES[rule.kind](rule, number, case, value)


def decoded(answer: object, depth: int = 0) -> Any:
    """The value that an answer's tagged JSON (core.sandbox.jail.answers) describes, of builtin types, or NOT_DATA.

    NOT_DATA too for a foreign object, for a call that raised, for a set or dict of more than MAX_MEMBERS, and for
    anything that judged code has made up.
    """
    if depth > MAX_DEPTH:
        return NOT_DATA
    if isinstance(answer, list):
        items = [decoded(item, depth + 1) for item in answer]
        return NOT_DATA if any(item is NOT_DATA for item in items) else items
    if not isinstance(answer, dict):
        return answer
    tag, content = next(iter(answer.items())) if len(answer) == 1 else ("", None)
    try:
        if isinstance(content, str) and tag in ("int", "bytes"):
            return int(content, 16) if tag == "int" else bytes.fromhex(content)
        items = decoded(content, depth + 1)
        if not isinstance(items, list) or tag not in _COLLECTIONS or (tag != "tuple" and len(items) > MAX_MEMBERS):
            return NOT_DATA
        return _COLLECTIONS[tag](items)
    except (TypeError, ValueError):  # not hexadecimal, an unhashable member, a pair of three
        return NOT_DATA


def _near(rule: Rule, number: int, case: Case, value: Any) -> bool:
    return near(value, case.expected, rule)


def near(value: Any, expected: object, rule: Rule) -> bool:
    """Equal but for numbers that differ by at most the rule's tolerance, in lists and tuples too."""
    if isinstance(expected, list | tuple):
        if type(value) is not type(expected) or len(value) != len(expected):
            return False
        return all(near(v, e, rule) for v, e in zip(value, expected, strict=True))
    if type(expected) not in (int, float) or type(value) not in (int, float):
        return type(value) is type(expected) and value == expected
    return _close(value, expected, rule)  # type: ignore[arg-type]


def _close(value: float, expected: float, rule: Rule) -> bool:
    """No number is close to NaN, or to an infinite one but itself."""
    try:
        value, expected = float(value), float(expected)
    except OverflowError:  # an int beyond every float
        return value == expected
    room = rule.tolerance * (max(1.0, abs(expected)) if rule.relative else 1.0)
    # An ulp more: the difference of two doubles that lie exactly so far apart may come out above it.
    return value == expected or (math.isfinite(expected) and abs(value - expected) <= room + math.ulp(expected))


def _same_items(rule: Rule, number: int, case: Case, value: Any) -> bool | None:
    """The listed items, each as often as listed, in whatever order.

    None where they are so only if the order within the items is free as well: prompts say "in any order" of the groups,
    of what is in them, or of both, and which it is cannot be told from the words.
    """
    if not isinstance(case.expected, list | tuple) or type(value) is not type(case.expected):
        return False
    if len(value) != len(case.expected):  # before they are counted: thousands of ints may share a hash
        return False
    if Counter(map(_key, value)) == Counter(map(_key, case.expected)):
        return True
    return None if Counter(map(_unordered, value)) == Counter(map(_unordered, case.expected)) else False


def _unordered(value: object) -> Hashable:
    return frozenset(Counter(map(_key, value)).items()) if isinstance(value, list | tuple) else _key(value)


def _key(value: object) -> Hashable:
    """Equal for values that are equal as answers: 2 and 2.0, a set and a frozenset, not a list and a tuple."""
    if isinstance(value, list | tuple):
        return type(value).__name__, *map(_key, value)
    if isinstance(value, set | frozenset):
        return "set", frozenset(map(_key, value))
    if isinstance(value, dict):
        return "dict", frozenset((_key(key), _key(item)) for key, item in value.items())
    return value


def _checked(rule: Rule, number: int, case: Case, value: Any) -> bool:
    by_place, by_name = arguments_of(case.call)
    return CHECKERS[rule.checker](case.expected, value, *by_place, **by_name)


def _is_listed(rule: Rule, number: int, case: Case, value: Any) -> bool:
    return any(_key(value) == _key(literal_value(source)) for source in rule.listed[number])


JUDGES: dict[str, Callable[[Rule, int, Case, Any], bool | None]] = {
    TOLERANCE: _near,
    ANY_ORDER: _same_items,
    CHECKER: _checked,
    LISTED: _is_listed,
}
