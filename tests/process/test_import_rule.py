"""Who may import whom: core none of ours, the worker core, the orchestrator only what needs no torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from support.paths import REPO

OURS = ("core", "worker", "orchestrator")
LIGHT = (
    "spec",
    "run_dir",
    "durable",
    "host_memory",
    "code_hash",
    "cache",
    "twins",
    "hints",
    "problems",
    "asserts",
    "answers",
    "rewards",
    "sandbox",
    "sandbox_levels",
    "terminal_plot",
    "arm_style",
    "label_places",
    "figures",
    "scatter_figure",
    "curve_figure",
    "bar_figure",
    "contrast_figure",
    "task",
    "arm_rules",
    "pairs",
    "teacher_pool",
    "evaluations",
    "stats",
    "power",
    "hypotheses",
    "tripwires",
)
HEAVY = ("torch", "transformers", "peft", "numpy", "safetensors")


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


@pytest.mark.parametrize("package, allowed", [("core", ("core",)), ("worker", ("worker", "core"))])
def test_package_imports_only_what_lies_below_it(package: str, allowed: tuple[str, ...]) -> None:
    for path in files(package):
        for name in imports(path):
            top = name.partition(".")[0]
            assert top not in OURS or top in allowed, f"{path.relative_to(REPO)} imports {name}"


def test_orchestrator_imports_only_the_light_part_of_core() -> None:
    for path in files("orchestrator"):
        for name in imports(path):
            parts = name.split(".")
            assert parts[0] not in (*HEAVY, "worker"), f"{path.relative_to(REPO)} imports {name}"
            if parts[0] == "core":
                assert parts[1] in LIGHT, f"{path.relative_to(REPO)} imports {name}"


def loaded(code: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPO, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", LIGHT)
def test_the_light_part_of_core_is_light(module: str) -> None:
    assert not loaded(f"import sys, core.{module}\nprint(*sys.modules)") & {"torch", "transformers", "peft"}


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
