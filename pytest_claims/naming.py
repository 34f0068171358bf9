"""How paths and claims are named: as the user would type them, as node ids, and back again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_claims import text

if TYPE_CHECKING:
    import pytest


def places(config: pytest.Config) -> tuple[tuple[Path, str | None], ...]:
    """The paths that pytest was given, each with the claim id that was named behind `::`."""
    found = []
    for argument in config.args:
        path, _, name = argument.partition("::")
        found.append((config.invocation_params.dir / path, name or None))
    return tuple(found)


def display(path: Path, config: pytest.Config) -> str:
    """`path` as the user would type it."""
    start = config.invocation_params.dir
    return text.name(os.path.relpath(path, start) if path.is_relative_to(start) else str(path))


def names(path: Path, config: pytest.Config) -> dict[str, Any]:
    """The name and the node id of a claim file whose own pytest cannot print safely; nothing for any other file."""
    plain = Path(os.path.relpath(path, config.rootpath)).as_posix()
    safe = text.name(plain)
    return {} if safe == plain else {"name": text.name(path.name), "nodeid": safe}


def file_of(named: str, root: Path) -> Path:
    """The claim file of a node id in which parts of the path may be escaped."""
    path = root
    for part in named.split("/"):
        escaped = "\\" in part and path.is_dir()
        found = (entry for entry in path.iterdir() if text.name(entry.name) == part) if escaped else iter(())
        path = next(found, path / part)
    return path


def nodeid(path: Path, config: pytest.Config) -> str:
    """The node id that a file has, or would have."""
    inside = path.is_relative_to(config.rootpath)
    return text.name(path.relative_to(config.rootpath).as_posix() if inside else path.as_posix())
