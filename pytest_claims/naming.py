"""Names of paths and claims: paths as the user types them, node ids, and the way back from a node id to a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_claims import text

if TYPE_CHECKING:
    import pytest


def places(config: pytest.Config) -> tuple[tuple[Path, str | None], ...]:
    """The paths on pytest's command line, each with the claim id behind `::`, or None if there is none."""
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
    """A safe name and node id for a claim file whose path is not safe to print; an empty dictionary for any other file."""
    plain = Path(os.path.relpath(path, config.rootpath)).as_posix()
    safe = text.name(plain)
    return {} if safe == plain else {"name": text.name(path.name), "nodeid": safe}


def file_of(named: str, root: Path) -> Path:
    """The claim file of a node id, in which parts of the path may be escaped by `text.name`."""
    path = root
    for part in named.split("/"):
        escaped = "\\" in part and path.is_dir()
        found = (entry for entry in path.iterdir() if text.name(entry.name) == part) if escaped else iter(())
        path = next(found, path / part)
    return path


def nodeid(path: Path, config: pytest.Config) -> str:
    """The node id of a file, which need not exist."""
    inside = path.is_relative_to(config.rootpath)
    return text.name(path.relative_to(config.rootpath).as_posix() if inside else path.as_posix())
