"""Compares the files that decide which claims run and which results are red: pytest's ini files, conftest.py and plugins."""

from __future__ import annotations

import ast
import os
import shlex
import tomllib
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from pytest_claims.baseline.tree import Tree

INI = ("pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg")
"""The names of pytest's configuration files, in the order in which pytest looks for them."""

ALWAYS = INI[:4]
"""The files that pytest uses even if they are empty. A new one makes pytest ignore the others."""

KEYS = ("addopts", "testpaths", "norecursedirs", "pythonpath")
"""The compared keys of pytest: what is collected, and with which options. All keys `claims_*` are compared too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChange:
    """A change in a file that decides how the claims run."""

    name: str
    said: str
    """What changed."""


def ini_changes(tree: Tree, folders: Iterable[str], search: Iterable[str]) -> Iterator[FileChange]:
    """The changes in pytest's configuration.

    Args:
        tree: the repository at the merge base.
        folders: the names of the folders that may hold a configuration for the given paths.
        search: the names of the folders in which pytest looks for its one configuration file, in pytest's order.
    """
    yield from _preferred(tree, list(search))
    for folder in sorted(set(folders)):
        for file in INI:
            name = os.path.normpath(os.path.join(folder, file))  # noqa: PTH118 - names, not paths of this machine
            before, now = _section(file, tree.read(name)), _section(file, _content(tree, name))
            if file in ALWAYS and (before is None) != (now is None):
                yield FileChange(name=name, said="added" if before is None else "removed")
            for key in sorted({*(before or {}), *(now or {})}):
                one, other = (before or {}).get(key), (now or {}).get(key)
                if (key in KEYS or key.startswith("claims_")) and _words(one) != _words(other):
                    yield FileChange(name=name, said=f"{key}: {_show(one)} → {_show(other)}")


def _preferred(tree: Tree, search: Iterable[str]) -> Iterator[FileChange]:
    """The change if pytest reads another configuration file than at the merge base, whatever the two files contain."""
    names = [(os.path.normpath(os.path.join(folder, file)), file) for folder in search for file in INI]  # noqa: PTH118 - names

    def first(read: Callable[[str], bytes | None]) -> str | None:
        return next((name for name, file in names if _is_read(file, read(name))), None)

    before, now = first(tree.read), first(lambda name: _content(tree, name))
    if before is None or before == now:
        return
    if now is not None:
        yield FileChange(name=now, said=f"pytest reads it now, and not {before}, which it read before")
    elif before.rpartition("/")[2] not in ALWAYS:  # `ini_changes` reports that one of these was removed
        yield FileChange(name=before, said="pytest read it before, and reads no configuration now")


def _content(tree: Tree, name: str) -> bytes | None:
    path = tree.root / name
    return path.read_bytes() if path.is_file() else None


def _is_read(file: str, content: bytes | None) -> bool:
    """Whether pytest uses a file as its configuration. Except for `ALWAYS`, a file must have a section for pytest."""
    return content is not None and (file in ALWAYS or bool(_section(file, content)))


def _section(file: str, content: bytes | None) -> Mapping[str, Any] | None:
    """The settings that pytest reads from a file; None if there is no file.

    The whole text of a file that cannot be parsed counts as one setting, so that any change of it is seen.
    """
    if content is None:
        return None
    text = content.decode("utf-8", "replace")
    try:
        if file.endswith(".toml"):
            found: Any = tomllib.loads(text)
            if file == "pyproject.toml":
                tool = found.get("tool", {}).get("pytest", {})
                found = {**tool, **tool.get("ini_options", {})}
            else:
                found = found.get("pytest", found)
            return found if isinstance(found, dict) else {}
        import iniconfig

        parsed = iniconfig.IniConfig(file, data=text)
        section = "tool:pytest" if file == "setup.cfg" else "pytest"
        return dict(parsed[section].items()) if section in parsed else {}
    except Exception:  # noqa: BLE001 - each parser has its own exceptions, and pytest reports what is wrong
        return {"addopts": text}


def _words(value: object) -> list[str]:
    """The items of a list, or the words of a text: pytest accepts both forms."""
    if value is None:
        return []
    if isinstance(value, list | tuple):
        return [str(item) for item in value]
    try:
        return shlex.split(str(value))
    except ValueError:
        return [str(value)]


def _show(value: object) -> str:
    return " ".join(_words(value)) or "not given"


def code_changes(tree: Tree, conftests: Iterable[str], loaded: Iterable[str]) -> Iterator[FileChange]:
    """The changes in code that runs with the claims. Changes in comments, docstrings and layout do not count.

    Args:
        tree: the repository at the merge base.
        conftests: the names of the conftest.py files that pytest would load for the claims. They need not exist.
        loaded: the names of the files of loaded plugins.
    """
    for name in sorted({*conftests, *loaded}):
        path = tree.root / name
        before = tree.read(name)
        now = path.read_bytes() if path.is_file() else None
        if before == now:
            continue
        if before is None or now is None:
            yield FileChange(name=name, said=f"{'added' if before is None else 'removed'}, and it runs with the claims")
        elif _meaning(before) != _meaning(now):
            yield FileChange(name=name, said="changed, and it runs with the claims")


def _meaning(source: bytes) -> object:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return source
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node
        ):
            node.body = body[1:] if isinstance(body, list) else node.body
    return ast.dump(tree)


def above(names: Iterable[str]) -> set[str]:
    """All folders above files, including the top level ("")."""
    return {"" if str(parent) == "." else str(parent) for name in names for parent in PurePosixPath(name).parents}
