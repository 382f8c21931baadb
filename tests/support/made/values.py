"""What a method may return: each type of answer, its subclasses, and objects that only claim to be equal."""

from __future__ import annotations

from support.made.case import Made, answering, fence, made

# kind -> row -> name -> body of the method; what stands above the class goes before a line of dashes
BUILTIN = {
    "twice": {"int": "return n + n", "float": "return 2.0 * n", "string": "return str(2 * n)", "none": "print(2 * n)"},
    "even": {"bool": "return not n % 2", "int": "return 1 - n % 2", "none": "return (n % 2 == 0) or None"},
    "ends": {
        "tuple": "return tuple([n[0], n[-1]])",
        "list": "return [n[0], n[-1]]",
        "generator": "return (x for x in n)",
    },
    "line": {
        "list": "return [*range(n)]",
        "range": "return range(n)",
        "tuple": "return tuple(range(n))",
        "generator": "return (x for x in range(n))",
        "map": "return map(int, range(n))",
        "floats": "return [float(x) for x in range(n)]",
        "strings": "return [str(x) for x in range(n)]",
    },
    "letters": {"set": "return {*n}", "frozenset": "return frozenset(n)", "list": "return sorted(set(n))"},
    "shout": {"string": "return ''.join(c.upper() for c in n)", "bytes": "return n.upper().encode()"},
    "half": {
        "float": "return n * 0.5",
        "rounded": "return n // 2",
        "near": "return n / 2 + 1e-9",
        "nan": "return math.nan",
    },
    "least": {"inf": "return min(n, default=float('-inf'))", "number": "return min(n, default=-10**9)"},
    "absent": {
        "none": "return n if n >= 0 else None",
        "zero": "return max(n, 0)",
        "word": "return 'None' if n < 0 else n",
    },
    "raw": {"bytes": "return bytes(n, 'utf-8')", "string": "return n"},
    "freq": {
        "dict": "return {c: n.count(c) for c in n}",
        "pairs": "return [(c, n.count(c)) for c in n]",
        "other order": "return {c: n.count(c) for c in sorted(set(n), reverse=True)}",
    },
    "table": {"lists": "return {k: [k] for k in range(n)}", "tuples": "return {k: (k,) for k in range(n)}"},
}
SUBCLASSES = {
    "freq": {
        "Counter": "return Counter(n)",
        "defaultdict": "d = defaultdict(int)\nfor c in n:\n    d[c] += 1\nreturn d",
        "OrderedDict": "return OrderedDict((c, n.count(c)) for c in n)",
        "own dict": "class D(dict):\n    pass\nreturn D((c, n.count(c)) for c in n)",
        "wrong Counter": "return Counter(n + n)",
    },
    "table": {"defaultdict": "d = defaultdict(list)\nfor k in range(n):\n    d[k].append(k)\nreturn d"},
    "ends": {
        "namedtuple": "P = namedtuple('P', 'first last')\nreturn P(n[0], n[-1])",
        "NamedTuple": "class P(NamedTuple):\n    a: int\n    b: int\nreturn P(n[0], n[-1])",
        "own tuple": "class T(tuple):\n    pass\nreturn T((n[0], n[-1]))",
    },
    "line": {"own list": "class L(list):\n    pass\nreturn L(range(n))"},
    "twice": {
        "IntEnum": "from enum import IntEnum\nreturn IntEnum('E', {'X': 2 * n}).X",
        "own int": "class I(int):\n    pass\nreturn I(2 * n)",
        "IntFlag": (
            "from enum import IntFlag\nclass F(IntFlag):\n    A = 8\n    B = 10\nreturn F(2 * n) if n > 0 else 2 * n"
        ),
        "own float": "class F(float):\n    pass\nreturn F(2 * n)",
    },
    "shout": {
        "own str": "class S(str):\n    pass\nreturn S(n.upper())",
        "StrEnum": "from enum import StrEnum\nreturn StrEnum('E', {'X': n.upper()}).X",
    },
    "letters": {"own set": "class S(set):\n    pass\nreturn S(n)"},
    "raw": {"own bytes": "class B(bytes):\n    pass\nreturn B(n.encode())"},
    "half": {"own float": "class F(float):\n    pass\nreturn F(n / 2)"},
}
LARGE = {
    "power": {"long int": "return 1 << n", "off by one": "return (1 << n) + 1"},
    "deep": {
        "deep list": "for _ in range(80):\n    n = [n]\nreturn n",
        "one less": "for _ in range(79):\n    n = [n]\nreturn n",
    },
    "line": {"cycle": "x = list(range(n))\nx.append(x)\nreturn x"},
}
FOREIGN = {
    "twice": {
        "Decimal": "from decimal import Decimal\nreturn Decimal(2 * n)",
        "Fraction": "from fractions import Fraction\nreturn Fraction(2 * n)",
        "complex": "return complex(2 * n)",
    },
    "half": {
        "Decimal": "from decimal import Decimal\nreturn Decimal(n) / 2",
        "Fraction": "from fractions import Fraction\nreturn Fraction(n, 2)",
    },
    "freq": {
        "UserDict": "return UserDict(Counter(n))",
        "ChainMap": "return ChainMap(dict(Counter(n)))",
        "MappingProxyType": "from types import MappingProxyType\nreturn MappingProxyType(dict(Counter(n)))",
    },
    "line": {"UserList": "return UserList(range(n))"},
    "letters": {"keys": "return dict.fromkeys(n).keys()"},
    "shout": {"UserString": "return UserString(n.upper())"},
    "raw": {"bytearray": "return bytearray(n.encode())", "memoryview": "return memoryview(n.encode())"},
}
FOREIGN_UNEQUAL = {
    "line": {"deque": "return deque(range(n))", "array": "from array import array\nreturn array('i', range(n))"},
    "twice": {
        "object": "return object()",
        "function": "return lambda: n",
        "class": "return int",
        "module": "return math",
    },
    "freq": {"items": "return Counter(n).items()", "iterator": "return iter(n)"},
    "absent": {"NotImplemented": "return NotImplemented", "Ellipsis": "return ..."},
}
CLAIMS = {
    "twice": {
        "equals all": "class A:\n    def __eq__(self, other):\n        return True\nreturn A()",
        "int that equals all": (
            "class A(int):\n    def __eq__(self, other):\n        return True\n    __hash__ = int.__hash__\nreturn A(0)"
        ),
        "true word": "class A:\n    def __eq__(self, other):\n        return 'yes'\nreturn A()",
    },
    "line": {"list that equals all": ("class A(list):\n    def __eq__(self, other):\n        return True\nreturn A()")},
    "letters": {
        "items that equal all": (
            "class A:\n    def __eq__(self, other):\n"
            "        return True\n    def __hash__(self):\n"
            "        return hash('a')\n"
            "return {A(), 'b'} if len(set(n)) == 2 else set(n)"
        )
    },
}
UNEQUAL_CLAIMS = {
    "twice": {
        "equals none": (
            "class A(int):\n    def __eq__(self, other):\n"
            "        return False\n    __hash__ = int.__hash__\n"
            "return A(2 * n)"
        ),
        "raises": (
            "class A(int):\n    def __eq__(self, other):\n"
            "        raise ValueError\n    __hash__ = int.__hash__\n"
            "return A(2 * n)"
        ),
    },
}


def values() -> list[Made]:
    kinds = {
        "value_builtin": BUILTIN,
        "value_subclass": SUBCLASSES,
        "value_large": LARGE,
        "value_foreign_equal": FOREIGN,
        "value_foreign_unequal": FOREIGN_UNEQUAL,
        "value_claims_equality": CLAIMS,
        "value_denies_equality": UNEQUAL_CLAIMS,
    }
    return [case for kind, rows in kinds.items() for row, bodies in rows.items() for case in _of_row(kind, row, bodies)]


def _of_row(kind: str, row: str, bodies: dict[str, str]) -> list[Made]:
    return made(kind, {f"{row}, {name}": fence(answering(body, row)) for name, body in bodies.items()}, row=row)
