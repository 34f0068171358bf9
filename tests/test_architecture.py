"""Who may import whom, as ARCHITECTURE.md says."""

from __future__ import annotations

import ast
import re
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "pytest_claims"
HEAVY = (
    "torch",
    "transformers",
    "datasets",
    "nltk",
    "PIL",
    "tqdm",
    "numpy",
    "pydantic",
    "yaml",
    "jinja2",
    "markupsafe",
    "svg",
    "lxml",
    "pypdfium2",
    "ray",
)
AT_THE_TOP = {
    "torch": ("beam",),
    "numpy": ("metrics",),
    "pydantic": ("spec", "store.format", "reports.format", "ledger.format"),
    "yaml": ("spec",),
    "tqdm": ("meter",),
}
"""Where a heavy package may be imported with the module: what stands there is nothing without it, and imported when needed."""


def order() -> list[str]:
    """The rooms in the order of ARCHITECTURE.md's section "Who may import whom"."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").partition("## Who may import whom")[2]
    block = [line for line in text.partition("##")[0].splitlines() if line.startswith("    ")]
    return [room.strip() for room in " ".join(block).split("·") if room.strip()]


def path_of(module: str) -> Path:
    """The file of a module, by its dotted name."""
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def room_of(module: str) -> str:
    """`pytest_claims.spec.load` → `spec`."""
    return module.removeprefix("pytest_claims").strip(".").partition(".")[0]


def name_of(path: Path) -> str:
    """`pytest_claims/spec/load.py` → `pytest_claims.spec.load`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


PATHS = sorted(PACKAGE.rglob("*.py"))
KNOWN = {name_of(path) for path in PATHS}
"""The modules of the package."""


@cache
def modules() -> tuple[tuple[str, ast.Module], ...]:
    """The package's modules by dotted name. They are read once, by the first test that asks for them."""
    return tuple((name_of(path), ast.parse(path.read_text(encoding="utf-8"))) for path in PATHS)


class Imports(ast.NodeVisitor):
    """What a module imports at run time: `found`, and what of that at its top level: `top`.

    Args:
        module: its dotted name.
    """

    def __init__(self, module: str) -> None:
        self.module = module
        self.found: set[str] = set()
        self.top: set[str] = set()
        self.depth = 0

    def visit_If(self, node: ast.If) -> None:
        """What only a type checker imports does not count."""
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            for child in node.orelse:
                self.visit(child)
        else:
            self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """What a function imports is imported when it is called."""
        self.depth += 1
        self.generic_visit(node)
        self.depth -= 1

    def visit_Import(self, node: ast.Import) -> None:
        """`import a.b`."""
        self.add(alias.name for alias in node.names)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """`from a import b`, where b may be a module."""
        assert node.level == 0, f"{self.module}: relative import"
        name = node.module or ""
        below = {f"{name}.{alias.name}" for alias in node.names} & KNOWN
        self.add(sorted(below) if name.startswith("pytest_claims") and below else [name])

    def add(self, names: Iterator[str] | list[str]) -> None:
        """Note imported modules."""
        for name in names:
            self.found.add(name)
            if not self.depth:
                self.top.add(name)


@cache
def imports(name: str, tree: ast.Module) -> Imports:
    """What a module imports."""
    visitor = Imports(name)
    visitor.visit(tree)
    return visitor


def test_every_room_is_listed() -> None:
    """ARCHITECTURE.md lists every room of the package once, and no room that does not exist."""
    listed = order()
    assert len(set(listed)) == len(listed)
    assert set(listed) == {room_of(name) for name, _ in modules() if room_of(name)}


def test_a_room_imports_only_those_before_it() -> None:
    """At run time, also inside functions, a room imports only rooms before it; type annotations may look anywhere."""
    place = {room: index for index, room in enumerate(order())}
    wrong = [
        f"{name} imports {imported}"
        for name, tree in modules()
        for imported in imports(name, tree).found
        if imported.startswith("pytest_claims.") and room_of(imported) != room_of(name)
        if place.get(room_of(imported), 0) > place.get(room_of(name), 0)
    ]
    assert wrong == []


def test_no_circles() -> None:
    """No module imports itself by way of others, at run time, also inside functions."""
    graph = {name: {found for found in imports(name, tree).found if found in KNOWN} for name, tree in modules()}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


LONG_FILES: dict[str, str] = {}
"""Files of more than 400 lines, each with its reason."""

LONG_FUNCTIONS = {
    "pytest_claims.api.verify": "an argument for each option, with its sentence",
    "pytest_claims.plugin.pytest_addoption": "a list of options, one after the other",
}
"""Functions of more than 60 lines, each with its reason."""


def test_no_file_is_long_without_a_reason() -> None:
    """A file has at most 400 lines, or a reason here for more. A reason that no file needs is an error."""
    long = {name for name, _ in modules() if len(path_of(name).read_text(encoding="utf-8").splitlines()) > 400}
    assert long == set(LONG_FILES)


def test_no_function_is_long_without_a_reason() -> None:
    """A function of more than 60 lines does more than one thing, or has a reason here; a reason that none needs goes."""
    long = {
        f"{name}.{node.name}"
        for name, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= 60
    }
    assert long == set(LONG_FUNCTIONS)


def test_one_module_knows_the_kinds_of_devices() -> None:
    """Outside `devices`, no module calls `torch.cuda` or compares a device's kind: so a GPU's code can be rehearsed."""
    wrong = {
        f"{name}:{node.lineno}: {ast.unparse(node)}"
        for name, tree in modules()
        if name != "pytest_claims.devices"
        for node in ast.walk(tree)
        if (isinstance(node, ast.Attribute) and ast.unparse(node) in ("torch.cuda", "torch.backends.cuda"))
        or (isinstance(node, ast.Compare) and re.search(r"\.type (==|!=|in|not in) .*'(cpu|cuda)'", ast.unparse(node)))
    }
    assert wrong == set()


def test_nothing_imports_the_plugin() -> None:
    """The plugin is for pytest alone to import."""
    assert [n for n, tree in modules() if "pytest_claims.plugin" in imports(n, tree).found] == []


def test_metrics_stand_alone() -> None:
    """The metrics import nothing of the project but its errors and spools, so that they can be used without pytest."""
    found = {i for n, tree in modules() if room_of(n) == "metrics" for i in imports(n, tree).found}
    own = {room_of(name) for name in found if name.startswith("pytest_claims")}
    assert own <= {"metrics", "errors", "spool"}
    assert not any(name.split(".")[0] in ("pytest", "_pytest", "pluggy") for name in found)


@pytest.mark.parametrize("package", HEAVY)
def test_heavy_packages_are_imported_where_they_are_used(package: str) -> None:
    """No module imports a heavy package when it is imported itself, but for the rooms that are nothing without it."""
    allowed = tuple(f"pytest_claims.{place}." for place in AT_THE_TOP.get(package, ()))
    wrong = [
        name
        for name, tree in modules()
        if any(imported.split(".")[0] == package for imported in imports(name, tree).top)
        if not f"{name}.".startswith(allowed)
    ]
    assert wrong == []


def test_only_the_pytest_side_knows_pytest() -> None:
    """The rooms can be used from a program of any kind: pytest is imported by the pytest side alone."""
    wrong = {
        room_of(name)
        for name, tree in modules()
        if any(imported.split(".")[0] in ("pytest", "_pytest", "pluggy") for imported in imports(name, tree).found)
    }
    assert wrong <= {"plugin", "items", "state", "bar", "chronicle", "recorder", "hookspecs"}


def test_no_private_names_of_pytest() -> None:
    """Private names move between pytest's releases: none is imported."""
    assert [n for n, tree in modules() if any(i.startswith("_pytest") for i in imports(n, tree).found)] == []


def test_every_room_has_tests_of_its_name() -> None:
    """A room of the package has a folder of tests, or a file of tests, that is named after it."""
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    tests = ROOT / "tests"
    missing = [
        room for room in sorted(rooms) if not [*tests.glob(f"test_{room}.py"), *(tests / room).glob("test_*.py")]
    ]
    assert missing == []


def test_documents_name_tests_that_exist() -> None:
    """A path of a test in a document leads to a file, or to a folder."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    named = {name for page in pages for name in re.findall(r"tests/[\w/.-]*[\w/]", page.read_text(encoding="utf-8"))}
    assert "tests/sources/test_hub.py" in named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
