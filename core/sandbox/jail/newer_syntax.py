"""Whether refused code is only newer than this Python: then that is what its error says, and not that it is wrong.

What this interpreter cannot parse is written in its older form and tried again: type statements and type parameters
(PEP 695, 3.12), f-strings with any quotes, comments and backslashes (PEP 701, 3.12), t-strings (PEP 750, 3.14). The
result is compiled and never run.
"""

import re

LONGEST = 100_000  # characters: what takes long to rewrite is not worth a word

_TYPE_STATEMENT = re.compile(r"^([ \t]*)type[ \t]+(\w+)[ \t]*(?:\[.*?\])?[ \t]*=", re.MULTILINE)
_GENERIC = re.compile(r"\b(def|class)([ \t]+\w+)[ \t]*\[")
_CONVERSION = re.compile(r"![sra]\s*[:}]")
_STARS = re.compile(r"\*+(?=\s*\w)")
_STRING = re.compile(r"(?<!\w)([A-Za-z]{0,2})('''|\"\"\"|'|\")|(#)")


def is_newer(program: str) -> bool:
    """Whether the older form of a refused program compiles here."""
    if len(program) > LONGEST:
        return False
    try:
        older = _plain_strings(program)
        older = _TYPE_STATEMENT.sub(r"\1\2 =", _without_type_parameters(older))
        if older == program:
            return False
        compile(older, "<older>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError, IndexError):
        return False
    return True


def _without_type_parameters(program: str) -> str:
    """Raises SyntaxError where what stands in the brackets are no type parameters in any Python."""
    match = _GENERIC.search(program)
    while match:
        end = _closing(program, match.end())
        names = _STARS.sub("", program[match.end() : end - 1])
        if not names.strip():
            raise SyntaxError("no type parameter")
        compile(f"def f({names}): pass", "<parameters>", "exec", dont_inherit=True)  # of the same form: each name once
        program = program[: match.end() - 1] + program[end:]
        match = _GENERIC.search(program, match.end() - 1)
    return program


def _closing(text: str, start: int) -> int:
    """The place after the bracket that closes the one just before `start`. Raises IndexError where there is none."""
    depth = 1
    while depth:
        depth += {"[": 1, "]": -1}.get(text[start], 0)
        start += 1
    return start


def _plain_strings(program: str) -> str:
    """Every f- and t-string becomes an empty one; other strings and comments stay.

    Raises SyntaxError where an expression in one of them is wrong.
    """
    found, place = [], 0
    while match := _STRING.search(program, place):
        found.append(program[place : match.start()])
        if match[3]:
            end = program.find("\n", match.start())
            end = len(program) if end < 0 else end
            found.append(program[match.start() : end])
        elif set(match[1].lower()) & {"f", "t"}:
            expressions, end = _formatted(program, match.end(), match[2])
            found.append("''")
            for expression in expressions:
                compile(f"({expression})", "<expression>", "eval", dont_inherit=True)
        else:
            end = _string_end(program, match.end(), match[2])
            found.append(program[match.start() : end])
        place = end
    return "".join(found) + program[place:]


def _string_end(text: str, place: int, quote: str) -> int:
    while not text.startswith(quote, place):
        place += 2 if text[place] == "\\" else 1
    return place + len(quote)


def _formatted(text: str, place: int, quote: str) -> tuple[list[str], int]:
    """The expressions of a formatted string that begins here, and the place after its end."""
    expressions: list[str] = []
    while not text.startswith(quote, place):
        if text[place] == "{" and text[place + 1] != "{":
            inner, place = _field(text, place + 1)
            expressions += inner
        elif text[place] == "}" and text[place + 1] != "}":
            raise ValueError("a single } in a formatted string")
        else:
            place += 2 if text[place] in "\\{}" else 1
    return expressions, place + len(quote)


def _field(text: str, place: int) -> tuple[list[str], int]:
    """A replacement field: its expression in older form, with those of its format, and the place after its brace."""
    depth, start, pieces = 0, place, []
    inner: list[str] = []
    while True:
        match = _STRING.match(text, place)
        if match and not match[3] and set(match[1].lower()) & {"f", "t"}:
            within, end = _formatted(text, match.end(), match[2])
            inner += within
            pieces += [text[start:place], "''"]
            start = place = end
        elif match and match[3]:
            pieces.append(text[start:place])
            start = place = text.index("\n", place)
        elif match:
            place = _string_end(text, match.end(), match[2])
        elif (depth == 0 and text[place] in "}:") or (depth == 0 and text[place] == "!" and text[place + 1] != "="):
            if text[place] == "!" and not _CONVERSION.match(text, place):
                raise ValueError("an unknown conversion in a formatted string")
            break
        else:
            depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(text[place], 0)
            place += 1
    expression = "".join([*pieces, text[start:place]]).strip().rstrip("=")
    if not expression:
        raise ValueError("a formatted string with an empty expression")
    while text[place] != "}":
        if text[place] == "{":
            deeper, place = _field(text, place + 1)
            inner += deeper
        else:
            place += 1
    return [expression, *inner], place + 1
