"""Which paths are claim files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import pytest


def is_claim_file(path: Path, config: pytest.Config) -> bool:
    """Whether a path that ends as claim files do is a claim file, as the ini option `claims_files` says."""
    globs: list[str] = config.getini("claims_files")
    return matches(path, config.rootpath, globs) if globs else below_claims(path, config.inipath)


def below_claims(path: Path, inipath: Path | None) -> bool:
    """Whether `path` lies below a folder named `claims`, whatever the rootdir is.

    Without a configuration file nothing says where the project ends, so that every folder above counts. With one, those
    above it do not: a project that is checked out below `~/claims/` is not all claims.
    """
    above = len(inipath.parent.parent.parts) if inipath and path.is_relative_to(inipath.parent) else 0
    return "claims" in path.parent.parts[above:]


def matches(path: Path, root: Path, globs: Iterable[str]) -> bool:
    """Whether `path` matches one of the globs of the ini option `claims_files`, taken from `root`.

    As in a shell: `*` and `?` stop at a slash, `**/` stands for any folders, or none. As in `python_files`: a glob without a
    slash is a file name in any folder.
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
