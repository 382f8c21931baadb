"""The page of config fields, docs/config.md, made of core.spec.TrainConfig: `python -m bench.config_reference`.

Sections are the comments that stand alone in the class; everything else stands in the fields themselves.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import typing
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from core.spec import PRESETS, SVD_LR, SVD_STRENGTH, TrainConfig, in_bounds, type_in_words

PAGE = Path(__file__).parents[1] / "docs" / "config.md"
OPENING = """# Config: every field of a run

Made by `just config-reference` from `core/spec.py`; do not edit it here. A run's config is its preset, then what the
plan file says in `config`, for one arm or for one job, then `--set key=value`: the later one wins. A field that does
not exist or a value that is not allowed is refused before anything is written. Lists of names are written with commas
in `--set modes=run_tests,sentinel`. Which arm needs which field: `docs/arms.md`.
"""
PRESETS_OPENING = f"""## Presets

What a preset sets otherwise than the default. A field that is not here, and an empty cell, keep the default.
With `adapter = svd` two fields follow it, where nothing else sets them: `lr` becomes
{", ".join(f"{rate:g} in {preset}" for preset, rate in SVD_LR.items())}; `steer_strength` becomes {SVD_STRENGTH:g}.
"""


def sections() -> Iterator[tuple[str, list[str]]]:
    """(heading, names of fields) in the class's order."""
    heading, names = "", []
    for line in inspect.getsource(TrainConfig).splitlines():
        if comment := re.fullmatch(r"    # (?!fmt:)(.*[^.])", line):  # a sentence with its full stop is no heading
            if names:
                yield heading, names
            heading, names = comment[1], []
        elif name := re.match(r"    (\w+): .* = knob\(", line):
            names.append(name[1])
    yield heading, names


def page() -> str:
    fields = {f.name: f for f in dataclasses.fields(TrainConfig)}
    parts = [OPENING]
    for heading, names in sections():
        rows = [(f"`{n}`", shown(fields[n].default), allowed(fields[n]), fields[n].metadata["meaning"]) for n in names]
        parts.append(f"## {heading}\n\n" + table(("field", "default", "allowed", "meaning"), rows))
    parts.append(PRESETS_OPENING + "\n" + table(("field", "default", *PRESETS), preset_rows(fields)))
    return "\n".join(parts)


def preset_rows(names: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """(field, default, value by preset or nothing) of each field that some preset sets."""
    default = TrainConfig()
    for name in names:
        common = getattr(default, name)
        values = [getattr(preset, name) for preset in PRESETS.values()]
        if any(value != common for value in values):
            yield f"`{name}`", shown(common), *("" if value == common else shown(value) for value in values)


def shown(value: Any) -> str:
    """A value as --set takes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value) or "empty"


def allowed(field: dataclasses.Field[Any]) -> str:
    """The choices, the bounds, or the type alone."""
    wanted = typing.get_type_hints(TrainConfig)[field.name]
    choices, bounds = field.metadata["choices"], field.metadata["bounds"]
    if choices:
        some_of = "some of " if isinstance(field.default, tuple) else ""
        return some_of + ", ".join(choice or "empty" for choice in choices)
    return f"{type_in_words(wanted)}, {in_bounds(bounds)}" if bounds else type_in_words(wanted)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(page())
    print(f"{PAGE}: {sum(len(names) for _, names in sections())} fields")
