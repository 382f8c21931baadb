"""Arguments within lists within arguments: torch's own tools for them take half of a pretended operation's time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, tuple | list):
        for part in value:
            yield from leaves(part)
    elif isinstance(value, dict):
        for part in value.values():
            yield from leaves(part)
    else:
        yield value


def mapped(change: Callable[[Any], Any], value: Any) -> Any:
    """Of the same shape, each leaf changed."""
    if isinstance(value, tuple):
        return tuple([mapped(change, part) for part in value])
    if isinstance(value, list):
        return [mapped(change, part) for part in value]
    if isinstance(value, dict):
        return {name: mapped(change, part) for name, part in value.items()}
    return change(value)
