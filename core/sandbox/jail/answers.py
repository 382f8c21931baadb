"""Answers on their way out of a judged process: a value's builtin contents as tagged JSON, all else as a type name.

A Counter travels as the dict that it is, an IntEnum as its int. `matches` walks the expected value and never builds
what the answer describes, so no answer, however forged, costs the trusted side more than its own expected value is
large. The rule is Python's == between builtin contents: 2 == 2.0 and True == 1 hold, (1,) == [1] does not, and an
object that claims to equal everything equals nothing.
"""

# Own names for what is used after judged code has run: it may have replaced the builtins of these names.
import os
from builtins import (
    RecursionError,
    TypeError,
    ValueError,
    any,
    bool,
    bytearray,
    bytes,
    complex,
    dict,
    float,
    frozenset,
    getattr,
    hex,
    int,
    isinstance,
    issubclass,
    len,
    list,
    set,
    str,
    tuple,
    type,
)
from json import dumps
from types import FunctionType
from typing import Any

NoneType = type(None)
SET_LIKE: tuple[type, ...] = (type({}.keys()), type({}.items()))  # views of a dict equal sets
BYTES_LIKE = (bytes, bytearray)
SlotWrapper = type(object.__eq__)
# The library's classes whose == compares contents; others of it, such as unittest.mock.ANY, may equal everything.
HONEST = tuple(f"{os.path.dirname(os.__file__)}/{name}" for name in ("collections/", "fractions."))
SCALARS = frozenset({int, float, str, bool, NoneType})
MAX_DEPTH = 210  # Python reads no literal with more than 200 brackets inside each other
LONG_INT_BITS = 10_000  # Python neither writes nor reads more than 4,300 decimal digits
NAME_LENGTH = 80
FOREIGN, RAISED, LONG_INT = "foreign", "raised", "int"


def encoded(value: object) -> str:
    """Tagged JSON of one answer. What has no builtin contents, or not of finite depth, is foreign, by its type."""
    try:
        return dumps(_tagged(value, 0))
    except (ValueError, TypeError, RecursionError):
        return dumps({FOREIGN: type_name(value)})


def raised(error: BaseException) -> str:
    return dumps({RAISED: type_name(error)})


def type_name(value: object) -> str:
    """The name of a type that untrusted code may have made: an identifier, short, whatever was done to it."""
    name = getattr(type(value), "__name__", "")
    return name[:NAME_LENGTH] if type(name) is str and name.isidentifier() and name.isascii() else "object"


def _tagged(value: Any, depth: int) -> object:
    """Classes are asked for their true bases: a metaclass may claim that its classes are int, and hash alike."""
    kind: type = type(value)
    if kind is int or kind is str or kind is bool or kind is float or kind is NoneType:
        return value if kind is not int else _int(value)
    if depth > MAX_DEPTH:
        return {FOREIGN: "TooDeep"}
    if kind is list:
        return [_tagged(item, depth + 1) for item in value]
    if issubclass(kind, int):
        return _int(int.__pos__(value))
    if issubclass(kind, float):
        return float.__pos__(value)
    if issubclass(kind, str):
        return str.__str__(value)
    if issubclass(kind, list):
        return [_tagged(item, depth + 1) for item in list.__iter__(value)]
    if issubclass(kind, tuple):
        return {"tuple": [_tagged(item, depth + 1) for item in tuple.__iter__(value)]}
    if issubclass(kind, dict):
        return {"dict": [[_tagged(key, depth + 1), _tagged(item, depth + 1)] for key, item in dict.items(value)]}
    if issubclass(kind, frozenset):
        return {"frozenset": [_tagged(item, depth + 1) for item in frozenset.__iter__(value)]}
    if issubclass(kind, set):
        return {"set": [_tagged(item, depth + 1) for item in set.__iter__(value)]}
    if kind in SET_LIKE:
        return {"set": [_tagged(item, depth + 1) for item in value]}
    if issubclass(kind, BYTES_LIKE):
        return {"bytes": bytes.hex(value) if issubclass(kind, bytes) else bytearray.hex(value)}
    if kind is complex and value.imag == 0:
        return value.real
    return {FOREIGN: type_name(value)}


def _int(value: int) -> object:
    return value if value.bit_length() <= LONG_INT_BITS else {LONG_INT: hex(value)}


def claims_equality(value: Any, depth: int = 0) -> bool:
    """Whether a value, or one inside it, brings an == of its own: one that is no builtin's, Counter's or Fraction's."""
    kind: type = type(value)
    if kind in SCALARS or depth > MAX_DEPTH:
        return False
    if _is_own(kind.__eq__):
        return True
    if issubclass(kind, dict):
        return any(claims_equality(part, depth + 1) for pair in dict.items(value) for part in pair)
    for base in (list, tuple, set, frozenset):
        if issubclass(kind, base):
            return any(claims_equality(item, depth + 1) for item in base.__iter__(value))
    return False


def _is_own(equals: Any) -> bool:
    if type(equals) is FunctionType:
        return not equals.__code__.co_filename.startswith(HONEST)
    return type(equals) is not SlotWrapper


def foreign_name(answer: object) -> str | None:
    """The type's name of the first value in a decoded answer that has no builtin contents; null: there is none.

    Asked of answers that did not match, whose size the child's room for records bounds.
    """
    pending = [answer]
    while pending:
        part = pending.pop()
        if isinstance(part, dict):
            name = part.get(FOREIGN)
            if isinstance(name, str):
                return name if name.isidentifier() and name.isascii() and len(name) <= NAME_LENGTH else "object"
            pending.extend(part.values())
        elif isinstance(part, list):
            pending.extend(reversed(part))
    return None


def matches(answer: object, expected: object) -> bool:
    """Whether a decoded-from-JSON answer describes a value that equals the expected one."""
    if type(expected) in SCALARS:
        return (type(answer) in SCALARS and answer == expected) or _is_long_int(answer, expected)
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


def _is_long_int(answer: object, expected: object) -> bool:
    if type(expected) is not int or not isinstance(answer, dict) or list(answer) != [LONG_INT]:
        return False
    return answer[LONG_INT] == hex(expected)


def _all_match(answers: list, expected: list) -> bool:
    return len(answers) == len(expected) and all(map(matches, answers, expected))


def _same_members(answers: list, expected: list) -> bool:
    return len(answers) == len(expected) and all(any(matches(a, member) for a in answers) for member in expected)
