"""One large file of the hub into its cache, going on where an earlier process was cut.

The hub's client keeps whole files and begins a cut one anew (its unfinished files are named by process). A shard of
weights has gigabytes, so here its bytes are kept as BLOB.part and only the rest is asked for.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import time
from pathlib import Path
from typing import IO

import httpx
from huggingface_hub import get_hf_file_metadata
from huggingface_hub.utils import build_hf_headers

PART = ".part"
CHUNK = 1 << 20  # bytes
TIMEOUT_S = 30.0  # without a byte
TRIES = 4  # in a row that bring nothing
PARTIAL = 206  # the server gives what was asked for; 200: all of it, from the start


class Altered(OSError):
    """The bytes that came are not those that the hub has."""


def keep_blob(url: str, blobs: Path) -> None:
    """The file behind `url` as a blob of the cache, under the name that the hub's client looks for.

    Raises httpx.HTTPError where it is cut for good, what has come is kept; Altered where its SHA-256 is another one.
    """
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line a request
    about = get_hf_file_metadata(url, timeout=TIMEOUT_S)
    assert about.etag and about.size is not None, f"the hub names neither hash nor size of {url}"
    blob = blobs / about.etag
    if blob.is_file():
        return
    blobs.mkdir(parents=True, exist_ok=True)
    part = blobs / (about.etag + PART)
    with part.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # of two downloads the second goes on after the first
        if part.is_file():
            _complete(file, url, about.size)
            _require_hash(part, about.etag)
            part.rename(blob)


def _complete(file: IO[bytes], url: str, size: int) -> None:
    without_news = 0
    while (there := file.seek(0, 2)) < size:
        try:
            _append(file, url, there)
        except httpx.TransportError:
            without_news = 0 if file.seek(0, 2) > there else without_news + 1
            if without_news == TRIES:
                raise
            time.sleep(without_news)


def _append(file: IO[bytes], url: str, there: int) -> None:
    headers = build_hf_headers() | {"Range": f"bytes={there}-", "Accept-Encoding": "identity"}
    with httpx.stream("GET", url, headers=headers, follow_redirects=True, timeout=TIMEOUT_S) as answer:
        answer.raise_for_status()
        if answer.status_code != PARTIAL:
            file.truncate(0)
        for chunk in answer.iter_bytes(CHUNK):
            file.write(chunk)
        file.flush()


def _require_hash(part: Path, etag: str) -> None:
    """Of large files the hub's name for them is their SHA-256."""
    with part.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if len(etag) == len(found) and found != etag:
        part.unlink()
        raise Altered(f"{part.name} has SHA-256 {found[:12]} and is removed")
