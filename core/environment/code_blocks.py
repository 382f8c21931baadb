"""The program in a completion: what stands in its fenced blocks."""

import re

CODE_LANGUAGES = ("", "python", "py", "python3")

_FENCE = re.compile(r"`{3,}")
_INDENT = re.compile(r"[ \t]*")
_WORD = re.compile(r"\w*")


def extract_code(completion: str) -> str | None:
    """Fenced blocks marked python or not at all, joined by a blank line; the last may lack its end. None: no code.

    A fence is three or more backticks; any ends a block, whatever follows it. Blank blocks do not count.
    """
    blocks: list[list[str]] = []
    language: str | None = None  # of the block that is open
    indent = ""
    lines = completion.split("\n")
    for number, line in enumerate(lines, start=1):
        if language is None:
            language = _opened(line) if number < len(lines) else None
            if language in CODE_LANGUAGES:
                blocks.append([])
                indent = _INDENT.match(line)[0]  # type: ignore[index]
            continue
        code, is_end = _until_fence(line)
        if language in CODE_LANGUAGES and (code or not is_end):
            blocks[-1].append(code.removeprefix(indent))
        if is_end:
            language = None
    filled = [text for block in blocks if (text := "\n".join(block).strip())]
    return "\n\n".join(filled) or None


def _opened(line: str) -> str | None:
    """The language of the block that a line opens, in lower case; None: it opens none.

    After other text only a fence of code does: what stands behind backticks in prose is no block.
    """
    fence = _FENCE.search(line)
    if fence is None or "`" in line[fence.end() :]:
        return None
    after = line[fence.end() :].strip()
    language = _WORD.match(after)[0].lower()  # type: ignore[index]
    stands_first = not line[: fence.start()].strip()
    return language if stands_first or (after.lower() == language and language in CODE_LANGUAGES) else None


def _until_fence(line: str) -> tuple[str, bool]:
    """What of a block's line is code, and whether a fence ends the block in it. Backticks in a string are no fence."""
    fence = _FENCE.search(line)
    if fence is None:
        return line, False
    before = line[: fence.start()]
    if before.count("'") % 2 or before.count('"') % 2:
        return line, False
    return before.rstrip(), True
