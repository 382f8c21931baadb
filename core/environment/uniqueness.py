"""Whether a row's prompt admits other answers than the listed one, and the rule by which such answers are judged.

The benchmark compares every answer with the one that its asserts list. Where the prompt says "return any of them" or
"answers within 10^-5 will be accepted", that calls right solutions wrong. The rule is read from the row: from its field
`accepts` where it has one, from the table of shipped checkers, else from the prompt's own words. Words that admit other
answers and give no way to judge them make the rule "open". The words are a list of phrases, so a prompt that says it
otherwise is missed, and `python -m core.environment.audit FILE` is there to be read.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from core.environment.asserts import Case, literal_value
from core.environment.checkers import CHECKERS, SHIPPED

EXACT, TOLERANCE, ANY_ORDER, CHECKER, LISTED, OPEN = "exact", "tolerance", "any_order", "checker", "listed", "open"
FIELD = "accepts"  # the optional field of a row that names its rule

_MINUS = "[-\u2212\u2013]"
_SUPERSCRIPTS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
_TELLTALE = r"any|either|accept|matter|unique|also|all|other|answer|within|error|precision|tolerance"
# 10^-5 as prompts spell it; a prompt that has lost its superscript says 10-5.
_POWER = rf"\b10\s*(?:\^|\*\*|<sup>)?\s*[({{]?\s*{_MINUS}\s*(\d{{1,2}})\b"
_DECIMAL = rf"\b(1e{_MINUS}\d{{1,2}}|0\.0*1)\b"
_OF_AN_ANSWER = r"\b(?:answers?|accepted|errors?|precision|outputs?|results?|tolerance|correct)\b"
_CLOSENESS = r"\b(?:within|errors?|differ\w*|precision|tolerance|accurate|accuracy|up to)\b"

_ANSWER = r"(?:answers?|solutions?|outputs?|results?)"
_GIVE = r"(?:return|output|print|report|give)(?:s|ing)?"
_ONE = r"(?:one|of|valid|such|correct|possible|acceptable|optimal|answers?|solutions?|permutations?|arrangements?)\b"
_NO_MATTER = r"(?:does not|doesn't|do not|don't) matter\b"
_ORDER = (
    rf"\b(?:{_GIVE}|{_ANSWER}|returned)\b[^.]*?\bin any order\b",
    rf"\border (?:of|in which)\b[^.]{{0,60}}\b{_ANSWER}\b[^.]{{0,60}}\b{_NO_MATTER}",
    rf"\b{_ANSWER}\b[^.]{{0,60}}\border {_NO_MATTER}",
)
_SEVERAL = r"(?:multiple|several|many|more than one|various|different)"
_OTHERS = (
    # "return any of them", "return the index of any such", but not "the number of any" or "true if any"
    rf"\b{_GIVE}(?: (?:the|an?|of|it|them|is|name)| (?:index|indices|position)(?: to)?)*"
    rf" (?:any|either) (?:one )?{_ONE}",
    rf"\b(?:if|when|where|should)\b[^.]{{0,60}}\b{_SEVERAL}\b[^.]{{0,80}}\b{_GIVE}\b[^.]{{0,20}}\b(?:any|either)\b",
    rf"\b{_SEVERAL}\b (?:\w+ ){{0,3}}{_ANSWER}\b[^.]{{0,80}}\b(?:choose|pick|use|{_GIVE}|accept) (?:any|either)\b",
    rf"\b(?:any|all|other|either)\b(?: \w+){{0,4}} (?:{_ANSWER}|of them|of these)\b(?: \w+){{0,14}}"
    r" (?:will be|would be|is|are|be) (?:also )?(?:accepted|acceptable|allowed)\b",
    rf"\b(?:any|other|another)\b (?:\w+ ){{0,2}}(?:valid|correct|possible|acceptable) {_ANSWER}\b"
    r" (?:is|are|may|would|will|exists?|could|can|include)",
    rf"\balso (?:an? |one )?(?:valid|accepted|correct|acceptable|possible) {_ANSWER}\b",
    rf"\b{_ANSWER}\b[^.]{{0,40}}\b(?:not (?:necessarily |always )?(?:be )?unique|non-unique)\b",
    rf"\b(?:choose|pick|use|accept) any (?:one )?(?:(?:valid|correct|possible|of the) )*{_ANSWER}\b",
)


@dataclass(frozen=True)
class Rule:
    """How an answer that is not the listed one is judged. `phrase`: the prompt's words, or the row's field."""

    kind: str = EXACT
    phrase: str = ""
    tolerance: float = 0.0  # |answer - listed| <= tolerance, times max(1, |listed|) where `relative`
    relative: bool = False
    checker: str = ""  # a key of CHECKERS
    listed: tuple[tuple[str, ...], ...] = ()  # for each assert the sources of further right answers

    @property
    def unique(self) -> bool:
        """The prompt asks for the listed answer and no other."""
        return self.kind == EXACT

    @property
    def judged(self) -> bool:
        """There is a way to tell other right answers from wrong ones."""
        return self.kind != OPEN


UNIQUE = Rule()


def rule_of(row: Mapping[str, object], text: str, method: str, cases: Sequence[Case]) -> Rule:
    """The row's rule: its own field, a shipped checker, or what the prompt's text says.

    Raises ValueError "field 'accepts': ..." where the field is none of the forms in docs/grading.md.
    """
    if FIELD in row:
        return _from_field(row[FIELD], len(cases))
    found = _from_words(text, cases)
    shipped = SHIPPED.get((str(row.get("id")), method))
    if shipped is not None and not found.unique:  # of another data set, where its prompt says nothing of the kind
        return Rule(CHECKER, found.phrase, checker=shipped)
    return found


def _from_words(text: str, cases: Sequence[Case]) -> Rule:
    sentences = [sentence for sentence in _sentences(text) if _says(sentence, _TELLTALE)]
    for sentence in sentences:
        tolerance = _tolerance(sentence)
        if tolerance is not None:
            return Rule(TOLERANCE, sentence, tolerance, _says(sentence, r"\brelative\b"))
    in_order = next((found for found in map(_any_order, sentences) if found), "")
    other = next((found for found in map(_other_answers, sentences) if found), "")
    if other:
        return Rule(OPEN, other)
    several = any(isinstance(case.expected, list | tuple) and len(case.expected) > 1 for case in cases)
    return Rule(ANY_ORDER, in_order) if in_order and several else UNIQUE


def _sentences(text: str) -> Iterator[str]:
    """Split at line ends and at points that end a word, so that 0.00001 stays whole."""
    for part in re.split(r"\n+|(?<=[.!?;])\s+", text.translate(_SUPERSCRIPTS)):
        sentence = " ".join(part.split())
        if sentence:
            yield sentence


def _tolerance(sentence: str) -> float | None:
    """The tolerance that a sentence about answers names, or None."""
    if not (_says(sentence, _OF_AN_ANSWER) and _says(sentence, _CLOSENESS)):
        return None
    power, decimal = re.search(_POWER, sentence), re.search(_DECIMAL, sentence, re.IGNORECASE)
    if power:
        return 10.0 ** -int(power[1])
    return float(re.sub(_MINUS, "-", decimal[1])) if decimal else None


def _any_order(sentence: str) -> str:
    return sentence if _says(sentence, *_ORDER) else ""


def _other_answers(sentence: str) -> str:
    rest = re.sub(r"\bin any order\b", "", sentence, flags=re.IGNORECASE)
    return sentence if _says(rest, *_OTHERS) else ""


def _says(sentence: str, *patterns: str) -> bool:
    return any(re.search(pattern, sentence, re.IGNORECASE) for pattern in patterns)


def _from_field(value: object, asserts: int) -> Rule:
    named = f"field {FIELD!r}"
    if value in (EXACT, ANY_ORDER, OPEN):
        return Rule(str(value), named)
    if isinstance(value, dict) and set(value) == {"checker"} and value["checker"] in CHECKERS:
        return Rule(CHECKER, named, checker=value["checker"])
    if isinstance(value, dict) and set(value) <= {"tolerance", "relative"} and _is_tolerance(value):
        return Rule(TOLERANCE, named, float(value["tolerance"]), value.get("relative", False))
    if isinstance(value, dict) and set(value) == {"values"}:
        return Rule(LISTED, named, listed=_listed(value["values"], asserts))
    raise ValueError(
        f"{named}: {str(value)[:60]!r} is none of {EXACT!r}, {ANY_ORDER!r}, {OPEN!r}, "
        '{"tolerance": 1e-5, "relative": false}, {"checker": NAME}, {"values": [[literal, ...] for each assert]}; '
        f"checkers: {sorted(CHECKERS)}"
    )


def _is_tolerance(value: Mapping[str, object]) -> bool:
    tolerance = value.get("tolerance")
    return type(tolerance) in (int, float) and 0 < tolerance < 1 and type(value.get("relative", False)) is bool  # type: ignore[operator]


def _listed(values: object, asserts: int) -> tuple[tuple[str, ...], ...]:
    lists = values if isinstance(values, list) else []
    if len(lists) != asserts or not all(isinstance(v, list) and all(isinstance(s, str) for s in v) for v in lists):
        raise ValueError(
            f"field {FIELD!r}: values must hold a list of literals, as strings, for each of {asserts} asserts"
        )
    for number, source in ((n, s) for n, of_assert in enumerate(lists) for s in of_assert):
        try:
            literal_value(source)
        except ValueError as error:
            raise ValueError(f"field {FIELD!r}: values of assert {number}: {error}") from None
    return tuple(tuple(of_assert) for of_assert in lists)
