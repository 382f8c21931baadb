"""More inputs for a benchmark row, made by small changes to the ones its asserts hold.

A row's constraints stand only in its prose. What is respected instead is whatever holds on every one of its inputs:
value and length ranges, letters, order, distinctness, permutations, trees, and inequalities between arguments. That
is stricter than the prose in places and laxer in others, so an input from here may still be one the prose forbids.
"""

import ast
import itertools
import random
from collections.abc import Iterator, Sequence
from typing import Any

Arguments = dict[str, Any]  # parameter name -> value; a position stands in as "0", "1", ...

PREFERRED_CHARACTERS = 250  # perturb the row's short inputs rather than its long ones: they run fast and read well
TRIES_PER_INPUT = 60


def arguments_of(call: str) -> Arguments:
    node = ast.parse(call, mode="eval").body
    assert isinstance(node, ast.Call)
    named = [(str(place), value) for place, value in enumerate(node.args)]
    named += [(str(keyword.arg), keyword.value) for keyword in node.keywords]
    return {
        name: eval(ast.unparse(value), {"inf": float("inf")}) for name, value in named
    }  # literals: core.environment.asserts


def call_of(method: str, arguments: Arguments) -> str:
    shown = [repr(v) if name.isdigit() else f"{name}={v!r}" for name, v in arguments.items()]
    return f"Solution().{method}({', '.join(shown)})"


def perturbed_inputs(examples: Sequence[Arguments], number: int, rng: random.Random) -> list[Arguments]:
    """Up to `number` distinct inputs, none among the examples, each with every property the examples share."""
    short = [e for e in examples if len(repr(e)) <= PREFERRED_CHARACTERS] or list(examples)
    facts = shared_facts(examples)
    profile = _Profile(examples)
    seen = {repr(example) for example in examples}
    found: list[Arguments] = []
    pool = list(short)
    for _ in range(number * TRIES_PER_INPUT):
        if len(found) == number:
            break
        candidate = _perturbed(rng.choice(pool), short, profile, rng)
        if repr(candidate) in seen:
            continue
        seen.add(repr(candidate))
        if profile.admits(candidate) and facts <= set(_facts(candidate)):
            found.append(candidate)
            pool.append(candidate)  # a walk away from the examples
    return found


class _Profile:
    """Ranges of values and lengths and the letters in use, by place: argument, depth, and column of short rows."""

    def __init__(self, examples: Sequence[Arguments]) -> None:
        self.numbers: dict[str, set] = {}
        self.lengths: dict[str, set[int]] = {}
        self.letters: dict[str, set[str]] = {}
        self.words: dict[str, set[str]] = {}
        self.columns: set[str] = set()
        rows: dict[str, list[list]] = {}
        for example in examples:
            for name, value in example.items():
                for place, inner in _lists(name, value):
                    rows.setdefault(place, []).append(inner)
        for place, lists in rows.items():
            sizes = {len(inner) for inner in lists}
            if place.endswith("[]") and len(sizes) == 1 and max(sizes) <= 4:
                self.columns.add(place)
        for example in examples:
            for name, value in example.items():
                self._learn(name, value)

    def _learn(self, place: str, value: Any) -> None:
        if isinstance(value, list):
            self.lengths.setdefault(place, set()).add(len(value))
            for index, item in enumerate(value):
                self._learn(self.inner(place, index), item)
        elif isinstance(value, str):
            self.lengths.setdefault(place, set()).add(len(value))
            self.letters.setdefault(place, set()).update(value)
            self.words.setdefault(place, set()).add(value)
        elif isinstance(value, int | float):
            self.numbers.setdefault(place, set()).add(value)

    def inner(self, place: str, index: int) -> str:
        return f"{place}#{index}" if place in self.columns else f"{place}[]"

    def admits(self, arguments: Arguments) -> bool:
        return all(self._fits(name, value) for name, value in arguments.items())

    def _fits(self, place: str, value: Any) -> bool:
        if isinstance(value, list):
            if not _within(len(value), self.lengths.get(place, set())):
                return False
            return all(self._fits(self.inner(place, index), item) for index, item in enumerate(value))
        if isinstance(value, str):
            if not _within(len(value), self.lengths.get(place, set())):
                return False
            return set(value) <= self.letters.get(place, set())
        if isinstance(value, int | float):
            return _within(value, self.numbers.get(place, set()))
        return True


def _within(value: float, seen: set) -> bool:
    return bool(seen) and min(seen) <= value <= max(seen)


def _lists(place: str, value: Any) -> Iterator[tuple[str, list]]:
    if isinstance(value, list):
        yield place, value
        for item in value:
            yield from _lists(f"{place}[]", item)


def _perturbed(base: Arguments, examples: Sequence[Arguments], profile: _Profile, rng: random.Random) -> Arguments:
    changed = dict(base)
    for _ in range(rng.choice((1, 1, 2, 3))):
        name = rng.choice(list(changed))
        if rng.random() < 0.15:
            changed[name] = rng.choice(examples).get(name, changed[name])
        else:
            changed[name] = _changed(name, changed[name], profile, rng)
    return changed


def _changed(place: str, value: Any, profile: _Profile, rng: random.Random) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return _changed_number(place, value, profile, rng)
    if isinstance(value, float):
        return rng.choice([value, value / 2, value + 1, *sorted(profile.numbers.get(place, ()))])
    if isinstance(value, str):
        return _changed_text(place, value, profile, rng)
    if isinstance(value, list):
        return _changed_list(place, value, profile, rng)
    return value


def _changed_number(place: str, value: int, profile: _Profile, rng: random.Random) -> int:
    seen = sorted(n for n in profile.numbers.get(place, {value}) if isinstance(n, int))
    low, high = (seen[0], seen[-1]) if seen else (value, value)
    choices = [value - 1, value + 1, low, high, low + 1, rng.randint(low, high), rng.randint(low, min(high, low + 9))]
    return rng.choice([*choices, *([rng.choice(seen)] * 3 if seen else [])])


def _changed_text(place: str, value: str, profile: _Profile, rng: random.Random) -> str:
    letters = sorted(profile.letters.get(place, set()))
    words = sorted(profile.words.get(place, {value}), key=lambda word: (len(word), word))
    if not letters:
        return value
    if len(words) <= 3 * len(letters) and all(not set(word) <= set("01") for word in words) and len(words) < 6:
        return rng.choice(words)  # a vocabulary, not free text
    kind = rng.randrange(4)
    if kind == 0:
        return rng.choice(words)
    if kind == 1:
        few = rng.sample(letters, min(len(letters), rng.randint(1, 4)))
        return "".join(rng.choice(few) for _ in range(rng.randint(1, 8)))
    return "".join(_edited(list(value), lambda: rng.choice([*letters, *value]), rng))


def _changed_list(place: str, value: list, profile: _Profile, rng: random.Random) -> list:
    if value and rng.random() < 0.5:
        index = rng.randrange(len(value))
        return [*value[:index], _changed(profile.inner(place, index), value[index], profile, rng), *value[index + 1 :]]
    if place in profile.columns or not value:
        return value
    inner = profile.inner(place, 0)
    return _edited(list(value), lambda: _changed(inner, rng.choice(value), profile, rng), rng)


def _edited(items: list, another: Any, rng: random.Random) -> list:
    """One of: item inserted, removed, copied, swapped, cut short, reversed, sorted, shuffled."""
    size = len(items)
    if size == 0:
        return [another()]
    index, other = rng.randrange(size), rng.randrange(size)
    kind = rng.randrange(9)
    if kind == 0:
        items.insert(index, another())
    elif kind == 1 and size > 1:
        del items[index]
    elif kind == 2:
        items[index] = items[other]
    elif kind == 3:
        items[index], items[other] = items[other], items[index]
    elif kind == 4:
        items = items[: index + 1] if rng.random() < 0.5 else items[index:]
    elif kind == 5:
        items.append(another())
    elif kind == 6:
        items = sorted(items) if rng.random() < 0.5 else items[::-1]
    elif kind == 7:
        rng.shuffle(items)
    else:
        items[index] = another()
    return items


def shared_facts(examples: Sequence[Arguments]) -> set[str]:
    return set.intersection(*(set(_facts(example)) for example in examples))


def _facts(arguments: Arguments) -> Iterator[str]:
    """Names of the properties that hold for one input."""
    for name, value in arguments.items():
        inner_facts: dict[str, list[set[str]]] = {}
        for place, items in _lists(name, value):
            inner_facts.setdefault(place, []).append(set(_list_facts(items)))
        for place, sets in inner_facts.items():
            yield from (f"{place}: {fact}" for fact in set.intersection(*sets))
        if isinstance(value, str):
            yield from (f"{name}: {fact}" for fact in _list_facts(list(value)))
            if value == "" or value[0] != "0":
                yield f"{name}: no leading zero"
    yield from _relations(arguments)


def _list_facts(items: list) -> Iterator[str]:
    size = len(items)
    if size % 2 == 0:
        yield "even length"
    if items and all(isinstance(item, list) for item in items):
        if len({len(row) for row in items}) == 1:
            yield "rows of one length"
            columns = list(zip(*items, strict=True))
            if len(columns) <= 4:
                for place, column in enumerate(columns):
                    yield from (f"column {place} {fact}" for fact in _order_facts(list(column)))
        if all(len(row) == size for row in items):
            yield "square"
        if _is_tree([row[:2] for row in items]):
            yield "edges of a tree"
        if len({repr(sorted(row, key=repr)) for row in items}) == size:
            yield "rows distinct as sets"
        if all(a[0] > b[-1] or b[0] > a[-1] for a, b in itertools.combinations(items, 2) if a and b) and all(items):
            yield "disjoint intervals"
    yield from _order_facts(items)
    if items and all(type(item) is int for item in items):
        if sorted(items) == list(range(size)):
            yield "permutation from 0"
        if sorted(items) == list(range(1, size + 1)):
            yield "permutation from 1"
        if any(items):
            yield "some value not 0"
        if 2 <= size <= 4:
            yield from (f"item {i} < item {j}" for i in range(size) for j in range(size) if items[i] < items[j])
            yield from (f"item {i} <= item {j}" for i in range(size) for j in range(size) if items[i] <= items[j])


def _order_facts(items: list) -> Iterator[str]:
    if len({repr(item) for item in items}) == len(items):
        yield "distinct"
    if len({type(item) for item in items}) == 1 and isinstance(items[0], int | float | str):
        if all(a <= b for a, b in itertools.pairwise(items)):
            yield "ascending"
        if all(a >= b for a, b in itertools.pairwise(items)):
            yield "descending"
        if isinstance(items[0], str) and len({len(item) for item in items}) == 1:
            yield "words of one length"


def _is_tree(edges: list[list]) -> bool:
    if not all(len(edge) == 2 and all(type(end) is int for end in edge) for edge in edges):
        return False
    nodes = {end for edge in edges for end in edge}
    if len(nodes) != len(edges) + 1 or min(nodes) not in (0, 1) or max(nodes) - min(nodes) != len(edges):
        return False
    reached = {min(nodes)}
    for _ in edges:
        reached |= {end for edge in edges if reached & set(edge) for end in edge}
    return reached == nodes


def _relations(arguments: Arguments) -> Iterator[str]:
    sizes: dict[str, float] = {}
    for name, value in arguments.items():
        sizes |= _quantities(name, value)
    for (a, x), (b, y) in itertools.permutations(sizes.items(), 2):
        if x < y:
            yield f"{a} < {b}"
        if x <= y:
            yield f"{a} <= {b}"
        if x == y + 1:
            yield f"{a} = {b} + 1"
        if y > 0 and x % y == 0:
            yield f"{a} divisible by {b}"
    for (a, one), (b, two) in itertools.permutations(arguments.items(), 2):
        if isinstance(one, str) and isinstance(two, str):
            if sorted(one) == sorted(two):
                yield f"{a} anagram of {b}"
            if set(one) <= set(two):
                yield f"letters of {a} in {b}"
        if isinstance(one, list) and isinstance(two, list) and len(one) == len(two):
            yield from _pairwise(a, one, b, two)


def _quantities(name: str, value: Any) -> dict[str, float]:
    if isinstance(value, int | float):
        return {name: value}
    if isinstance(value, str):
        return {f"len({name})": len(value)}
    found: dict[str, float] = {}
    if isinstance(value, list):
        found[f"len({name})"] = len(value)
        flat = list(itertools.chain(*value)) if value and all(isinstance(row, list) for row in value) else value
        if flat and all(isinstance(item, int | float) for item in flat):
            found |= {f"max({name})": max(flat), f"min({name})": min(flat), f"sum({name})": sum(flat)}
            if flat is not value:
                found[f"total({name})"] = len(flat)
                found[f"len({name}[0])"] = len(value[0])
                if len({len(row) for row in value}) == 1 and len(value[0]) <= 4:
                    for place, column in enumerate(zip(*value, strict=True)):
                        found |= {f"max({name}.{place})": max(column), f"min({name}.{place})": min(column)}
    return found


def _pairwise(a: str, one: list, b: str, two: list) -> Iterator[str]:
    pairs = list(zip(one, two, strict=True))
    if len({repr(pair) for pair in pairs}) == len(pairs):
        yield f"pairs of {a}, {b} distinct"
    if all(isinstance(item, int | float) for pair in pairs for item in pair):
        if all(x < y for x, y in pairs):
            yield f"each of {a} < its {b}"
        if all(x <= y for x, y in pairs):
            yield f"each of {a} <= its {b}"
        if all(x <= y for x, y in zip(one[:-1], two[1:], strict=True)):
            yield f"each of {a} <= the next {b}"
