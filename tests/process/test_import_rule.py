"""Who may import whom: core none of ours, the worker core, the orchestrator only what needs no torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from support.paths import REPO

OURS = ("core", "worker", "orchestrator")
# rooms without torch
LIGHT = ("core.runs", "core.sandbox", "core.environment", "core.statistics", "core.figures", "core.weights")
LIGHT_MODULES = ("core.spec", "core.arm_rules", "core.tripwires", "core.attempt")
HEAVY = ("torch", "transformers", "peft", "safetensors")


def imports(path: Path) -> set[str]:
    """Dotted names a file imports, wherever in it; `from a import b` gives a.b."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path} imports relatively"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def files(package: str) -> list[Path]:
    return sorted((REPO / package).rglob("*.py"))


def room(dotted: str) -> str:
    """The package or the module that lies directly in core/, worker/ or orchestrator/."""
    return ".".join(dotted.split(".")[:2])


@pytest.mark.parametrize("package, allowed", [("core", ("core",)), ("worker", ("worker", "core"))])
def test_package_imports_only_what_lies_below_it(package: str, allowed: tuple[str, ...]) -> None:
    for path in files(package):
        for name in imports(path):
            top = name.partition(".")[0]
            assert top not in OURS or top in allowed, f"{path.relative_to(REPO)} imports {name}"


def test_orchestrator_imports_only_the_light_part_of_core() -> None:
    for path in files("orchestrator"):
        for name in imports(path):
            top = name.partition(".")[0]
            assert top not in (*HEAVY, "numpy", "worker"), f"{path.relative_to(REPO)} imports {name}"
            if top == "core":
                is_light = room(name) in (*LIGHT, *LIGHT_MODULES)
                assert is_light, f"{path.relative_to(REPO)} imports {name}"


def test_no_two_rooms_import_each_other() -> None:
    arrows = {
        (room(".".join(path.relative_to(REPO).with_suffix("").parts)), room(name))
        for package in OURS
        for path in files(package)
        for name in imports(path)
        if name.partition(".")[0] in OURS
    }
    both = sorted((one, other) for one, other in arrows if one < other and (other, one) in arrows)
    assert not both, both


def loaded(code: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPO, check=True)
    return set(done.stdout.split())


def test_light_rooms_load_no_torch() -> None:
    """Every module of every light room, in one process."""
    modules = [*LIGHT_MODULES]
    for package in LIGHT:
        modules += [".".join(p.relative_to(REPO).with_suffix("").parts) for p in files(package.replace(".", "/"))]
    assert len(modules) > 40
    assert not loaded(f"import sys, {', '.join(modules)}\nprint(*sys.modules)") & set(HEAVY)


def test_status_imports_neither_torch_nor_sqlmodel(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        f"sys.argv = ['grpoq', '--home', {str(tmp_path)!r}, 'status']\n"
        "from orchestrator.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "import orchestrator.reading.status, orchestrator.reading.status_text\n"
        "print(*sys.modules)"
    )
    assert not loaded(code) & {
        "torch",
        "transformers",
        "peft",
        "numpy",
        "sqlmodel",
        "sqlalchemy",
        "pydantic",
        "matplotlib",
    }
