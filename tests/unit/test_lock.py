"""The lock files say what pyproject.toml asks for: CI and boxes install from them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator

import pytest
from packaging.requirements import Requirement

from support.paths import REPO

PROJECT = tomllib.loads((REPO / "pyproject.toml").read_text())
ENTRY = re.compile(
    r"^([a-z0-9.-]+)==([^\s;]+)(?: ; ([^\\]+))? \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.M
)


def pins(name: str) -> dict[str, set[str]]:
    """Versions by name; several where Pythons differ. Every line of the file is an entry or a comment."""
    text = (REPO / name).read_text()
    assert not [line for line in ENTRY.sub("", text).splitlines() if not line.startswith("    #")]
    found: dict[str, set[str]] = {}
    for package, version, _, _ in ENTRY.findall(text):
        found.setdefault(package, set()).add(version)
    return found


def asked(*lists: list[str]) -> Iterator[Requirement]:
    yield from (Requirement(line) for lines in lists for line in lines if not line.startswith("grpoq["))


EXTRAS, GROUPS = PROJECT["project"]["optional-dependencies"], PROJECT["dependency-groups"]
BASE = PROJECT["project"]["dependencies"]


@pytest.mark.parametrize(
    "name, lists",
    [("requirements.lock", [BASE]), ("requirements-dev.lock", [BASE, *EXTRAS.values(), *GROUPS.values()])],
)
def test_a_lock_file_pins_all_that_is_asked_for(name: str, lists: list[list[str]]) -> None:
    pinned = pins(name)
    for requirement in asked(*lists):
        versions = pinned[requirement.name.lower()]
        assert all(requirement.specifier.contains(version) for version in versions), (requirement, versions)


def test_a_box_runs_what_ci_has_tested() -> None:
    box, ci = pins("requirements.lock"), pins("requirements-dev.lock")
    assert {name: ci.get(name) for name in box} == box and "pytest" in ci and "pytest" not in box


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_a_lock_file_names_no_address(name: str) -> None:
    assert not re.search(r"://|index-url|find-links", (REPO / name).read_text())
