"""What a model's directory holds, as one hash: two directories with equal contents are one model, wherever they lie."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path

WEIGHTS = (".safetensors", ".safetensors.index.json", ".gguf", ".bin", ".bin.index.json")
CONFIG_AND_TOKENIZER = (
    *("config.json", "generation_config.json", "chat_template.jinja", "chat_template.json"),
    *("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "vocab.txt", "merges.txt"),
)


def content_sha256(folder: Path) -> str:
    """SHA-256 (hex) over names and contents of the files that make the model: config, tokenizer, weights.

    A model card, a licence and whatever else lies there is no part of it. Raises OSError where a file cannot be read.
    """
    files = sorted(_files(folder), key=lambda path: path.name)
    stats = [path.stat() for path in files]
    return _sha256(tuple(files), tuple((stat.st_size, stat.st_mtime_ns, stat.st_ino) for stat in stats))


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name in CONFIG_AND_TOKENIZER or path.name.endswith(WEIGHTS):
            yield path


@functools.lru_cache(maxsize=16)  # a plan asks for it once a run, and gigabytes take seconds
def _sha256(files: tuple[Path, ...], _as_they_were: tuple[tuple[int, ...], ...]) -> str:
    whole = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            whole.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return whole.hexdigest()
