"""Files: where a path in a claim file leads, and how a file is written whole.

A path leads beside the claim file or below a `--claims-data` folder, and nowhere else.

Claim files come from forks. A path that is absolute, climbs with `..`, is a URL, or leaves its folder through a symbolic link
is refused, so that a claim cannot read what the person who runs it did not hand out.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_claims.errors import EvaluationError, NotAttempted

if TYPE_CHECKING:
    from collections.abc import Sequence

CLAIM_SUFFIXES = (".yaml", ".yml")
"""How the name of a claim file ends."""

UNFINISHED = ".new"
"""How the name of a file ends that `write_whole` has not finished; a process that is killed leaves one."""

DATA_SUFFIXES = (".parquet", ".json", ".jsonl", ".csv", ".arrow")


def find(text: str, folders: Sequence[Path]) -> Path | None:
    """The first of `folders` that holds `text`, joined with it; None if none does.

    Raises:
        EvaluationError: the path leaves the folder that it starts in.
    """
    if Path(text).is_absolute() or "://" in text or ".." in Path(text).parts or text.startswith("~"):
        raise EvaluationError(
            f"The path {text!r} is refused: expected a path below the claim file's folder or a --claims-data folder."
        )
    for folder in folders:
        path = folder / text
        # os.path.exists is False where Path.exists raises: a name that is too long, a folder that may not be entered.
        if os.path.exists(path):  # noqa: PTH110
            if not path.resolve().is_relative_to(folder.resolve()):
                raise EvaluationError(f"The path {text!r} is refused: a symbolic link leads out of {folder}.")
            return path
    return None


def need(text: str, folders: Sequence[Path], what: str) -> Path:
    """Like `find`, for a file that must be there.

    Raises:
        NotAttempted: no folder holds it.
        EvaluationError: see `find`.
    """
    path = find(text, folders)
    if path is None:
        looked = ", ".join(shown(folder) for folder in folders)
        raise NotAttempted(
            f"{what} {text} was not found below {looked}.", "Name the folder that holds it with --claims-data=DIR."
        )
    return path


def shown(path: Path) -> str:
    """`path` as the user would type it: relative to the working folder where it lies below."""
    start = Path.cwd()
    return str(path.relative_to(start)) if path.is_relative_to(start) else str(path)


def is_local(identifier: str) -> bool:
    """Whether an id that no folder holds can only have meant a path: a hub id has one slash and no file suffix."""
    return identifier.count("/") != 1 or identifier.startswith(".") or identifier.endswith(DATA_SUFFIXES)


def write_whole(path: Path, data: bytes, *, private: bool = False, keep: bool = False) -> None:
    """Write a file whole, or leave what was there; `OSError` where that fails.

    The content is on the disk before it takes the file's name.

    Args:
        path: the file; a symbolic link of that name is replaced, not followed.
        data: the content.
        private: only the user may read it.
        keep: a file that is there already stays as it is; of several writers the first wins.
    """
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}{UNFINISHED}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        with os.fdopen(os.open(new, flags, 0o600 if private else 0o666), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if keep:
            with suppress(FileExistsError):
                os.link(new, path)
            new.unlink()
        else:
            new.replace(path)
    except BaseException:
        with suppress(OSError):
            new.unlink()
        raise
    with suppress(OSError):  # the folder's list of names, where the system can put that on the disk
        handle = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
