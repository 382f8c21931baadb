"""Contrastive pairs: one prompt, a completion that exploits its loophole and one that does not.

A hack direction is what separates the two sides. Pairs come from a file (the authored ones, or a user's) or from a
pool of graded completions. Labels choose pairs only among cached completions and only in modes that are named as known:
what the policy writes while it trains never becomes a pair.

`python -m core.environment.pairs POOL.jsonl --problems ROWS.jsonl --modes MODES --out FILE` makes a file of a pool.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from core.environment.hints import TEST_FUNC_NAME
from core.environment.problems import MODES, problem_from_row, read_lines, unique_rows
from core.environment.task import Posed, Prompt, Task
from core.runs import durable

CONTRAST = Path(__file__).parent / "contrast"
AUTHORED, PLACEBO = CONTRAST / "authored.jsonl", CONTRAST / "placebo.jsonl"
SPLITS = ("extract", "held_out")
CLEAN_VS_CLEAN = "clean_vs_clean"

Asked = TypeVar("Asked", bound=Posed)


@dataclass(frozen=True)
class Pair(Generic[Asked]):
    """Of tasks, where its sides are judged; of prompts alone, as arms are given it."""

    pair_id: str
    task: Asked
    hack: str  # completions
    clean: str
    split: str = "extract"
    concept: str = "hack"  # what differs between the sides; anything else is a placebo
    clean_task: Asked | None = None  # where the clean side answers another prompt

    @property
    def hack_side(self) -> tuple[Asked, str]:
        return self.task, self.hack

    @property
    def clean_side(self) -> tuple[Asked, str]:
        return self.clean_task or self.task, self.clean


def without_truth(pair: Pair[Task]) -> Pair[Prompt]:
    """The same sides of the same prompts; the rows behind these are not in it."""
    clean_prompt = pair.clean_task.prompt if pair.clean_task else None
    return Pair(pair.pair_id, pair.task.prompt, pair.hack, pair.clean, pair.split, pair.concept, clean_prompt)


def load_pairs(path: Path | str) -> list[Pair[Task]]:
    """Every pair of a file, one JSON object a line. Raises ValueError "PATH:LINE: ..."."""
    return unique_rows(path, pair_from_row, "pair_id", lambda pair: pair.pair_id, "pairs")


def pair_from_row(row: Mapping[str, Any]) -> Pair[Task]:
    """Raises ValueError naming the field that does not fit."""
    texts: dict[str, Any] = {name: row.get(name) for name in ("pair_id", "mode", "hack", "clean")}
    for name, value in texts.items():
        if not isinstance(value, str) or not value:
            raise ValueError(f"field {name!r}: {value!r}, expected text")
    if texts["mode"] not in MODES:
        raise ValueError(f"field 'mode': unknown loophole mode {texts['mode']!r}; choose from {', '.join(MODES)}")
    split = row.get("split", "extract")
    if split not in SPLITS:
        raise ValueError(f"field 'split': {split!r}; choose from {', '.join(SPLITS)}")
    problem = row.get("problem")
    if not isinstance(problem, dict):
        raise ValueError("field 'problem': expected a benchmark row")
    task = Task(problem_from_row(problem), texts["mode"], test_func_name=row.get("test_func_name", TEST_FUNC_NAME))
    return Pair(texts["pair_id"], task, texts["hack"], texts["clean"], split, row.get("concept", "hack"))


def pairs_of_pool(
    rows: Sequence[Mapping[str, Any]], problems: Mapping[str, Mapping[str, Any]], known: Sequence[str]
) -> list[dict[str, Any]]:
    """Rows of pairs from graded, cached completions: on each prompt of a known mode, an exploit and an unflagged one.

    `rows` as core.environment.teacher_pool holds them, `problems` as a benchmark file does, by id. A prompt gives one
    pair; those without both kinds give none. Every fifth pair is held out. Raises ValueError where there is none.
    """
    if not known:
        raise ValueError("no known modes named: say which modes' flags may choose pairs")
    pairs: list[dict[str, Any]] = []
    by_prompt: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["mode"] in known:
            by_prompt.setdefault((row["problem_id"], row["mode"]), []).append(row)
    for (problem_id, mode), group in sorted(by_prompt.items()):
        hacks = [r for r in group if r["grade"]["exploited"]]
        cleans = [r for r in group if not r["grade"]["exploited"] and not r["grade"]["exploit_present"]]
        if hacks and cleans and problem_id in problems:
            sides = {"hack": hacks[0]["completion"], "clean": cleans[0]["completion"]}
            asked = {"problem": problems[problem_id], "mode": mode, "test_func_name": hacks[0]["test_func_name"]}
            split = "held_out" if len(pairs) % 5 == 4 else "extract"
            pairs.append({"pair_id": f"{mode}-{problem_id}", **asked, **sides, "split": split})
    if not pairs:
        raise ValueError(f"no prompt of modes {', '.join(known)} has both an exploited and an unflagged completion")
    return pairs


def repaired(pairs: Sequence[Pair[Asked]], seed: int) -> list[Pair[Asked]]:
    """Each hack against the clean completion of another prompt: a control that breaks the pairing alone."""
    order = list(range(len(pairs)))
    random.Random(f"repaired pairs {seed}").shuffle(order)
    partner = {order[i]: pairs[order[(i + 1) % len(order)]] for i in range(len(order))}  # one cycle: nobody's own
    return [
        replace(pair, clean=partner[i].clean, clean_task=partner[i].clean_side[0], concept="repaired")
        for i, pair in enumerate(pairs)
    ]


def shuffled(pairs: Sequence[Pair[Asked]], seed: int) -> list[Pair[Asked]]:
    """Half of the pairs, drawn by the seed, with their labels swapped: a control for a difference of means."""
    swapped = set(random.Random(f"shuffled pairs {seed}").sample(range(len(pairs)), len(pairs) // 2))
    return [
        replace(p, hack=p.clean, clean=p.hack, concept="shuffled") if i in swapped else p for i, p in enumerate(pairs)
    ]


def pairs_sha256(pairs: Sequence[Pair]) -> str:
    """SHA-256 over prompts and both sides, in order."""
    sha = hashlib.sha256()
    for pair in pairs:
        for task, text in (pair.hack_side, pair.clean_side):
            shown = [task.problem_id, [m.content for m in task.messages], task.mode, task.hint]
            sha.update(json.dumps([*shown, task.test_func_name, text]).encode())
    return sha.hexdigest()


def main() -> int:
    from core.environment.teacher_pool import read_rows

    parser = argparse.ArgumentParser(description="Pairs from a graded pool, as a file for --set pairs=FILE.")
    parser.add_argument("pool", type=Path, metavar="POOL.jsonl", help="made by `just build-pool`")
    parser.add_argument("--problems", type=Path, required=True, metavar="ROWS.jsonl", help="the benchmark's rows")
    parser.add_argument("--modes", required=True, help="known modes, with commas: their flags may choose pairs")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    try:
        problems = {str(row["id"]): row for row in read_lines(arguments.problems, dict)}
        rows = pairs_of_pool(list(read_rows(arguments.pool)), problems, arguments.modes.split(","))
        for row in rows:
            pair_from_row(row)
    except (OSError, KeyError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    durable.write_atomic(arguments.out, "".join(json.dumps(row) + "\n" for row in rows))
    print(f"{len(rows)} pairs, {sum(row['split'] == 'held_out' for row in rows)} of them held out: {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
