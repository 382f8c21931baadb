"""A response's own test function: where it stands, what it is, and the program that carries it to another Solution."""

import ast
from collections.abc import Iterator, Sequence
from typing import Literal

State = Literal["absent", "guarded", "copied", "plain"]
STATES: tuple[State, ...] = ("absent", "guarded", "copied", "plain")

MAIN_GUARD = "if __name__ == '__main__':"

# Ways by which a name may come to mean something else than its one definition says.
DYNAMIC = (
    *("globals", "locals", "vars", "exec", "eval", "setattr", "modules", "__dict__", "__builtins__", "__main__"),
    *("__globals__", "__code__", "builtins", "_getframe", "f_back", "settrace", "setprofile", "ctypes", "stdout"),
    *("gc", "inspect", "signal", "__import__", "importlib", "delattr", "monitoring", "recursionlimit", "audithook"),
)


class TestFunction:
    """Where a response defines its own test function; class_name is None at module level."""

    __test__ = False  # not pytest's

    def __init__(self, node: ast.FunctionDef | ast.AsyncFunctionDef, class_name: str | None) -> None:
        self.node = node
        self.class_name = class_name

    def state(self, program: str, shown_tests: Sequence[str]) -> State:
        """guarded: holds a main guard, and the benchmark takes it for no test; copied: the prompt's, but for blanks.

        shown_tests: the prompt's function (`without_blanks`).
        """
        if "__name__" in program and MAIN_GUARD in ast.unparse(self.node):
            return "guarded"
        if shown_tests:
            source = ast.get_source_segment(program, self.node) or ""
            if {_bare(source), _bare(ast.unparse(self.node))} & set(shown_tests):
                return "copied"
        return "plain"

    def proves_nothing(self, tree: ast.Module) -> bool:
        """Whether it passes on any Solution: a body of pass, constants and prints of constants.

        It does so in a program that only defines (jail.statelessness). False says nothing: then it has to be run.
        """
        node = self.node
        if node not in tree.body or isinstance(node, ast.AsyncFunctionDef) or node.decorator_list or _takes(node.args):
            return False
        prints = [statement for statement in node.body if not _does_nothing(statement)]
        if not all(map(_prints_constants, prints)):
            return False
        bound = list(_bound_names(tree))
        return bound.count(node.name) == 1 and "*" not in bound and not (prints and "print" in bound)


def _takes(arguments: ast.arguments) -> bool:
    return bool(arguments.posonlyargs or arguments.args or arguments.kwonlyargs or arguments.vararg or arguments.kwarg)


def _does_nothing(node: ast.stmt) -> bool:
    if isinstance(node, ast.Return):
        return node.value is None or isinstance(node.value, ast.Constant)
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


def _prints_constants(node: ast.stmt) -> bool:
    if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Call):
        return False
    call = node.value
    named = isinstance(call.func, ast.Name) and call.func.id == "print"
    return named and not call.keywords and all(isinstance(argument, ast.Constant) for argument in call.args)


def _bound_names(tree: ast.Module) -> Iterator[str]:
    """Every name that any part of the program binds or deletes, once for each time; * for a star import."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((alias.asname or alias.name).partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.Global | ast.Nonlocal):
            yield from node.names
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            yield node.name
        elif isinstance(node, ast.MatchMapping) and node.rest:
            yield node.rest


def find_test_function(tree: ast.Module, name: str) -> TestFunction | None:
    """The definition that a call would reach: the last one at module level, else the last one that is a method.

    An async method is none: a call of it never runs it, and the benchmark does not find it.
    """
    functions: list[TestFunction] = []
    methods: list[TestFunction] = []
    pending: list[tuple[ast.AST, str | None]] = [(tree, None)]
    while pending:
        parent, class_name = pending.pop(0)
        for node in ast.iter_child_nodes(parent):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                if node.name == name and not (class_name and isinstance(node, ast.AsyncFunctionDef)):
                    (methods if class_name else functions).append(TestFunction(node, class_name))
            elif isinstance(node, ast.ClassDef):
                pending.append((node, node.name))
            elif isinstance(node, ast.stmt | ast.excepthandler | ast.match_case):
                pending.append((node, class_name))
    found = functions or methods
    return found[-1] if found else None


def test_program(tree: ast.Module, found: TestFunction) -> ast.Module:
    """The response's test function with the definitions that it may need, for a namespace that has a Solution already.

    Other module-level code stays behind: it is not part of the test, and may itself depend on the response's Solution.
    """
    body = list(filter(_only_defines, tree.body))
    if found.class_name == "Solution":
        body.append(ast.ClassDef("Solution", [ast.Name("Solution", ast.Load())], [], [found.node], []))
    elif found.class_name is None and found.node not in body:  # defined where other code stands as well
        body.append(found.node)
    return ast.fix_missing_locations(ast.Module(body, []))


def _only_defines(node: ast.stmt) -> bool:
    """Imports, definitions and plain assignments, also under an if or a try: what a test function may refer to."""
    if isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Pass):
        return not (isinstance(node, ast.ClassDef) and node.name == "Solution")
    if isinstance(node, ast.Assign):
        return all(map(_is_name, node.targets))
    if isinstance(node, ast.AnnAssign):
        return _is_name(node.target)
    if isinstance(node, ast.If):
        return all(map(_only_defines, [*node.body, *node.orelse]))
    if isinstance(node, ast.Try):
        handled = [statement for handler in node.handlers for statement in handler.body]
        return all(map(_only_defines, [*node.body, *handled, *node.orelse, *node.finalbody]))
    return False


def _is_name(target: ast.expr) -> bool:
    if isinstance(target, ast.Tuple | ast.List):
        return all(map(_is_name, target.elts))
    return isinstance(target, ast.Name) and target.id != "Solution"


def without_blanks(source: str) -> tuple[str, ...]:
    """A prompt's test function, as it stands and as Python would write it, both bare of blanks and case."""
    if not source:
        return ()
    try:
        written = ast.unparse(ast.parse(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        written = source
    return tuple(dict.fromkeys((_bare(source), _bare(written))))


def _bare(source: str) -> str:
    return "".join(source.split()).lower()
