"""`just download-model MODEL ...`: models put where runs look for them, and then checked to the last number.

A download that was cut goes on where it stopped when the command is given again. Without a network it says so in
seconds; runs ask the network for nothing.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import httpx
from huggingface_hub import HfApi, hf_hub_url, snapshot_download
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

from core.model.finite import not_finite_file
from core.model.load import DataError, folder_of
from core.model.resumable import keep_blob
from core.weights.places import hub_cache, hub_copy, is_hub_id
from core.weights.problem import folder_problem, model_problem

TIMEOUT_S = 10.0  # for the hub's first word; a dead network answers sooner
WANTED = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model")  # not the same weights in older formats
WEIGHTS = ".safetensors"
OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")


def fetch(model: str) -> str:
    """Where the model is and how large, in a sentence. Raises DataError with what is wrong and the way out."""
    folder = _from_hub(model) if is_hub_id(model) else folder_of(model)
    problem = model_problem(model) or folder_problem(folder)
    broken = problem.sentence if problem else not_finite_file(folder)
    if broken:
        raise DataError(broken)
    size = sum(path.stat().st_size for path in folder.glob(f"*{WEIGHTS}"))
    return f"{model}: {size / 1e9:.2f} GB of weights, whole and finite, in {folder}"


def _from_hub(model: str) -> Path:
    whole = model_problem(model) is None
    try:
        sizes = _sizes(model)
    except DataError as error:
        if not whole:
            raise
        print(f"{error}; the copy that is here is checked instead", file=sys.stderr)
    else:
        _require_room(model, sizes)
        _download(model, [name for name in sizes if name.endswith(WEIGHTS)])
        _require_sizes(model, sizes)
    copy = hub_copy(model)
    assert copy is not None, f"{model} is whole or was downloaded, and is not in {hub_cache()}"
    return copy


def _sizes(model: str) -> dict[str, int]:
    """Bytes of each file that a run needs, as the hub says them. Raises DataError within TIMEOUT_S."""
    named = next((name for name in OFFLINE if os.environ.get(name)), None)
    if named:
        raise DataError(f"{named} is set, so the hub is not asked for {model}")
    try:
        about = HfApi().model_info(model, files_metadata=True, timeout=TIMEOUT_S)
    except GatedRepoError:
        raise DataError(f"{model} wants its licence accepted on the hub, and HF_TOKEN set") from None
    except RepositoryNotFoundError:
        raise DataError(f"{model} is not on the hub, or private: check the name, or set HF_TOKEN") from None
    except (httpx.HTTPError, HfHubHTTPError, OSError) as error:
        raise DataError(_unreachable(model, error)) from None
    return {f.rfilename: f.size or 0 for f in about.siblings or () if any(Path(f.rfilename).match(w) for w in WANTED)}


def _unreachable(model: str, error: Exception) -> str:
    return (
        f"{model}: the hub cannot be reached ({type(error).__name__}: {error}); where there is a network give the "
        f"command again, or copy its folder models--{model.replace('/', '--')} into {hub_cache()}"
    )


def _require_room(model: str, sizes: dict[str, int]) -> None:
    copy = hub_copy(model)
    there = {name for name in sizes if copy is not None and (copy / name).is_file()}
    needed = sum(size for name, size in sizes.items() if name not in there)
    cache = hub_cache()
    cache.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(cache).free
    if needed > free:
        raise DataError(
            f"{model} takes {needed / 1e9:.1f} GB more, and {free / 1e9:.1f} GB are free under {cache}; make room, or "
            "set HF_HOME to a larger disk"
        )


def _download(model: str, weights: Sequence[str]) -> None:
    blobs = hub_cache() / f"models--{model.replace('/', '--')}" / "blobs"
    try:
        for name in weights:
            keep_blob(hf_hub_url(model, name), blobs)
        snapshot_download(model, allow_patterns=list(WANTED), etag_timeout=TIMEOUT_S, cache_dir=hub_cache())
    except (httpx.HTTPError, HfHubHTTPError, OSError) as error:
        raise DataError(
            f"{model}: the download was cut ({type(error).__name__}: {str(error).splitlines()[0]}); give the command "
            "again, it goes on from there"
        ) from None


def _require_sizes(model: str, sizes: dict[str, int]) -> None:
    copy = hub_copy(model) or hub_cache()
    for name, size in sizes.items():
        there = (copy / name).stat().st_size if (copy / name).is_file() else 0
        if there != size:
            raise DataError(
                f"{copy / name} has {there} bytes, the hub says {size}; remove it and give the command again"
            )


def main(arguments: Sequence[str] | None = None) -> int:
    """0: all are there and whole; 1: some are not, each with its sentence on stderr."""
    parser = argparse.ArgumentParser(prog="python -m core.model.download", description=__doc__)
    parser.add_argument("models", nargs="+", metavar="MODEL", help="ORG/NAME of the hub, smollm2-135m, or a directory")
    failed = 0
    for model in parser.parse_args(arguments).models:
        try:
            print(fetch(model), flush=True)
        except DataError as error:
            print(f"download-model: {error}", file=sys.stderr, flush=True)
            failed += 1
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
