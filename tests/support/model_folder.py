"""Model directories: nano's own, copied, and then damaged in one way."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

NANO = Path(__file__).parents[2] / "core" / "environment" / "nano" / "model"
INDEX = "model.safetensors.index.json"


def nano_folder(path: Path) -> Path:
    shutil.copytree(NANO, path)
    return path


def edited(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """A JSON file after `change`."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def indexed(folder: Path, **weight_map: str) -> None:
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def hub_copy_of_nano(cache: Path, owner: str, name: str) -> Path:
    """As the hub's client lays it out in HF_HUB_CACHE."""
    copies = cache / f"models--{owner}--{name}"
    nano_folder(copies / "snapshots" / "abc")
    (copies / "refs").mkdir()
    (copies / "refs" / "main").write_text("abc")
    return copies / "snapshots" / "abc"
