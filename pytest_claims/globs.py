"""Decides which paths are claim files."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from pytest_claims import text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import pytest


def is_claim_file(path: Path, config: pytest.Config) -> bool:
    """Whether a path with the suffix of a claim file is one, according to the ini option `claims_files`."""
    globs: list[str] = config.getini("claims_files")
    return matches(path, config.rootpath, globs) if globs else below_claims(path, config.inipath)


def why_unread(paths: Sequence[Path], config: pytest.Config) -> str:
    """Why YAML files were not read as claim files, and what would make them some. The files are not opened.

    Args:
        paths: the files, at least one.
        config: the configuration of the session.
    """
    start = config.invocation_params.dir
    first = text.name(os.path.relpath(paths[0], start) if paths[0].is_relative_to(start) else str(paths[0]))
    others = f" and {len(paths) - 1:,} more YAML files were" if len(paths) > 1 else " was"
    asked: list[str] = config.getini("claims_files")
    rule = f"matches claims_files = {' '.join(asked)}" if asked else "lies below a folder named claims"
    if not asked and "claims" in paths[0].parent.parts:
        rule += f", which is not above {text.name(str(config.inipath))}"
    return text.line(
        f"{first}{others} not read for claims: a claim file {rule}, or is named on the command line: pytest {first}"
    )


def below_claims(path: Path, inipath: Path | None) -> bool:
    """Whether `path` lies below a folder named `claims`, independent of the rootdir.

    Without a configuration file, the project's top folder is not known, and every folder above `path` counts. With one, the
    folders above the configuration file do not count: in a project that is checked out below `~/claims/`, not every YAML file
    is a claim file.
    """
    above = len(inipath.parent.parent.parts) if inipath and path.is_relative_to(inipath.parent) else 0
    return "claims" in path.parent.parts[above:]


def matches(path: Path, root: Path, globs: Iterable[str]) -> bool:
    """Whether `path`, relative to `root`, matches one of the globs of the ini option `claims_files`.

    As in a shell, `*` and `?` match no slash, and `**/` matches any number of folders, also none. As in pytest's option
    `python_files`, a glob without a slash matches a file name in any folder.
    """
    name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
    return any(re.fullmatch(_pattern(glob), name) for glob in globs)


_WILD = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


def _pattern(glob: str) -> str:
    glob = glob.removeprefix("./") if "/" in glob else f"**/{glob}"
    tokens = re.findall(r"\*\*/|\*\*|\*|\?|\[!?[^]/]+\]|.", glob)
    return "".join(
        _WILD.get(token) or (re.sub(r"^\[!", "[^", token) if len(token) > 1 else re.escape(token)) for token in tokens
    )
