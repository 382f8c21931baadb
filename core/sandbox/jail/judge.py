"""What happens inside the process that judges one piece of code: run it, ask it, report, leave.

Nothing here is trusted once the judged code has started: it can reach and change all of it. So the process holds
nothing worth stealing, and what it reports is only believed where it can be checked outside (core.environment.rewards).
The names used after that moment are bound here first, against careless patching, not against malice.
"""

import ast
import atexit
import os
import random
import sys
import types
from builtins import BaseException, Exception, SystemExit, compile, eval, exec, getattr, int, isinstance
from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

from core.sandbox.jail.answers import encoded, is_exact, raised, type_name

Check = dict  # core.sandbox.pool.Check as JSON


class Reporter(Protocol):
    """Where records go: gathered by report, out of the process's reach at flush."""

    def report(self, name: str, text: str) -> None: ...

    def flush(self) -> None: ...


# What the benchmark's setup code imports, loaded once in the server.
KNOWN_MODULES = (
    *("bisect", "collections", "datetime", "functools", "heapq", "itertools", "json", "math", "operator", "random"),
    *("re", "string", "typing"),
)

_exit = os._exit


@lru_cache(maxsize=16)
def compiled_steps(steps: tuple[str, ...], mode: str) -> tuple[types.CodeType, ...]:
    """Code of the trusted steps, compiled before the fork, so that eight completions of a problem share the cost."""
    return tuple(compile(step, "<step>", mode) for step in steps)


@lru_cache(maxsize=4)
def prepared_module(setup: str) -> types.ModuleType | None:
    """A module __main__ in which harmless setup code has run, for forks to start from; None: each runs it itself."""
    if not is_harmless(setup):
        return None
    module = types.ModuleType("__main__")
    exec(compile(setup, "<setup>", "exec", dont_inherit=True), module.__dict__)
    return module


def is_harmless(setup: str) -> bool:
    """Whether setup code, which may come from anywhere, does nothing but import known modules and define.

    Only then may it run in the server, which judged code must not be able to change. The benchmark's is of this kind.
    """
    try:
        return all(map(_harmless, ast.parse(setup).body))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def _harmless(node: ast.stmt) -> bool:
    if isinstance(node, ast.Import):
        return all(alias.name in KNOWN_MODULES for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        return node.level == 0 and node.module in KNOWN_MODULES
    if isinstance(node, ast.FunctionDef):
        return not node.decorator_list and all(map(_names_only, ast.walk(node.args))) and _returns_harmless(node)
    if isinstance(node, ast.ClassDef):
        return not (node.bases or node.keywords or node.decorator_list) and all(map(_harmless, node.body))
    if isinstance(node, ast.Assign):
        named = all(isinstance(target, ast.Name) for target in node.targets)
        return named and ast.unparse(node.value) in ("float('inf')", "float('-inf')", "10 ** 9 + 7")
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


def _returns_harmless(node: ast.FunctionDef) -> bool:
    return node.returns is None or all(map(_names_only, ast.walk(node.returns)))


def _names_only(node: ast.AST) -> bool:
    """Defaults and annotations are run when a function is defined: names, constants and subscripts do nothing."""
    plain = ast.arguments | ast.arg | ast.Name | ast.Constant | ast.Subscript | ast.Tuple | ast.Load
    return isinstance(node, plain)


def warm(check: Check) -> None:
    """Fill the caches from the trusted parts of a check; to be called in the server, before it forks."""
    if prepared_module(check["setup"]) is None:
        compiled_steps((check["setup"],), "exec")
    compiled_steps(check["steps"], "exec" if check["kind"] == "script" else "eval")
    compiled_steps(check["expected"], "eval")


def judge(check: Check, out: Reporter) -> None:
    """Run one check. Records: "imported" (module code ran; its error or null), "ended" (all the rest)."""
    try:
        KINDS[check["kind"]](check, out)
    except Exception as error:
        out.report("error", encoded(type_name(error)))
    except BaseException as error:
        out.report("left", encoded(type_name(error)))


def _calls(check: Check, out: Reporter) -> None:
    namespace = _import_program(check, check["program"], out)
    answers = []
    for step in compiled_steps(check["steps"], "eval"):
        try:
            answers.append(encoded(eval(step, namespace)))  # at once: a later call may change an earlier answer
        except Exception as error:
            answers.append(raised(error))
    out.report("answers", "[" + ", ".join(answers) + "]")
    if check["attributes"]:
        out.report("attributes", encoded(_true_attributes(namespace, check["attributes"])))
    out.report("ended", "null")


def _true_attributes(namespace: dict, names: Sequence[str]) -> list[str]:
    solution = namespace["Solution"]()
    values = {name: getattr(solution, name, None) for name in names}
    # A method called is_valid is a helper of many honest solutions, not a claim to be right.
    return [name for name, value in values.items() if not callable(value) and value]


def _equality(check: Check, out: Reporter) -> None:
    namespace = _import_program(check, check["program"], out)
    calls, expected = (compiled_steps(check[part], "eval") for part in ("steps", "expected"))
    all_exact = True
    for call, value in zip(calls, expected, strict=True):
        answer = eval(call, namespace)
        all_exact = all_exact and is_exact(answer)
        if not answer == eval(value, namespace):  # noqa: SIM201  # == is the very thing that can be overridden
            out.report("error", encoded("Unequal"))
            return
    out.report("equal", encoded(all_exact))
    out.report("ended", "null")


def _test_function(check: Check, out: Reporter) -> None:
    """Call the program's own test function, on its own Solution or on the one of the check."""
    tree = ast.parse(check["program"])
    found = find_test_function(tree, check["test_name"])
    state = "absent" if found is None else found.state(check["program"], check["prompt_tests"])
    out.report("test_function", encoded(state))  # before any judged code runs: a second word on it spoils the check
    program: str | ast.Module = check["program"]
    owner = f"{found.class_name}()." if found and found.class_name else ""
    if check["solution"]:
        if found is None or state != "plain":
            return
        program = with_solution_replaced(tree, found, check["solution"])
    try:
        namespace = _import_program(check, program, out, silent=True)
        eval(compile(f"{owner}{check['test_name']}()", "<test>", "eval"), namespace)
        out.report("passed", "true")
    except Exception:
        out.report("passed", "false")
    out.report("ended", "null")


def _script(check: Check, out: Reporter) -> None:
    """Run program and steps as `python file.py` would, then fail: who exits with 0 left before that."""
    status = 1
    try:
        try:
            namespace = _import_program(check, check["program"], out)
            for step in compiled_steps(check["steps"], "exec"):
                exec(step, namespace)
            raise AssertionError("the script ran to its end")
        except SystemExit as error:
            status = _exit_status(error.code)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        atexit._run_exitfuncs()
    finally:  # a broken hook is an error too
        _exit(status)


def _exit_status(code: object) -> int:
    if code is None:
        return 0
    return code & 0xFF if isinstance(code, int) else 1


KINDS = {"calls": _calls, "equality": _equality, "test_function": _test_function, "script": _script}


def _import_program(check: Check, program: str | ast.Module, out: Reporter, silent: bool = False) -> dict:
    """Run setup and program as module __main__ (upstream runs one script), and report how far that came."""
    random.seed(0)  # code that draws numbers is judged alike every time; here, because a fork seeds anew
    prepared = prepared_module(check["setup"])
    module = prepared or types.ModuleType("__main__")
    sys.modules["__main__"] = module  # dataclasses and typing look classes' modules up there
    code = compile(program, "<program>", "exec", dont_inherit=True)
    if prepared is None:
        (setup,) = compiled_steps((check["setup"],), "exec")
        exec(setup, module.__dict__)
    out.flush()  # whatever the program does now, what has been said stands
    try:
        exec(code, module.__dict__)
    except Exception as error:
        if not silent:
            out.report("imported", encoded(type_name(error)))
        raise
    if not silent:
        out.report("imported", "null")
        out.flush()
    return module.__dict__


class TestFunction:
    """Where a response defines its own test function; class_name is None at module level."""

    def __init__(self, node: ast.FunctionDef | ast.AsyncFunctionDef, class_name: str | None) -> None:
        self.node = node
        self.class_name = class_name

    def state(self, program: str, prompt_tests: str) -> str:
        """guarded: holds the main guard, and upstream takes it for no test; copied: the prompt's, but for blanks."""
        if any(isinstance(n, ast.If) and _names_main(n.test) for n in ast.walk(self.node)):
            return "guarded"
        source = ast.get_source_segment(program, self.node) or ""
        return "copied" if prompt_tests and source.split() == prompt_tests.split() else "plain"


def _names_main(test: ast.expr) -> bool:
    return any(isinstance(node, ast.Name) and node.id == "__name__" for node in ast.walk(test))


def find_test_function(tree: ast.Module, name: str) -> TestFunction | None:
    """The definition that a call would reach: the last one at module level, else the last one that is a method."""
    functions: list[TestFunction] = []
    methods: list[TestFunction] = []
    pending: list[tuple[ast.AST, str | None]] = [(tree, None)]
    while pending:
        parent, class_name = pending.pop(0)
        for node in ast.iter_child_nodes(parent):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                if node.name == name:
                    (methods if class_name else functions).append(TestFunction(node, class_name))
            elif isinstance(node, ast.ClassDef):
                pending.append((node, node.name))
            else:
                pending.append((node, class_name))
    found = functions or methods
    return found[-1] if found else None


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


def with_solution_replaced(tree: ast.Module, found: TestFunction, replacement: str) -> ast.Module:
    """The replacement's Solution under the response's test function, with the definitions that function may need.

    Other module-level code stays behind: it is not part of the test, and may itself depend on the response's Solution.
    """
    body = [*ast.parse(replacement).body, *filter(_only_defines, tree.body)]
    if found.class_name == "Solution":
        body.append(ast.ClassDef("Solution", [ast.Name("Solution", ast.Load())], [], [found.node], []))
    elif found.class_name is None and found.node not in body:  # defined where other code stands as well
        body.append(found.node)
    return ast.fix_missing_locations(ast.Module(body, []))
