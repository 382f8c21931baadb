"""Whether a program keeps anything from one call to the next, told from its tree alone.

Where it keeps nothing, its own tests may run in the process that has answered the asserts: they meet what a new process
would show them. Only an honest program is asked this for its own good: tests that pass for reasons of their own are
what a loophole is, and the asserts' verdict is sealed by then. False where it cannot be told.
"""

import ast
from collections.abc import Collection, Iterable

from core.sandbox.jail.test_function import DYNAMIC, MAIN_GUARD

MEMORIES = ("__class__", "__dict__", "__init_subclass__", "__setattr__", "__new__", "metaclass", "type(", "classmethod")
PURE_DECORATORS = ("staticmethod", "property", "cache", "lru_cache", "functools.cache", "functools.lru_cache")


def keeps_no_state(tree: ast.Module, program: str, known: Collection[str]) -> bool:
    """`known`: names that the setup code has defined, whose objects all calls share."""
    if not program.isascii() or any(word in program for word in (*DYNAMIC, *MEMORIES)):  # other letters spell names too
        return False
    if not all(map(_only_defines, tree.body)):
        return False
    shared = {*known, *_defined(tree.body)}
    return all(_keeps_none(node, shared) for node in ast.walk(tree))


def _only_defines(node: ast.stmt) -> bool:
    if isinstance(node, ast.ClassDef):
        return not node.keywords and _calls_nothing(node.bases) and all(map(_only_defines, node.body))
    if isinstance(node, ast.FunctionDef):
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        return _calls_nothing([node.returns, *(argument.annotation for argument in arguments)])
    if isinstance(node, ast.Assign):
        return all(map(_is_name, node.targets)) and _is_immutable(node.value)
    if isinstance(node, ast.AnnAssign):
        plain = isinstance(node.target, ast.Name) and _calls_nothing([node.annotation])
        return plain and (node.value is None or _is_immutable(node.value))
    if isinstance(node, ast.If):  # its body never runs
        return ast.unparse(node).startswith(MAIN_GUARD) and all(map(_only_defines, node.orelse))
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    return isinstance(node, ast.Import | ast.ImportFrom | ast.Pass)


def _is_name(target: ast.expr) -> bool:
    return all(map(_is_name, target.elts)) if isinstance(target, ast.Tuple) else isinstance(target, ast.Name)


def _calls_nothing(expressions: Iterable[ast.expr | None]) -> bool:
    """What stands in bases and annotations is run when they are defined."""
    nodes = (node for expression in expressions if expression is not None for node in ast.walk(expression))
    return not any(isinstance(node, ast.Call | ast.NamedExpr) for node in nodes)


def _defined(body: Iterable[ast.stmt]) -> Iterable[str]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((alias.asname or alias.name).partition(".")[0] for alias in node.names)


def _keeps_none(node: ast.AST, shared: Collection[str]) -> bool:
    if isinstance(node, ast.Global | ast.AsyncFunctionDef):
        return False
    if isinstance(node, ast.FunctionDef | ast.Lambda):
        defaults = [*node.args.defaults, *(default for default in node.args.kw_defaults if default is not None)]
        decorators = node.decorator_list if isinstance(node, ast.FunctionDef) else []
        return all(map(_is_immutable, defaults)) and all(map(_is_pure, decorators))
    if isinstance(node, ast.ClassDef):
        return not node.decorator_list
    if isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
        return _root(node) not in shared
    return True


def _root(node: ast.expr) -> str | None:
    """The name that an attribute or item is reached by."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def _is_pure(decorator: ast.expr) -> bool:
    return ast.unparse(decorator.func if isinstance(decorator, ast.Call) else decorator) in PURE_DECORATORS


def _is_immutable(node: ast.expr) -> bool:
    """A number, a text, a tuple of such, a name, or float('inf'): what no call can change."""
    if isinstance(node, ast.Constant | ast.Name):
        return True
    if isinstance(node, ast.Tuple):
        return all(map(_is_immutable, node.elts))
    if isinstance(node, ast.UnaryOp):
        return _is_immutable(node.operand)
    if isinstance(node, ast.BinOp):
        return _is_immutable(node.left) and _is_immutable(node.right)
    return isinstance(node, ast.Call) and ast.unparse(node) in ("float('inf')", "float('-inf')")
