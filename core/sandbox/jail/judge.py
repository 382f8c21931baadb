"""What happens inside the process that judges one piece of code: run it, ask it, report, leave.

Nothing here is trusted once the judged code has started: it can reach and change all of it. So the process holds
nothing worth stealing: sources of trusted parts are gone by then, only their code is left. What it reports is believed
only where it can be checked outside (core.environment.rewards). The names used after that moment are bound here first,
against careless patching, not against malice.

Judged code runs in a namespace of its own that begins empty, as in the benchmark: its __name__ is builtins', so that
main guards never run. The script kind alone is a `python file.py`.
"""

import ast
import atexit
import os
import random
import sys
import types
from _sitebuiltins import Quitter, _Helper, _Printer
from builtins import BaseException, Exception, SystemExit, compile, eval, exec, getattr, int, isinstance
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import NamedTuple, Protocol

from core.sandbox.jail import newer_syntax
from core.sandbox.jail.answers import claims_equality, encoded, raised, type_name
from core.sandbox.jail.statelessness import keeps_no_state
from core.sandbox.jail.test_function import TestFunction, find_test_function, test_program

Check = dict  # core.sandbox.pool.Check as JSON


class Reporter(Protocol):
    """Where records go: gathered by report, out of the process's reach at flush."""

    def report(self, name: str, text: str) -> None: ...

    def flush(self) -> None: ...


class Work(NamedTuple):
    """A check without the sources of its trusted parts."""

    program: str
    names: dict  # where the program will run: what harmless setup code has defined
    setup: types.CodeType | None  # that which is not harmless is run here
    steps: tuple[types.CodeType, ...]
    expected: tuple[types.CodeType, ...]
    solution: types.CodeType | None
    attributes: Sequence[str]
    test_name: str
    shown_tests: Sequence[str]
    tests_after: bool


SecondPart = Callable[[Reporter], None]

# What the benchmark's setup code imports, loaded once in the server.
KNOWN_MODULES = (
    *("bisect", "collections", "datetime", "functools", "heapq", "itertools", "json", "math", "operator", "random"),
    *("re", "string", "typing"),
)

_exit = os._exit


@lru_cache(maxsize=16)
def compiled_steps(steps: tuple[str, ...], mode: str) -> tuple[types.CodeType, ...]:
    """Code of the trusted steps, compiled before the fork, so that eight completions of a problem share the cost."""
    return tuple(compile(step, "<step>", mode, dont_inherit=True) for step in steps)


@lru_cache(maxsize=4)
def prepared_names(setup: str) -> dict | None:
    """A namespace in which harmless setup code has run, for forks to start from; None: each runs it itself."""
    if not is_harmless(setup):
        return None
    names: dict = {}
    exec(compile(setup, "<setup>", "exec", dont_inherit=True), names)
    return names


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
    _trusted_code(check)


def give_site_builtins() -> None:
    """exit, quit and what else a Python with its site module has; to be called in the server, once."""
    given: dict[str, object] = {name: Quitter(name, "Ctrl-D") for name in ("exit", "quit")}
    given |= {name: _Printer(name, sys.copyright) for name in ("copyright", "credits", "license")}
    sys.modules["builtins"].__dict__.update(given, help=_Helper())


def judge(check: Check, out: Reporter) -> SecondPart | None:
    """Run one check. Records: "imported" (module code ran; its error or null), "ended" (all the rest).

    Returns what is to be run when this part has been sealed, where the check has such a part.
    """
    with _reported(out):
        return KINDS[check["kind"]](_work(check), out)
    return None


def judge_on(part: SecondPart, out: Reporter) -> None:
    """Run the second part of a check."""
    with _reported(out):
        part(out)


@contextmanager
def _reported(out: Reporter) -> Iterator[None]:
    """How a part was broken off, if it was, is said and goes no further."""
    try:
        yield
    except Exception as error:
        out.report("error", encoded(type_name(error)))
    except BaseException as error:
        out.report("left", encoded(type_name(error)))


def _work(check: Check) -> Work:
    """The check as work. Its sources are wiped from this process, whose callers' frames judged code can read."""
    names, setup, steps, expected, solution = _trusted_code(check)
    work = Work(
        program=check["program"] + "\n\n",  # a backslash may be its last character
        names=names if names is not None else {},
        setup=setup,
        steps=steps,
        expected=expected,
        solution=solution,
        attributes=check["attributes"],
        test_name=check["test_name"],
        shown_tests=check["shown_tests"],
        tests_after=check["tests_after"],
    )
    if check["reveals_answers"]:
        compiled_steps.cache_clear()
    check.clear()
    return work


def _trusted_code(check: Check) -> tuple:
    names = prepared_names(check["setup"])
    setup = compiled_steps((check["setup"],), "exec")[0] if names is None else None
    steps = compiled_steps(check["steps"], "exec" if check["kind"] == "script" else "eval")
    solution = compiled_steps((check["solution"],), "exec")[0] if check["solution"] else None
    return names, setup, steps, compiled_steps(check["expected"], "eval"), solution


def _calls(work: Work, out: Reporter) -> SecondPart | None:
    program: str | ast.Module = work.program
    second = None
    if work.test_name:
        program = _parsed(work.program)
        second = _tests_after(work, program, _report_tests(work, program, out))
    names = _import_program(work, program, out)
    answers = []
    for step in work.steps:
        try:
            answers.append(encoded(eval(step, names)))  # at once: a later call may change an earlier answer
        except Exception as error:
            answers.append(raised(error))
    out.report("answers", "[" + ", ".join(answers) + "]")
    if work.attributes:
        out.report("attributes", encoded(_true_attributes(names, work.attributes)))
    out.report("ended", "null")
    return second


def _report_tests(work: Work, tree: ast.Module, out: Reporter) -> TestFunction | None:
    """What the program's own test function is, before any judged code runs: a second word on it spoils the check.

    Returns it where it has to be run.
    """
    found = find_test_function(tree, work.test_name)
    state = "absent" if found is None else found.state(work.program, work.shown_tests)
    out.report("test_function", encoded(state))
    plain = found if state == "plain" else None
    empty = plain is not None and plain.proves_nothing(tree) and keeps_no_state(tree, work.program, work.names)
    out.report("proves_nothing", encoded(empty))
    return None if empty else plain


def _tests_after(work: Work, tree: ast.Module, found: TestFunction | None) -> SecondPart | None:
    """The program's tests on its own Solution, which has been imported by then, and on the check's.

    None where the program keeps state: its tests must meet the state of a new process.
    """
    if found is None or not work.tests_after or not keeps_no_state(tree, work.program, work.names):
        return None
    over_stub = work._replace(names=dict(work.names))

    def run(out: Reporter) -> None:
        random.seed(0)
        call = compile(f"{_owner(found)}{work.test_name}()", "<test>", "eval")
        out.report("passed", _passes(lambda: eval(call, work.names)))
        out.report("passed_over_solution", _passes(lambda: eval(call, _import_tests(over_stub, tree, found, out))))
        out.report("ended", "null")

    return run


def _passes(run: Callable[[], object]) -> str:
    try:
        run()
    except Exception:
        return "false"
    return "true"


def _owner(found: TestFunction | None) -> str:
    return f"{found.class_name}()." if found and found.class_name else ""


def _true_attributes(names: dict, wanted: Sequence[str]) -> list[str]:
    solution = names["Solution"]()
    values = {name: getattr(solution, name, None) for name in wanted}
    # A method called is_valid is a helper of many honest solutions, not a claim to be right.
    return [name for name, value in values.items() if not callable(value) and value]


def _equality(work: Work, out: Reporter) -> None:
    names = _import_program(work, work.program, out)
    own_equality = False
    for call, value in zip(work.steps, work.expected, strict=True):
        answer = eval(call, names)
        own_equality = own_equality or claims_equality(answer)
        if not answer == eval(value, names):  # noqa: SIM201  # == is the very thing that can be overridden
            out.report("error", encoded("Unequal"))
            return
    out.report("own_equality", encoded(own_equality))
    out.report("ended", "null")


def _test_function(work: Work, out: Reporter) -> None:
    """Call the program's own test function, on its own Solution or on the check's."""
    tree = _parsed(work.program)
    found = find_test_function(tree, work.test_name)
    call = compile(f"{_owner(found)}{work.test_name}()", "<test>", "eval")

    def names() -> dict:
        return _import_program(work, tree, out) if work.solution is None else _import_tests(work, tree, found, out)

    out.report("passed", _passes(lambda: eval(call, names())))
    out.report("ended", "null")


def _import_tests(work: Work, tree: ast.Module, found: TestFunction | None, out: Reporter) -> dict:
    """The response's test function and what it may call, over the check's Solution.

    That Solution keeps a namespace of its own: no helper of the response takes the place of one of the same name.
    """
    assert found is not None and work.solution is not None
    names = _set_up(work)
    solution_names = dict(names)
    exec(work.solution, solution_names)
    names["Solution"] = solution_names["Solution"]
    code = compile(test_program(tree, found), "<program>", "exec", dont_inherit=True)
    out.flush()
    exec(code, names)
    return names


def _script(work: Work, out: Reporter) -> None:
    """Run program and steps as `python file.py` would, then fail: who exits with 0 left before that."""
    status = 1
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    work.names["__name__"] = "__main__"
    main.__dict__.update(work.names)
    try:
        try:
            names = _import_program(work._replace(names=main.__dict__), work.program, out)
            for step in work.steps:
                exec(step, names)
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


def _import_program(work: Work, program: str | ast.Module, out: Reporter) -> dict:
    """Run setup and program in one namespace, and report how far that came."""
    code = _compiled(program)
    names = _set_up(work)
    out.flush()  # whatever the program does now, what has been said stands
    try:
        exec(code, names)
    except SyntaxError:  # raised by module code; the benchmark cannot tell it from the program's own
        raise
    except Exception as error:
        out.report("imported", encoded(type_name(error)))
        raise
    out.report("imported", "null")
    out.flush()
    return names


def _set_up(work: Work) -> dict:
    random.seed(0)  # code that draws numbers is judged alike every time; here, because a fork seeds anew
    if work.setup is not None:
        exec(work.setup, work.names)
    return work.names


def _compiled(program: str | ast.Module) -> types.CodeType:
    if isinstance(program, str) and "__future__" in program:
        program = _parsed(program)
    try:
        return compile(program, "<program>", "exec", dont_inherit=True)
    except SyntaxError:
        if isinstance(program, str) and newer_syntax.is_newer(program):
            raise NewerSyntax from None
        raise


def _parsed(program: str) -> ast.Module:
    """The program's tree, its `from __future__` lines first, wherever a block of the response has put them."""
    try:
        tree = ast.parse(program)
    except SyntaxError:
        if newer_syntax.is_newer(program):
            raise NewerSyntax from None
        raise
    futures = [node for node in tree.body if _is_future(node)]
    if futures:
        tree.body = [*futures, *(node for node in tree.body if node not in futures)]
    return tree


def _is_future(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__" and node.level == 0


class NewerSyntax(SyntaxError):
    """Code that this Python refuses and a newer one takes."""
