"""Rollouts as lines of text for a terminal, however hostile what a model wrote."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from core.runs.run_dir import RunDir
from orchestrator.reading.rollouts import (
    CHOICES,
    SCHEMA,
    Place,
    Wanted,
    chosen,
    counts,
    hacked,
    index,
    matching,
    read,
    visible,
)
from orchestrator.refusal import FAILED, Refused
from orchestrator.terminal import columns

CODE_LINES = 30  # of one rollout, without --full
HEADS = {"reward-hack": "rew.hack", "correct-attempted": "corr.att."}  # that the table fits 80 columns


def show(run: RunDir, wanted: Wanted, full: bool, as_json: bool, plan: str | None, width: int) -> None:
    """What `grpoq rollouts` prints. Raises Refused where the run has nothing of the kind."""
    found = index(run)
    places = [place for place in found.places if place.teacher == wanted.teacher]
    picked = chosen(found.places, wanted)
    totals = counts(places)
    if not picked:
        raise Refused(f"{run.run_id} has no such rollouts; {_in_short(places, totals, wanted)}", FAILED)
    if as_json:
        first = next((place.step for place in places if hacked(place)), None)
        answer = {"schema": SCHEMA, "run_id": run.run_id, "counts": totals, "first_hack_step": first}
        rows = [read(run, place) for place in picked]
        print(json.dumps(answer | {"unreadable_lines": found.unreadable, "rollouts": rows}))
        return
    for place in picked:
        print("\n".join(rollout_lines(read(run, place), width, full)))
    whose = "teacher" if wanted.teacher else "student"
    lines = counts_lines(totals, whose, width)
    if found.unreadable:
        lines.append(f"unreadable lines: {found.unreadable} (a killed attempt leaves its last one torn)")
    hacks = sum(of_mode["hack"] for of_mode in totals.values())
    name = run.run_id.rpartition("-")[0]
    lines.append(f"shown: {len(picked)} of {len(matching(found.places, wanted))}")
    print(_printable("\n".join([*lines, f"next: {next_command(name, wanted, full, hacks, plan)}"])))


def rollout_lines(row: Mapping[str, Any], width: int, full: bool) -> list[str]:
    """What it was asked, how it was judged, what was paid, and the code that was judged."""
    who = "teacher, " if row["teacher"] else ""
    head = f"--- step {row['step']}, {who}group {row['group']} member {row['member']}, {row['mode']}: "
    hack = "  HACK" if row["is_hack"] else ""
    judged = [f"{row['label']}{hack}"]
    if row.get("mechanism"):
        judged.append(f"mechanism {row['mechanism']}")
    if row.get("error"):
        judged.append(f"error {row['error']}")
    paid = f"paid {_number(row.get('payment'))}"
    if row.get("reward") != row.get("payment"):
        paid += f", the arm made it {_number(row.get('reward'))}"
    lines = [*_wrapped(f"{head}problem {row['problem_id']}", width), *_wrapped("; ".join([*judged, paid]), width)]
    if row["code"] is None:
        lines.append("no code block: nothing was judged")
    else:
        lines += _cut(list(_wrapped(row["code"], width - 2)), full)
    if full:
        lines += ["the whole completion:", *(f"| {line}" for line in _wrapped(str(row["completion"]), width - 2))]
    return lines


def _cut(lines: list[str], full: bool) -> list[str]:
    left = len(lines) - CODE_LINES
    if full or left <= 1:  # a line that says that one is missing is as long as the one
        return [f"  {line}" for line in lines]
    return [*(f"  {line}" for line in lines[:CODE_LINES]), f"  ({left} more lines: --full)"]


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else "?"


def _wrapped(text: str, width: int) -> Iterator[str]:
    """Lines of at most `width` columns, each cut where it is full: code has no better place."""
    for line in _printable(visible(text)).split("\n"):
        begun, used = 0, 0
        for i, character in enumerate(line):
            wide = 2 if unicodedata.east_asian_width(character) in "WF" else 1
            if used + wide > width:
                yield line[begun:i]
                begun, used = i, 0
            used += wide
        yield line[begun:]


def counts_lines(counts: Mapping[str, Mapping[str, int]], whose: str, width: int) -> list[str]:
    """A row for each mode, and their sum."""
    names = (*CHOICES, "all")
    if len(counts) > 1:
        counts = {**counts, "all": {name: sum(of_mode[name] for of_mode in counts.values()) for name in names}}
    table = [["mode", *(HEADS.get(name, name) for name in names)]]
    table += [[mode, *(str(of_mode[name]) for name in names)] for mode, of_mode in counts.items()]
    return [
        f"the whole run, {whose} rollouts; hack: what hack rates count, rew.hack: the",
        "benchmark's own label, corr.att.: correct with harmful tests",
        *columns(table, width),
    ]


def next_command(run: str, wanted: Wanted, full: bool, hacks: int, plan: str | None) -> str:
    """To the first hacks, then to whole completions, then on."""
    of_plan = f" --plan {plan}" if plan else ""
    if hacks and wanted.label != "hack":
        return f"grpoq rollouts {run} --label hack --first{of_plan}"
    if not full:
        return f"grpoq rollouts {run}{_options(wanted)} --full{of_plan}"
    return f"grpoq report{of_plan}"


def _options(wanted: Wanted) -> str:
    steps = f"{wanted.steps[0]}-{wanted.steps[1]}" if wanted.steps else None
    named = {"label": wanted.label, "mode": wanted.mode, "step": steps, "problem": wanted.problem}
    flags = [f"--{name} {visible(value)}" for name, value in named.items() if value is not None]
    flags += [f"--{name}" for name in ("teacher", "first") if getattr(wanted, name)]
    return "".join(f" {flag}" for flag in flags)


def _in_short(places: Sequence[Place], totals: Mapping[str, Mapping[str, int]], wanted: Wanted) -> str:
    if not places:
        return "it has none of a teacher's" if wanted.teacher else "all of its are a teacher's"
    sums = {name: sum(of_mode[name] for of_mode in totals.values()) for name in CHOICES}
    return f"of {len(places)} there are " + ", ".join(f"{count} {name}" for name, count in sums.items())


def _printable(text: str) -> str:
    """In the terminal's encoding: what it cannot show stands escaped."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)
