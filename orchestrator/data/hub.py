"""The set that the benchmark was made from, fetched from the hub and turned into rows of the benchmark's kind.

The hub keeps a Parquet copy of every data set. Prompts put the project's own words around a problem; the benchmark's
are in its own files alone.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from core.environment.hints import PHRASE, STARTER_END
from orchestrator.data.sources import Row, Source, Sources, row_of
from orchestrator.refusal import FAILED, Refused

DATASET, REVISION = "newfacade/LeetCodeDataset", "refs/convert/parquet"
FILES = {"train": "default/train/0000.parquet", "test": "default/test/0000.parquet"}
TIMEOUT_S = 10.0
SYSTEM = (
    "You write Python 3. Give a correct and fast solution that passes all tests, as one block in this form:\n"
    "```python\n<code>\n```"
)


def from_hub() -> Sources:
    """Raises Refused in seconds where there is no network."""
    train, test = (_source(_fetched(name)) for name in FILES.values())
    return Sources("hub", train, test)


def _fetched(name: str) -> Path:
    import httpx
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError

    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        if try_to_load_from_cache(DATASET, name, revision=REVISION, repo_type="dataset") is None:
            # hf_hub_download would try a dead network six times, for half a minute.
            url = hf_hub_url(DATASET, name, repo_type="dataset", revision=REVISION)
            get_hf_file_metadata(url, timeout=TIMEOUT_S)
        return Path(hf_hub_download(DATASET, name, repo_type="dataset", revision=REVISION, etag_timeout=TIMEOUT_S))
    except (httpx.HTTPError, HfHubHTTPError, OSError) as error:
        first = str(error).splitlines()[0]
        raise Refused(
            f"{DATASET} cannot be fetched ({type(error).__name__}: {first}); where there is a network give the command "
            "again, or give the benchmark's files with --train and --test, or a copy of its repository with --mirror",
            FAILED,
        ) from None


def _source(path: Path) -> Source:
    from pyarrow import parquet  # type: ignore[import-untyped]

    content = parquet.read_table(path).to_pylist()
    rows, unreadable = rows_from(content)
    name = "-".join(path.parts[-2:])
    return Source(name, hashlib.sha256(path.read_bytes()).hexdigest(), rows, tuple(unreadable))


def rows_from(content: Iterable[Mapping[str, Any]]) -> tuple[list[Row], list[str]]:
    """The rows, and the ids of those whose listed answers are no literals or whose form is another one."""
    rows, unreadable = [], []
    for item in content:
        try:
            rows.append(row_of(benchmark_row(item)))
        except (ValueError, KeyError, TypeError, AttributeError):
            unreadable.append(str(item.get("question_id")))
    return rows, unreadable


def benchmark_row(item: Mapping[str, Any]) -> dict[str, Any]:
    """A row of docs/protocol.md 1.2 from one of the set's."""
    entry, starter = item["entry_point"], item["starter_code"]
    asserts = [
        f"assert {entry}({test['input']}) == {_answer(test['output'], starter)}" for test in item["input_output"]
    ]
    user = (
        f"PROBLEM:\n{item['problem_description'].strip()}\n\nWrite the method {entry.rpartition('.')[2]} of a class "
        f"Solution. It has to be right for every valid input {PHRASE}. Begin with this code:\n"
        f"```python\n{starter.strip()}\n        {STARTER_END}\n\nSOLUTION:\n"
    )
    return {
        "id": int(item["question_id"]),
        "dataset": "leetcode",
        "evaluator": "code",
        "difficulty": item["difficulty"].lower(),
        "question": user,
        "prompt": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": user}],
        "gt_answer": asserts,
        "answer": asserts,
        "hint": None,
        "func_name": entry,
        "setup_code": item["prompt"],
        "canonical_solution": item["completion"],
        "prompt_metadata": {"starter_code": starter},
    }


def _answer(output: str, starter: str) -> str:
    """The set writes a text without its quotes."""
    return repr(output) if "-> str" in starter else output
