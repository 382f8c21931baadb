"""What a server says of a check, read as something that untrusted code has had a hand in."""

import json
import signal
from dataclasses import dataclass, field
from typing import Any

from core.sandbox.jail.answers import NAME_LENGTH
from core.sandbox.jail.test_function import STATES, State

_SIGNAL_NAMES = {int(number): number.name for number in signal.Signals}


@dataclass(frozen=True)
class ExecutionResult:
    """What a child reported and how it ended. `answers` is tagged JSON (jail.answers); no error: it came to its end.

    `error` is an identifier of at most 80 characters, a class's name or one of the grader's own words. unjudged: the
    grader is why there is no verdict.
    """

    imported: bool = False  # compiled, and its module code ran without leaving the process
    import_error: str | None = None  # that its module code raised
    done: bool = False  # all steps ran to their end, and the nonce that is given out after the last one came back
    answers: tuple[Any, ...] | None = None
    attributes: tuple[str, ...] = ()
    own_equality: bool | None = None  # equality only; null where some pair was unequal
    test_function: State | None = None
    proves_nothing: bool = False  # the test function certainly passes, on any Solution
    tests_passed: bool = False  # the test function was called and came back; not so where the process was gone before
    tests_pass_stub: bool | None = None  # and over `solution`; null where a second part was not run, or not to its end
    error: str | None = None
    unjudged: bool = False
    exit_code: int | None = None
    stdout: str = ""
    stderr: str = ""
    files: dict[str, str] = field(default_factory=dict)
    cpu_s: float = 0.0
    seconds: float = 0.0


# The grader's own words for how a check ended; no class of judged code can pass for one of them.
SERVER_DIED, STARVED = "SandboxDied", "Starved"
KILLED = frozenset({"SIGKILL", "SIGXCPU"})
EARLY_EXIT, FORGED, OTHER = "EarlyExit", "ForgedResult", "Exception"
OWN_WORDS = frozenset(
    {SERVER_DIED, STARVED, EARLY_EXIT, FORGED, "CpuLimit", "WallLimit", "RecordsLimit", "NoCode"}
    | set(_SIGNAL_NAMES.values())
)
GONE = frozenset({EARLY_EXIT, *_SIGNAL_NAMES.values()})  # the process left, or was made to leave, before its end


def execution_result(raw: dict[str, Any]) -> ExecutionResult:
    first, *rest = raw["parts"]
    records, malformed = _decoded(first["records"])
    passed, passed_stub = _second_part(rest[0]) if rest else (records.get("passed") is True and first["done"], None)
    answers, attributes = records.get("answers"), records.get("attributes")
    own_equality = records.get("own_equality")
    return ExecutionResult(
        imported="imported" in records,
        import_error=_identifier(records["imported"]) if isinstance(records.get("imported"), str) else None,
        done="ended" in records and first["done"],
        answers=tuple(answers) if isinstance(answers, list) else None,
        attributes=tuple(a for a in attributes if isinstance(a, str)) if isinstance(attributes, list) else (),
        own_equality=own_equality if isinstance(own_equality, bool) else None,
        test_function=next((s for s in STATES if records.get("test_function") == s), None),
        proves_nothing=records.get("proves_nothing") is True,
        tests_passed=passed,
        tests_pass_stub=passed_stub,
        error=FORGED if malformed else _error(raw, first, records),
        unjudged=first["killed_for"] == STARVED,
        exit_code=raw["exit_code"],
        stdout=raw["stdout"],
        stderr=raw["stderr"],
        files=raw["files"],
        cpu_s=raw["cpu_s"],
        seconds=raw["seconds"],
    )


def _decoded(texts: list[str] | None) -> tuple[dict[str, Any], bool]:
    """The child's records by name, and whether they are to be disbelieved: no honest child sends a name twice."""
    records: dict[str, Any] = {}
    try:
        for text in texts if texts is not None else [""]:
            record = json.loads(text)
            if not isinstance(record, dict) or len(record) != 1 or record.keys() & records.keys():
                return {}, True
            records |= record
    except (ValueError, RecursionError):
        return {}, True
    return records, False


def _second_part(part: dict[str, Any]) -> tuple[bool, bool | None]:
    """Whether own tests passed, on their own code and on a stub; (False, None) where it did not come to its end."""
    records, malformed = _decoded(part["records"])
    if malformed or not part["done"] or "ended" not in records:
        return False, None
    return records.get("passed") is True, records.get("passed_over_solution") is True


def _error(raw: dict[str, Any], first: dict[str, Any], records: dict[str, Any]) -> str | None:
    if first["killed_for"]:
        return first["killed_for"]
    if "ended" in records and first["done"]:
        return None
    for name in ("error", "left", "imported"):
        if isinstance(records.get(name), str):
            return _identifier(records[name])
    if raw["signal"] is not None:
        return _SIGNAL_NAMES.get(raw["signal"], f"SIG{raw['signal']}")
    return EARLY_EXIT


def _identifier(said: str) -> str:
    """A class's name as the child reports it, which may be anything: an identifier, and no word of the grader's own."""
    fits = len(said) <= NAME_LENGTH and said.isascii() and said.isidentifier() and said not in OWN_WORDS
    return said if fits else OTHER
