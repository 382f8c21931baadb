"""Which token closes an assistant's turn: the one that the chat template writes there.

The tokenizer's own end-of-sequence token may be another one. SmolLM2's GGUF names `<|im_start|>`, which opens a turn.
"""

from __future__ import annotations

from typing import Any

from jinja2 import TemplateError

ANSWER = "answer"
CHAT = [
    {"role": "system", "content": "system"},
    {"role": "user", "content": "question"},
    {"role": "assistant", "content": ANSWER},
]


def end_of_turn(tokenizer: Any) -> int:
    """The first special token behind a rendered answer, else the tokenizer's end-of-sequence token.

    Raises ValueError where there is neither: completions would never end.
    """
    added = tokenizer.added_tokens_decoder
    after = tokenizer(_behind_the_answer(tokenizer), add_special_tokens=False)["input_ids"]
    found = [token for token in after if token in added and added[token].special]
    if not found and tokenizer.eos_token_id is None:
        raise ValueError("neither its chat template nor its tokenizer names an end token, so no completion would end")
    return int(found[0] if found else tokenizer.eos_token_id)


def _behind_the_answer(tokenizer: Any) -> str:
    """Empty where the template renders no answers, as nano's does, or refuses such a chat."""
    try:
        rendered = str(tokenizer.apply_chat_template(CHAT, tokenize=False))
    except (ValueError, TemplateError):
        return ""
    return rendered.rpartition(ANSWER)[2] if ANSWER in rendered else ""
