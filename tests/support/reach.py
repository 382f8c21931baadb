"""Everything that an object leads to, as the garbage collector sees it: what can be reached needs no name to be found.

Not followed: modules, classes, code, and the globals of functions. Whoever holds the interpreter has those anyway.
"""

from __future__ import annotations

import gc
import types
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

OF_THE_INTERPRETER = (types.ModuleType, type, types.CodeType, types.FrameType)


def reachable(roots: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    """(the way there as names of types, object), each object once."""
    todo = [(type(root).__name__, root) for root in roots]
    seen = {id(root): root for root in roots}  # kept alive, so that no id is given twice
    while todo:
        way, found = todo.pop()
        yield way, found
        for child in _children(found):
            if id(child) not in seen and not isinstance(child, OF_THE_INTERPRETER):
                seen[id(child)] = child
                todo.append((f"{way} > {type(child).__name__}", child))


def _children(found: Any) -> list[Any]:
    if isinstance(found, types.FunctionType):
        return [found.__closure__, found.__defaults__, found.__kwdefaults__, found.__dict__]
    if isinstance(found, weakref.ref):
        return [found()]
    return gc.get_referents(found)
