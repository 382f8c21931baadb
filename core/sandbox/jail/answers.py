"""Answers on their way out of a judged process: exact builtin values as tagged JSON, all else as a type name.

`matches` walks the expected value and never builds what the answer describes, so no answer, however forged, costs the
trusted side more than its own expected value is large. The rule is Python's == between exact builtin types:
2 == 2.0 and True == 1 hold, (1,) == [1] does not, and an object that claims to equal everything equals nothing.
"""

# Own names for what is used after judged code has run: it may have replaced the builtins of these names.
from builtins import (
    RecursionError,
    ValueError,
    bool,
    bytes,
    dict,
    float,
    frozenset,
    getattr,
    int,
    list,
    set,
    str,
    tuple,
    type,
)
from json import dumps
from typing import Any

NoneType = type(None)
SCALARS = frozenset({int, float, str, bool, NoneType})
MAX_DEPTH = 60
FOREIGN, RAISED = "foreign", "raised"


def encoded(value: object) -> str:
    """Tagged JSON of one answer. What JSON cannot hold (a too long int, a cycle, a subclass) is foreign."""
    try:
        return dumps(_tagged(value, 0))
    except (ValueError, RecursionError):
        return dumps({FOREIGN: type_name(value)})


def is_exact(value: object) -> bool:
    """True where the value is made of exact builtin types throughout."""
    return f'{{"{FOREIGN}": ' not in encoded(value)


def raised(error: BaseException) -> str:
    return dumps({RAISED: type_name(error)})


def type_name(value: object) -> str:
    """The name of a type that untrusted code may have made: short, and a string whatever it did to it."""
    name = getattr(type(value), "__name__", "")
    return name[:80] if type(name) is str and name.isidentifier() else "object"


def _tagged(value: Any, depth: int) -> object:
    """Types are told by identity: a metaclass may claim that its classes equal int, and hash alike."""
    kind: type = type(value)
    if kind is int or kind is str or kind is bool or kind is float or kind is NoneType:
        return value
    if depth > MAX_DEPTH:
        return {FOREIGN: "too deep"}
    if kind is list:
        return [_tagged(item, depth + 1) for item in value]
    if kind is tuple:
        return {"tuple": [_tagged(item, depth + 1) for item in value]}
    if kind is dict:
        return {"dict": [[_tagged(key, depth + 1), _tagged(item, depth + 1)] for key, item in value.items()]}
    if kind is set or kind is frozenset:
        return {"set" if kind is set else "frozenset": [_tagged(item, depth + 1) for item in value]}
    if kind is bytes:
        return {"bytes": value.hex()}
    return {FOREIGN: type_name(value)}


def matches(answer: object, expected: object) -> bool:
    """Whether a decoded-from-JSON answer describes a value that equals the expected one."""
    if type(expected) in SCALARS:
        return type(answer) in SCALARS and answer == expected
    if isinstance(expected, list):
        return isinstance(answer, list) and _all_match(answer, expected)
    if not isinstance(answer, dict) or len(answer) != 1:
        return False
    ((tag, content),) = answer.items()
    if isinstance(expected, bytes):
        return tag == "bytes" and content == expected.hex()
    if not isinstance(content, list):
        return False
    if isinstance(expected, tuple):
        return tag == "tuple" and _all_match(content, list(expected))
    if isinstance(expected, set | frozenset):
        return tag in ("set", "frozenset") and _same_members(content, list(expected))
    if isinstance(expected, dict):
        return tag == "dict" and _same_members(content, [list(pair) for pair in expected.items()])
    return False


def _all_match(answers: list, expected: list) -> bool:
    return len(answers) == len(expected) and all(map(matches, answers, expected))


def _same_members(answers: list, expected: list) -> bool:
    return len(answers) == len(expected) and all(any(matches(a, member) for a in answers) for member in expected)
