"""python -m core.model.prompt_lengths MODEL: chats on stdin, one JSON list of messages a line; their tokens on stdout.

A process of its own, so that whoever asks need not load transformers. Needs the tokenizer alone, not the weights.
"""

from __future__ import annotations

import json
import sys

from transformers import AutoTokenizer

from core.model.load import DataError, LanguageModel, folder_of


def lengths(model: str, chats: list[list[dict[str, str]]]) -> list[int]:
    """Raises DataError where the tokenizer is not on this machine, or has no chat template."""
    try:
        asked = LanguageModel(None, AutoTokenizer.from_pretrained(folder_of(model)), frozenset())
        return [len(asked.encode_prompt(chat)) for chat in chats]
    except (OSError, ValueError) as error:
        raise DataError(f"the tokenizer of {model!r} cannot be used: {str(error).splitlines()[0]}") from error


def main() -> int:
    try:
        print(json.dumps(lengths(sys.argv[1], [json.loads(line) for line in sys.stdin if line.strip()])))
    except DataError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
