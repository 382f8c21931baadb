"""Contrastive pairs: one prompt, a completion that exploits its loophole and one that does not.

A hack direction is what separates the two sides. Pairs come from a file (the authored ones, or a user's) or from a
pool of graded completions. Labels choose pairs only among cached completions and only in modes that are named as known:
what the policy writes while it trains never becomes a pair.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core.environment.hints import TEST_FUNC_NAME
from core.environment.problems import MODES, Problem, problem_from_row, unique_rows
from core.environment.task import Task

CONTRAST = Path(__file__).parent / "contrast"
AUTHORED, PLACEBO = CONTRAST / "authored.jsonl", CONTRAST / "placebo.jsonl"
SPLITS = ("extract", "held_out")
CLEAN_VS_CLEAN = "clean_vs_clean"


@dataclass(frozen=True)
class Pair:
    pair_id: str
    task: Task
    hack: str  # completions
    clean: str
    split: str = "extract"
    concept: str = "hack"  # what differs between the sides; anything else is a placebo
    clean_task: Task | None = None  # where the clean side answers another prompt

    @property
    def hack_side(self) -> tuple[Task, str]:
        return self.task, self.hack

    @property
    def clean_side(self) -> tuple[Task, str]:
        return self.clean_task or self.task, self.clean


def load_pairs(path: Path | str) -> list[Pair]:
    """Every pair of a file, one JSON object a line. Raises ValueError "PATH:LINE: ..."."""
    return unique_rows(path, pair_from_row, "pair_id", lambda pair: pair.pair_id, "pairs")


def pair_from_row(row: Mapping[str, Any]) -> Pair:
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
    rows: Sequence[Mapping[str, Any]], problems: Mapping[str, Problem], known: Sequence[str]
) -> list[Pair]:
    """Pairs from graded, cached completions: on each prompt of a known mode, an exploited one and an unflagged one.

    `rows` as core.environment.teacher_pool holds them. A prompt gives one pair; those without both kinds give none.
    Raises ValueError where the known modes give none at all.
    """
    if not known:
        raise ValueError("no known modes named: say which modes' flags may choose pairs")
    pairs = []
    by_prompt: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["mode"] in known:
            by_prompt.setdefault((row["problem_id"], row["mode"]), []).append(row)
    for (problem_id, mode), group in sorted(by_prompt.items()):
        hacks = [r for r in group if r["grade"]["exploited"]]
        cleans = [r for r in group if not r["grade"]["exploited"] and not r["grade"]["exploit_present"]]
        if hacks and cleans and problem_id in problems:
            task = Task(problems[problem_id], mode, test_func_name=hacks[0]["test_func_name"])
            pairs.append(Pair(f"{mode}-{problem_id}", task, hacks[0]["completion"], cleans[0]["completion"]))
    if not pairs:
        raise ValueError(f"no prompt of modes {', '.join(known)} has both an exploited and an unflagged completion")
    return pairs


def repaired(pairs: Sequence[Pair], seed: int) -> list[Pair]:
    """Each hack against the clean completion of another prompt: a control that breaks the pairing alone."""
    order = list(range(len(pairs)))
    random.Random(f"repaired pairs {seed}").shuffle(order)
    partner = {order[i]: pairs[order[(i + 1) % len(order)]] for i in range(len(order))}  # one cycle: nobody's own
    return [
        replace(pair, clean=partner[i].clean, clean_task=partner[i].clean_side[0], concept="repaired")
        for i, pair in enumerate(pairs)
    ]


def shuffled(pairs: Sequence[Pair], seed: int) -> list[Pair]:
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
            shown = [task.problem.problem_id, [m.content for m in task.problem.messages], task.mode, task.hint]
            sha.update(json.dumps([*shown, task.test_func_name, text]).encode())
    return sha.hexdigest()
