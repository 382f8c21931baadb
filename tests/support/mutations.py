"""Small faults put into Python code, one at a time: the standard operators of mutation testing.

Everything here is text to text; nothing is run. An operator names the nodes it would replace and by what. A mutation's
code is a normalised (ast.unparse) copy of the original with that one node replaced, so its text differs from the
original's at this place only. Whether its meaning differs is not shown: some mutants are equivalent.
"""

import ast
import copy
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

Replacement = tuple[ast.AST, ast.AST]  # a node of the tree, and what to put there
Operator = Callable[[ast.AST], Iterator[Replacement]]

HITS = "_hits"  # the name under which a probed program counts


@dataclass(frozen=True)
class Mutation:
    operator: str
    line: int  # of the original source, from 1
    column: int  # from 0
    old: str
    new: str
    node: int  # the replaced node's place in ast.walk
    code: str

    def __str__(self) -> str:
        return f"{self.operator} at line {self.line}, column {self.column}: {self.old} -> {self.new}"


BOUNDARIES: dict[type, type] = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}
OPPOSITES: dict[type, type] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
ARITHMETIC: dict[type, type] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Div: ast.Mult,
    ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitOr,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift,
}  # fmt: skip


def comparison_boundary(node: ast.AST) -> Iterator[Replacement]:
    yield from _other_comparisons(node, BOUNDARIES)


def comparison_opposite(node: ast.AST) -> Iterator[Replacement]:
    yield from _other_comparisons(node, OPPOSITES)


def _other_comparisons(node: ast.AST, table: dict[type, type]) -> Iterator[Replacement]:
    if isinstance(node, ast.Compare):
        for place, op in enumerate(node.ops):
            if type(op) in table:
                ops = [*node.ops[:place], table[type(op)](), *node.ops[place + 1 :]]
                yield node, ast.Compare(node.left, ops, node.comparators)


def arithmetic(node: ast.AST) -> Iterator[Replacement]:
    if isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
        yield node, ast.BinOp(node.left, ARITHMETIC[type(node.op)](), node.right)
    if isinstance(node, ast.AugAssign) and type(node.op) in ARITHMETIC:
        yield node, ast.AugAssign(node.target, ARITHMETIC[type(node.op)](), node.value)


def constant_off_by_one(node: ast.AST) -> Iterator[Replacement]:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        yield node, ast.Constant(node.value + 1)
        yield node, ast.Constant(node.value - 1)


def and_or(node: ast.AST) -> Iterator[Replacement]:
    if isinstance(node, ast.BoolOp):
        yield node, ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)


def negated_condition(node: ast.AST) -> Iterator[Replacement]:
    """Not of a single == or in: that is comparison_opposite's."""
    tests = [node.test] if isinstance(node, ast.If | ast.While | ast.IfExp) else []
    tests += node.ifs if isinstance(node, ast.comprehension) else []
    for test in tests:
        if not (isinstance(test, ast.Compare) and len(test.ops) == 1 and type(test.ops[0]) in OPPOSITES):
            if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
                yield test, test.operand
            else:
                yield test, ast.UnaryOp(ast.Not(), test)


def statement_removed(node: ast.AST) -> Iterator[Replacement]:
    docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    if isinstance(node, ast.Assign | ast.AugAssign | ast.Expr) and not docstring:
        yield node, ast.Pass()


def break_continue(node: ast.AST) -> Iterator[Replacement]:
    if isinstance(node, ast.Break):
        yield node, ast.Continue()
    if isinstance(node, ast.Continue):
        yield node, ast.Break()


def returned_value(node: ast.AST) -> Iterator[Replacement]:
    """By the function's return annotation: a number off by one, a sequence reversed, a truth negated."""
    if not isinstance(node, ast.FunctionDef) or node.returns is None:
        return
    kind = ast.unparse(node.returns).partition("[")[0].lower()
    for returning in _own_returns(node):
        value = returning.value
        if value is None:
            continue
        changed: ast.expr | None = None
        if kind in ("int", "float"):
            changed = ast.BinOp(value, ast.Add(), ast.Constant(1))
        elif kind in ("list", "str"):
            changed = ast.Subscript(value, ast.Slice(step=ast.UnaryOp(ast.USub(), ast.Constant(1))), ast.Load())
        elif kind == "bool":
            changed = ast.UnaryOp(ast.Not(), value)
        if changed is not None:
            yield value, changed


def _own_returns(function: ast.FunctionDef) -> Iterator[ast.Return]:
    pending: list[ast.AST] = list(function.body)
    while pending:
        node = pending.pop(0)
        if isinstance(node, ast.Return):
            yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            pending += ast.iter_child_nodes(node)


def range_bound(node: ast.AST) -> Iterator[Replacement]:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range":
        for bound in node.args[:2]:
            yield from _off_by_one(bound)


def slice_bound(node: ast.AST) -> Iterator[Replacement]:
    if isinstance(node, ast.Slice):
        for bound in (node.lower, node.upper):
            if bound is not None:
                yield from _off_by_one(bound)


def _off_by_one(node: ast.expr) -> Iterator[Replacement]:
    if not isinstance(node, ast.Constant | ast.Starred):  # of a constant: constant_off_by_one's
        yield node, ast.BinOp(node, ast.Add(), ast.Constant(1))
        yield node, ast.BinOp(node, ast.Sub(), ast.Constant(1))


def min_max(node: ast.AST) -> Iterator[Replacement]:
    other = {"min": "max", "max": "min"}
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in other:
        yield node, ast.Call(ast.Name(other[node.func.id], ast.Load()), node.args, node.keywords)


OPERATORS: dict[str, Operator] = {
    "comparison boundary": comparison_boundary,
    "comparison opposite": comparison_opposite,
    "arithmetic": arithmetic,
    "constant": constant_off_by_one,
    "and/or": and_or,
    "condition negated": negated_condition,
    "statement removed": statement_removed,
    "break/continue": break_continue,
    "returned value": returned_value,
    "range bound": range_bound,
    "slice bound": slice_bound,
    "min/max": min_max,
}


def all_mutations(source: str) -> list[Mutation]:
    """Every mutation that compiles; no two with the same code, none with the original's."""
    tree = ast.parse(source)
    places = {id(node): place for place, node in enumerate(ast.walk(tree))}
    out_of_reach = _never_mutated(tree)
    seen = {ast.unparse(tree)}
    found = []
    for node in ast.walk(tree):
        for operator, propose in OPERATORS.items():
            for old, new in propose(node):
                if id(old) in out_of_reach:
                    continue
                code = _with(tree, places[id(old)], new)
                if code not in seen and _compiles(code):
                    seen.add(code)
                    line, column = old.lineno, old.col_offset  # type: ignore[attr-defined]
                    old_text, new_text = (_first_line(ast.unparse(n)) for n in (old, new))
                    found.append(Mutation(operator, line, column, old_text, new_text, places[id(old)], code))
    return found


def chosen_mutations(source: str, row_id: str, seed: int, number: int = 5) -> list[Mutation]:
    """A seeded choice, by turns from every operator that applies: constants are many, and would crowd out the rest."""
    rng = random.Random(f"{row_id}/{seed}")
    pools: dict[str, list[Mutation]] = {}
    for mutation in all_mutations(source):
        pools.setdefault(mutation.operator, []).append(mutation)
    for pool in pools.values():
        rng.shuffle(pool)
    chosen: list[Mutation] = []
    while len(chosen) < number and any(pools.values()):
        for operator in rng.sample(sorted(pools), len(pools)):
            if pools[operator] and len(chosen) < number:
                chosen.append(pools[operator].pop())
    return chosen


def probed(source: str, mutation: Mutation) -> str:
    """The original, counting in HITS[0] how often it comes to the place that the mutation changes."""
    tree = ast.parse(source)
    node = list(ast.walk(tree))[mutation.node]
    count = ast.parse(f"{HITS}.__setitem__(0, {HITS}[0] + 1)", mode="eval").body
    if isinstance(node, ast.expr):
        pair = ast.Tuple([count, node], ast.Load())
        code = _with(tree, mutation.node, ast.Subscript(pair, ast.Constant(1), ast.Load()))
    else:  # a statement: an if around it, so that one node stays one node
        code = _with(tree, mutation.node, ast.If(ast.Constant(True), [ast.Expr(count), node], []))  # type: ignore[list-item]
    return f"{HITS} = [0]\n{code}"


def _with(tree: ast.Module, place: int, new: ast.AST) -> str:
    changed = copy.deepcopy(tree)
    target = list(ast.walk(changed))[place]

    class Replace(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> ast.AST:
            return new if node is target else self.generic_visit(node)

    return ast.unparse(Replace().visit(changed))


def _never_mutated(tree: ast.Module) -> set[int]:
    """Annotations and decorators say little about behaviour; inside f-strings and patterns not all code may stand."""
    roots: list[ast.AST | None] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            roots += [node.returns, *node.decorator_list]
        elif isinstance(node, ast.arg | ast.AnnAssign):
            roots.append(node.annotation)
        elif isinstance(node, ast.JoinedStr | ast.pattern):
            roots.append(node)
    return {id(inner) for root in roots if root is not None for inner in ast.walk(root)}


def _compiles(code: str) -> bool:
    try:
        compile(code, "<mutant>", "exec", dont_inherit=True)
    except SyntaxError:
        return False
    return True


def _first_line(text: str) -> str:
    head, _, rest = text.partition("\n")
    return f"{head} ..." if rest else head
