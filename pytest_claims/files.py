"""Resolves the paths in claim files, and writes files atomically.

A path in a claim file leads below the claim file's folder or below a `--claims-data` folder, and nowhere else. Claim files come
from forks: a path that is absolute, contains `..`, is a URL, or leaves its folder through a symbolic link is refused. So a
claim can only read what the person who runs it made available.
"""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_claims.errors import EvaluationError, NotAttempted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

CLAIM_SUFFIXES = (".yaml", ".yml")
"""The suffixes of claim files."""

UNFINISHED = ".new"
"""The suffix of a temporary file of `write_whole`. A process that is killed while it writes leaves one behind."""

DATA_SUFFIXES = (".parquet", ".json", ".jsonl", ".csv", ".arrow")
"""The suffixes of data files. An id with one of them is a path, not a hub id."""


def find(text: str, folders: Sequence[Path]) -> Path | None:
    """The path `text` below the first of `folders` in which it exists; None if it exists in none.

    Raises:
        EvaluationError: the path leaves the folder that it starts in.
    """
    if Path(text).is_absolute() or "://" in text or ".." in Path(text).parts or text.startswith("~"):
        raise EvaluationError(
            f"The path {text!r} is refused: expected a path below the claim file's folder or a --claims-data folder."
        )
    for folder in folders:
        path = folder / text
        # os.path.exists returns False where Path.exists raises: for a name that is too long, or a folder without access.
        if os.path.exists(path):  # noqa: PTH110
            if not path.resolve().is_relative_to(folder.resolve()):
                raise EvaluationError(f"The path {text!r} is refused: a symbolic link leads out of {folder}.")
            return path
    return None


def need(text: str, folders: Sequence[Path], what: str) -> Path:
    """Like `find`, for a file that must be there.

    Raises:
        NotAttempted: no folder holds it.
        EvaluationError: see `find`; or a folder holds a name that differs from it by one slip of a finger.
    """
    path = find(text, folders)
    if path is None:
        for folder in folders:
            if (meant := _meant(text, folder)) is not None:
                raise EvaluationError(f"{what} {text} is not in {shown(folder)}, did you mean {meant!r}?")
        looked = ", ".join(shown(folder) for folder in folders)
        raise NotAttempted(
            f"{what} {text} was not found below {looked}.", "Name the folder that holds it with --claims-data=DIR."
        )
    return path


ENTRIES = 10_000
"""How many entries of a folder are looked at for a name that was meant."""


def _meant(text: str, folder: Path) -> str | None:
    """The path below `folder` that `text` would be without one slip; None if there is none.

    Only the first part of the path that does not exist is compared. Data that this machine lacks is not mistaken for a slip:
    two names that differ in a digit, or in more than one letter, are two names.
    """
    place = folder
    for depth, part in enumerate(parts := Path(text).parts):
        if os.path.lexists(place / part):
            place = place / part
            continue
        if not place.resolve().is_relative_to(folder.resolve()):
            return None
        try:
            with os.scandir(place) as entries:
                names = sorted(entry.name for entry in islice(entries, ENTRIES))
        except OSError:
            return None
        meant = next((name for name in names if _slipped(part, name)), None)
        return None if meant is None else Path(*parts[:depth], meant, *parts[depth + 1 :]).as_posix()
    return None


def _slipped(one: str, other: str) -> bool:
    """Whether two names differ by one letter that is missing, added, wrong or swapped with its neighbour, or in case only."""
    one, other = one.casefold(), other.casefold()
    if one == other:
        return True
    short, long = sorted((one, other), key=len)
    if len(long) < 4:
        return False
    start = next((i for i, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), len(short))
    if len(short) == len(long):
        wrong, swapped = (
            short[start + 1 :] == long[start + 1 :],
            short[start : start + 2] == long[start : start + 2][::-1],
        )
        same = wrong or (swapped and short[start + 2 :] == long[start + 2 :])
    else:
        same = short[start:] == long[start + 1 :] and len(long) == len(short) + 1
    return same and not (long[start].isdigit() or short[start : start + 1].isdigit())


def shown(path: Path) -> str:
    """`path` as the user would type it: relative to the working folder if it lies below that."""
    start = Path.cwd()
    return str(path.relative_to(start)) if path.is_relative_to(start) else str(path)


def is_local(identifier: str) -> bool:
    """Whether an id can only be a path: a hub id has exactly one slash and no suffix of a data file."""
    return identifier.count("/") != 1 or identifier.startswith(".") or identifier.endswith(DATA_SUFFIXES)


def write_whole(path: Path, data: bytes | Iterable[bytes], *, private: bool = False, keep: bool = False) -> None:
    """Write a file atomically: afterwards it has the whole new content, or the old one.

    The content is written to a temporary file and synced to the disk. Then the temporary file is renamed.

    Args:
        path: the file; a symbolic link of that name is replaced, not followed.
        data: the content, whole or in pieces.
        private: only the user may read the file.
        keep: an existing file is kept unchanged; of several writers the first wins.

    Raises:
        OSError: the file cannot be written.
    """
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}{UNFINISHED}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        with os.fdopen(os.open(new, flags, 0o600 if private else 0o666), "wb") as file:
            file.writelines((data,) if isinstance(data, bytes) else data)
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
    with suppress(OSError):  # sync the folder too, so that the new name survives a crash; not every system can
        handle = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


_PLAIN = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


def open_plain(path: Path, flags: int) -> int:
    """The file descriptor of a plain file. A symbolic link is refused, not followed.

    Raises:
        OSError: the file cannot be opened, or is not a plain file.
    """
    if path.is_symlink():
        raise OSError(0, "is a symbolic link, expected a plain file")
    handle = os.open(path, flags | _PLAIN, 0o666)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(0, "is not a plain file")
    return handle


def reason(error: OSError) -> str:
    """The reason of an error in words, without the path."""
    return (error.strerror or str(error) or type(error).__name__).rstrip(".")
