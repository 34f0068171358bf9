"""Decides which paths are claim files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import pytest


def is_claim_file(path: Path, config: pytest.Config) -> bool:
    """Whether a path with the suffix of a claim file is one, according to the ini option `claims_files`."""
    globs: list[str] = config.getini("claims_files")
    return matches(path, config.rootpath, globs) if globs else below_claims(path, config.inipath)


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
