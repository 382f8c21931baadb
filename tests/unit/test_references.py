"""Every reference in the tree leads to something in the tree: links, paths, module names, sections of docs/protocol.md.

Pages are read as text and modules by ast, so nothing is imported. Links to the web are checked for form alone.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import pytest

from support.paths import REPO

PACKAGES = ("core", "orchestrator", "worker", "tests", "bench")
PROTOCOL = "docs/protocol.md"
READ = (".py", ".toml", ".md", ".j2")
READ_NAMES = ("justfile", "run")  # .ci/run
# Names of papers that were never part of the tree. shared_data.py is the one place that knows the folder beside it.
OUTSIDE = ("science.md", "interfaces.md", "layout.md", "labels.md", "../shared")
KNOWS_OUTSIDE = "shared_data.py"

LINK = re.compile(r"\[([^\]\n]*)\]\(([^)\s]+)\)")
WEB = re.compile(r"https?://[\w-]+(\.[\w-]+)+(/[\w./#?=&%+~-]*)?")
DOCS_PATH = re.compile(r"(?<![\w./-])docs/[\w./-]*")
TREE_PATH = re.compile(rf"(?<![\w./-])(?:{'|'.join(PACKAGES)})/[\w./*-]*")
PYTHON_FILE = re.compile(r"(?<![\w./*-])(?:[\w-]+/)*[\w-]+\.py\b")
PAGE = re.compile(r"(?<![\w./-])(?:[\w-]+/)*[\w-]+\.md\b")
DOTTED = re.compile(rf"(?<![\w./-])(?:{'|'.join(PACKAGES)})(?:\.[A-Za-z_]\w*)+")
IMPORT = re.compile(rf"^\s*from ((?:{'|'.join(PACKAGES)})(?:\.\w+)*) import ([\w, ]+)$", re.MULTILINE)
NUMBERS = r"\d+(?:\.\d+)*(?:(?:, and |, | and | to )\d+(?:\.\d+)*)*"
# "docs/protocol.md 4.1, 5.4" anywhere; "protocol 4.1" where the number has a point; a line may end in between.
NAMED_SECTION = re.compile(rf"(?<![\w-])protocol(?:\.md`?,?|(?=\s+(?:# )?\d+\.\d))\s+(?:# )?({NUMBERS})")
OWN_SECTION = re.compile(rf"\bsections?\s+({NUMBERS})")
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
BY_HEADING = re.compile(r"((?:[\w-]+/)*[\w-]+\.md), ([A-Z][a-z]+(?: [a-z]+)*)(?=[.,;:)]|$)", re.MULTILINE)
NO_MODULE = ("log", "json", "jsonl")  # worker.log is a file


@dataclass(frozen=True)
class Tree:
    root: Path

    @cached_property
    def files(self) -> list[str]:
        """What git knows or would add; without git whatever lies in the tree's own folders."""
        asked = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        if (self.root / ".git").exists() and shutil.which("git"):
            listed = subprocess.run(asked, capture_output=True, text=True, cwd=self.root).stdout.split("\n")
            known = sorted(name for name in listed if name and (self.root / name).is_file())
            if known:  # nothing where git refuses another user's checkout
                return known
        places = [self.root / top for top in (*PACKAGES, "docs", ".ci")]
        found = [p for p in (*self.root.iterdir(), *(p for top in places for p in top.rglob("*"))) if p.is_file()]
        return sorted(str(p.relative_to(self.root)) for p in found if "__pycache__" not in p.parts)

    @cached_property
    def texts(self) -> dict[str, str]:
        names = [n for n in self.files if n.endswith(READ) or Path(n).name in READ_NAMES]
        names = [n for n in names if Path(n).name != Path(__file__).name]  # whose examples are broken on purpose
        return {name: (self.root / name).read_text(encoding="utf-8") for name in names}

    @property
    def pages(self) -> dict[str, str]:
        return {name: text for name, text in self.texts.items() if name.endswith(".md")}

    @cached_property
    def endings(self) -> set[str]:
        """Every way to name a file by the end of its path."""
        return {"/".join(parts[i:]) for parts in (n.split("/") for n in self.files) for i in range(len(parts))}

    def exists(self, path: str) -> bool:
        path = path.rstrip("/")
        if "*" in path:
            return any(self.root.glob(path))
        return path in self.endings if path in self.files else (self.root / path).is_dir()

    def page(self, named: str, at: str) -> str | None:
        """The page that a name means in a file: from the root, from the file's folder, or one of docs/."""
        near = str((self.root / at).parent.joinpath(named).resolve())
        beside = near.removeprefix(f"{self.root}/")
        return next((name for name in (named, beside, f"docs/{named}") if name in self.pages), None)


def anchors(text: str) -> list[str]:
    """As GitHub makes them of a page's headings."""
    found: list[str] = []
    for heading in HEADING.findall(without_code(text)):
        shown = LINK.sub(r"\1", heading).replace("`", "")
        slug = re.sub(r"[^\w\- ]", "", shown.strip().lower()).replace(" ", "-")
        again = sum(a == slug or re.fullmatch(rf"{re.escape(slug)}-\d+", a) is not None for a in found)
        found.append(f"{slug}-{again}" if again else slug)
    return found


def section_numbers(text: str) -> dict[str, str]:
    """Anchor by number of the protocol's headings."""
    headings = HEADING.findall(without_code(text))
    return {h.split()[0].rstrip("."): a for h, a in zip(headings, anchors(text), strict=True) if h[0].isdigit()}


def without_code(text: str) -> str:
    """Fenced blocks blanked, line by line, so that places stay."""
    lines, inside = [], False
    for line in text.split("\n"):
        fence = line.lstrip().startswith("```")
        lines.append("" if inside or fence else line)
        inside ^= fence
    return "\n".join(lines)


def places(pattern: re.Pattern[str], text: str) -> Iterator[tuple[int, re.Match[str]]]:
    for match in pattern.finditer(text):
        yield text.count("\n", 0, match.start()) + 1, match


# ---- what does not resolve, one sentence each


def links(tree: Tree) -> Iterator[str]:
    for name, text in tree.pages.items():
        for line, match in places(LINK, re.sub(r"`[^`\n]*`", lambda m: " " * len(m[0]), without_code(text))):
            label, target = match.groups()
            where = f"{name}:{line}: link {target}"
            if ":" in target:
                if not WEB.fullmatch(target):
                    yield f"{where} is no web address"
                continue
            path, _, anchor = target.partition("#")
            page = tree.root / name if not path else (tree.root / name).parent / path
            relative = str(page.resolve()).removeprefix(f"{tree.root}/")
            if not tree.exists(relative):
                yield f"{where} leads to no file of the tree"
            elif anchor and anchor not in anchors(tree.texts.get(relative, "")):
                yield f"{where}: {relative} has no heading with the anchor {anchor}"
            elif relative == PROTOCOL and anchor != named_anchor(label, anchor, tree):
                yield f"{where} is not the section of its text, {label!r}"


def named_anchor(label: str, anchor: str, tree: Tree) -> str | None:
    """The anchor of the section that a link's text names; the link's own where it names none."""
    number = re.fullmatch(r"protocol (\d+(?:\.\d+)*)", label)
    return section_numbers(tree.texts[PROTOCOL]).get(number[1]) if number else anchor


def paths(tree: Tree) -> Iterator[str]:
    for name, text in tree.texts.items():
        for pattern in (DOCS_PATH, TREE_PATH):
            for line, match in places(pattern, text):
                path = match[0].rstrip(".-")
                if not tree.exists(path):
                    yield f"{name}:{line}: {path} is not there"


def python_files(tree: Tree) -> Iterator[str]:
    for name, text in tree.pages.items():
        for line, match in places(PYTHON_FILE, text):
            if match[0] not in tree.endings:
                yield f"{name}:{line}: no file {match[0]}"


def page_names(tree: Tree) -> Iterator[str]:
    for name, text in tree.texts.items():
        for line, match in places(PAGE, text):
            is_placeholder = match[0].removesuffix(".md").isupper() and match[0] != "README.md"
            if not is_placeholder and tree.page(match[0], name) is None:
                yield f"{name}:{line}: no page {match[0]}"


def dotted_names(tree: Tree) -> Iterator[str]:
    for name, text in told(tree):
        for line, match in places(DOTTED, text):
            problem = None if match[0].split(".")[1] in NO_MODULE else unresolved(tree.root, match[0])
            if problem:
                yield f"{name}:{line}: {problem}"


def imports(tree: Tree) -> Iterator[str]:
    """Of examples in pages."""
    for name, text in tree.pages.items():
        for line, match in places(IMPORT, text):
            for imported in match[2].split(","):
                problem = unresolved(tree.root, f"{match[1]}.{imported.split()[0]}")
                if problem:
                    yield f"{name}:{line}: {problem}"


def told(tree: Tree) -> Iterator[tuple[str, str]]:
    """Texts whole; of tests and benchmarks, whose variables may be named as a package is, comments and docstrings."""
    for name, text in tree.texts.items():
        is_beside = name.endswith(".py") and name.startswith(("tests/", "bench/"))
        yield name, comments_and_docstrings(text) if is_beside else text


def comments_and_docstrings(source: str) -> str:
    lines = source.split("\n")
    kept = [f"#{line.partition('# ')[2]}" if "# " in line else "" for line in lines]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                assert first.end_lineno is not None
                kept[first.lineno - 1 : first.end_lineno] = lines[first.lineno - 1 : first.end_lineno]
    return "\n".join(kept)


def unresolved(root: Path, dotted: str) -> str | None:
    """Why a dotted name is no module, no name defined in one and none in a class of one; None: it is."""
    parts = dotted.split(".")
    for count in range(len(parts), 0, -1):
        module = root.joinpath(*parts[:count])
        source = module.with_suffix(".py") if module.with_suffix(".py").is_file() else module / "__init__.py"
        rest = parts[count:]
        if source.is_file():
            defined = names_of(source)
            if rest and rest[0] not in defined:
                return f"{'.'.join(parts[:count])} defines no {rest[0]}"
            inside = defined.get(rest[0]) if rest else None
            if len(rest) > 1 and inside is not None and rest[1] not in inside:
                return f"{'.'.join(parts[: count + 1])} has no {rest[1]}"
            return None
        if module.is_dir() and not rest:
            return None
    return f"no module {dotted}"


@cache
def names_of(source: Path) -> dict[str, set[str] | None]:
    """What a module defines or imports; of a class also what its body defines."""
    return dict(_defined(ast.parse(source.read_text(encoding="utf-8")).body))


def _defined(body: Iterable[ast.stmt]) -> Iterator[tuple[str, set[str] | None]]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield node.name, None if node.bases else {name for name, _ in _defined(node.body)}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, None
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((alias.asname or alias.name, None) for alias in node.names)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from ((n.id, None) for target in targets for n in ast.walk(target) if isinstance(n, ast.Name))
        elif isinstance(node, ast.If | ast.Try | ast.With):
            yield from _defined(node.body)


def sections(tree: Tree) -> Iterator[str]:
    known = section_numbers(tree.texts[PROTOCOL])
    for name, text in tree.texts.items():
        patterns = (NAMED_SECTION, OWN_SECTION) if name == PROTOCOL else (NAMED_SECTION,)
        for pattern in patterns:
            for line, match in places(pattern, text):
                for number in re.findall(r"[\d.]+", match[1]):
                    if number not in known:
                        yield f"{name}:{line}: {PROTOCOL} has no section {number}"


def headings(tree: Tree) -> Iterator[str]:
    """`docs/queue.md, Exit codes`: a page and the heading meant."""
    for name, text in tree.texts.items():
        for line, match in places(BY_HEADING, text):
            page = tree.page(match[1], name)
            if page is not None and match[2] not in HEADING.findall(without_code(tree.texts[page])):
                yield f"{name}:{line}: {page} has no heading {match[2]!r}"


def outside(tree: Tree) -> Iterator[str]:
    for name, text in tree.texts.items():
        if Path(name).name != KNOWS_OUTSIDE:
            for line, content in enumerate(text.split("\n"), 1):
                yield from (f"{name}:{line}: {word} is not in the tree" for word in OUTSIDE if word in content)


CHECKS: tuple[Callable[[Tree], Iterator[str]], ...] = (
    *(links, paths, python_files, page_names, dotted_names, imports, sections, headings, outside),
)


@pytest.fixture(scope="module")
def tree() -> Tree:
    return Tree(REPO)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_every_reference_resolves(tree: Tree, check: Callable[[Tree], Iterator[str]]) -> None:
    found = list(check(tree))
    assert not found, "\n".join(found)


def test_the_tree_is_read_without_git_too(tree: Tree, tmp_path: Path) -> None:
    for name in ("docs/protocol.md", "core/spec.py", "README.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(tree.texts[name])
    assert Tree(tmp_path).files == ["README.md", "core/spec.py", "docs/protocol.md"]


SOUND = {
    PROTOCOL: "# Protocol\n\n## 4. Methods\n\n### 4.1 v1\nAs section 4.1 says.\n",
    "docs/queue.md": "# Queue\n\n## Exit codes\n",
    "core/__init__.py": "",
    "core/spec.py": '"""What a run is: docs/protocol.md 4.1; docs/queue.md, Exit codes."""\n\n'
    "class Run:\n    seed: int\n",
    "README.md": "See [the queue](docs/queue.md#exit-codes), [protocol 4.1](docs/protocol.md#41-v1), `core/spec.py`,\n"
    "`core.spec.Run.seed`, [grpo](https://arxiv.org/abs/2402.03300).\n\n    from core.spec import Run\n",
}


def tree_of(root: Path, files: dict[str, str]) -> Tree:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return Tree(root)


def test_a_sound_tree_passes(tmp_path: Path) -> None:
    assert [problem for check in CHECKS for problem in check(tree_of(tmp_path, SOUND))] == []


# file, what stands there, what is broken, the check that must say so
BROKEN = [
    ("README.md", "docs/queue.md#exit-codes", "docs/queues.md#exit-codes", links),
    ("README.md", "docs/queue.md#exit-codes", "docs/queue.md#exit-code", links),
    ("README.md", "docs/queue.md#exit-codes", "../queue.md", links),
    ("README.md", "[protocol 4.1]", "[protocol 4.2]", links),
    ("README.md", "https://arxiv.org/abs", "https:/arxiv.org/abs", links),
    ("README.md", "`core/spec.py`", "`core/specs.py`", paths),
    ("core/spec.py", "docs/queue.md, Exit", "docs/queues/index.html, Exit", paths),
    ("README.md", "`core/spec.py`", "`specs.py`", python_files),
    ("core/spec.py", "docs/queue.md, Exit", "queues.md, Exit", page_names),
    ("README.md", "core.spec.Run.seed", "core.specs.Run", dotted_names),
    ("README.md", "core.spec.Run.seed", "core.spec.Job", dotted_names),
    ("README.md", "core.spec.Run.seed", "core.spec.Run.seeds", dotted_names),
    ("core/spec.py", "What a run is:", "What core.runs is:", dotted_names),
    ("README.md", "import Run", "import Job", imports),
    ("core/spec.py", "docs/protocol.md 4.1", "docs/protocol.md 4.1, 4.2", sections),
    ("core/spec.py", "docs/protocol.md 4.1", "protocol 4.3", sections),
    ("core/spec.py", "docs/protocol.md 4.1", "docs/protocol.md\n# 4.3", sections),
    (PROTOCOL, "section 4.1", "sections 4.1 and 5", sections),
    ("core/spec.py", "Exit codes.", "Exit code.", headings),
    ("core/spec.py", "docs/protocol.md 4.1", "science.md 4.1", outside),
    ("README.md", "See ", "See ../shared and ", outside),
]


@pytest.mark.parametrize(("name", "right", "wrong", "check"), BROKEN)
def test_a_broken_reference_is_found(
    tmp_path: Path, name: str, right: str, wrong: str, check: Callable[[Tree], Iterator[str]]
) -> None:
    assert SOUND[name].count(right) == 1
    broken = tree_of(tmp_path, SOUND | {name: SOUND[name].replace(right, wrong)})
    assert [problem for problem in check(broken) if problem.startswith(f"{name}:")]
