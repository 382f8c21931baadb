"""A ground-truth assert taken apart: the call, which judged code may see, and the value, which it may not.

Accepted: `assert Solution().method(arguments) == value`, where arguments and value are literals (`inf` counts: the
benchmark's setup code defines it). Anything else is refused, because it would have to be run to learn what it expects.
"""

import ast
from dataclasses import dataclass
from functools import lru_cache
from typing import NoReturn

NAMED_CONSTANTS = {"inf": float("inf")}


@dataclass(frozen=True)
class Case:
    call: str
    expected_source: str
    expected: object


@lru_cache(maxsize=4096)
def parse_asserts(asserts: tuple[str, ...], method: str) -> tuple[Case, ...]:
    """One case per assert, in order. Raises ValueError naming the first assert that does not fit."""
    return tuple(parse_assert(source, method, number) for number, source in enumerate(asserts))


def parse_assert(source: str, method: str, number: int) -> Case:
    def refuse(reason: str) -> NoReturn:
        shown = source if len(source) <= 120 else source[:117] + "..."
        raise ValueError(
            f"assert {number}: {reason} in {shown!r}; expected `assert Solution().{method}(...) == literal`"
        )

    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        refuse(f"not Python ({error})")
    if len(body) != 1 or not isinstance(body[0], ast.Assert) or body[0].msg is not None:
        refuse("not one bare assert statement")
    test = body[0].test
    if not (isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq)):
        refuse("no single ==")
    call, value = test.left, test.comparators[0]
    if not (isinstance(call, ast.Call) and ast.unparse(call.func) == f"Solution().{method}"):
        refuse(f"the left side does not call Solution().{method}")
    try:
        for argument in [*call.args, *(keyword.value for keyword in call.keywords)]:
            literal(argument)
        if any(keyword.arg is None for keyword in call.keywords):
            refuse("a ** argument")
        expected = literal(value)
    except (TypeError, ValueError) as error:
        refuse(str(error))
    return Case(call=_source_of(call, source), expected_source=_source_of(value, source), expected=expected)


def arguments_of(call: str) -> tuple[list[object], dict[str, object]]:
    """The values of a case's call, by place and by name."""
    node = ast.parse(call, mode="eval").body
    assert isinstance(node, ast.Call), call
    return [literal(argument) for argument in node.args], {str(k.arg): literal(k.value) for k in node.keywords}


def literal_value(source: str) -> object:
    """What a literal's source stands for. Raises ValueError where it is none."""
    try:
        return literal(ast.parse(source, mode="eval").body)
    except (SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError(f"not a literal: {source[:60]!r} ({error})") from None


def literal(node: ast.expr) -> object:
    """The value of a literal expression. Raises ValueError for anything that is not data, TypeError if unhashable."""
    if isinstance(node, ast.Constant) and (node.value is None or type(node.value) in (int, float, str, bool, bytes)):
        return node.value
    if isinstance(node, ast.Name) and node.id in NAMED_CONSTANTS:
        return NAMED_CONSTANTS[node.id]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        operand = literal(node.operand)
        if type(operand) in (int, float):
            return -operand if isinstance(node.op, ast.USub) else operand  # type: ignore[operator]
    if isinstance(node, ast.List):
        return [literal(item) for item in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple(literal(item) for item in node.elts)
    if isinstance(node, ast.Set):
        return {literal(item) for item in node.elts}
    if isinstance(node, ast.Dict) and None not in node.keys:
        return {literal(key): literal(item) for key, item in zip(node.keys, node.values, strict=True) if key}
    raise ValueError(f"not a literal: {ast.unparse(node)[:60]!r}")


def _source_of(node: ast.expr, source: str) -> str:
    return ast.get_source_segment(source, node) or ast.unparse(node)
