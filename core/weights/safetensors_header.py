"""A safetensors file read by hand, as far as its header: names, types, shapes, and whether the bytes are all there.

Eight bytes hold the header's length, then comes its JSON, then the tensors: https://github.com/huggingface/safetensors.
What the tensors hold is not looked at.
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LARGEST_HEADER = 100_000_000  # bytes; the format's own bound
BITS = {"F64": 64, "F32": 32, "F16": 16, "BF16": 16, "I64": 64, "I32": 32, "I16": 16, "I8": 8, "U8": 8, "BOOL": 8}
POINTER = b"version https://git-lfs"


class Damaged(ValueError):
    """The file is not what a loader could read; the sentence says how."""


@dataclass(frozen=True)
class Header:
    tensors: dict[str, dict[str, Any]]  # dtype, shape, data_offsets of each


def read_header(path: Path) -> Header:
    """Raises Damaged where the file is a pointer, cut, or no safetensors file; OSError where it cannot be read."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(len(POINTER))
        require_no_pointer(start)
        if size < 8:
            raise Damaged(f"it has {size} bytes, less than a safetensors header's length takes")
        file.seek(0)
        (length,) = struct.unpack("<Q", file.read(8))
        if length > LARGEST_HEADER:
            raise Damaged("it is no safetensors file: its first eight bytes are no header's length")
        text = file.read(length)
    if len(text) < length:
        raise Damaged(f"it is cut within its header: {size} of {8 + length} bytes")
    return _checked(text, size - 8 - length)


def require_no_pointer(start: bytes) -> None:
    if start.startswith(POINTER):
        raise Damaged("it is a Git LFS pointer, not the file itself: `git lfs pull` in its directory fetches it")


def _checked(text: bytes, there: int) -> Header:
    """`there`: bytes that follow the header."""
    try:
        found = json.loads(text)
        tensors = {name: about for name, about in found.items() if name != "__metadata__"}
        end = max((about["data_offsets"][1] for about in tensors.values()), default=0)
        wrong = [name for name, about in tensors.items() if not _fits(about)]
        apart = _apart(tensors)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise Damaged(f"its header cannot be read: {type(error).__name__}") from None
    if wrong:
        raise Damaged(f"tensor {wrong[0]} has a shape that its bytes do not hold")
    if apart:
        raise Damaged(f"tensor {apart} does not begin where the one before it ends")
    if there < end:
        raise Damaged(f"it is cut: {there} of the {end} bytes of its tensors are there")
    if there > end:
        raise Damaged(f"{there - end} bytes follow its tensors, which no header names")
    return Header(tensors)


def _apart(tensors: dict[str, dict[str, Any]]) -> str:
    """The first tensor that overlaps another one or leaves a gap; empty: none does. Loaders take neither."""
    reached = 0
    for begin, end, name in sorted((*about["data_offsets"], name) for name, about in tensors.items()):
        if begin != reached:
            return name
        reached = end
    return ""


def _fits(about: dict[str, Any]) -> bool:
    """Types that are not in BITS (packed ones) are not judged."""
    begin, end = about["data_offsets"]
    bits = BITS.get(about["dtype"])
    return bits is None or math.prod(about["shape"]) * bits == (end - begin) * 8
