"""Appends to a ledger, under a lock of the operating system. A line is acknowledged when it is synced to the disk.

A writer that is killed leaves whole lines and at most one torn one. The next writer takes the torn one out and notes it.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from pytest_claims import digests, files
from pytest_claims.errors import ClaimsError, SettingsError
from pytest_claims.ledger import book, lines
from pytest_claims.ledger.lines import Draft

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from pytest_claims.ledger.book import Book

BLOCK = 1 << 16
"""Bytes that are read at a time when the last line is looked for."""


def append(path: Path, drafts: Sequence[Draft]) -> list[str]:
    """Append lines; their digests, in order. When this returns, the lines are on the disk.

    Raises:
        ClaimsError: the ledger cannot be written, or its last line is no line of a ledger.
    """
    if not drafts:
        return []
    with _open(path) as handle:
        return _write(path, handle, list(drafts))


def retract(path: Path, given: str, reason: str) -> str:
    """Retract a verdict; the digest of the new line.

    Args:
        path: the ledger.
        given: the id of the verdict, or the beginning of it; see `Book.find`.
        reason: what readers of the public history shall know.

    Raises:
        SettingsError: there is no such verdict, it is retracted already, or the reason says nothing.
        ClaimsError: see `append`.
    """
    if not reason.strip():
        raise SettingsError(
            "--reason: expected why the verdict does not hold; it is shown wherever the verdict is cited."
        )
    book.read(path)  # names a path that does not exist, before a file is made
    with _open(path) as handle:
        known = book.load(path)
        entry = known.find(given)
        if (earlier := known.reason(entry)) is not None:
            raise SettingsError(f"{given} was retracted on {known.retracted[entry.digest].at[:10]} already: {earlier}")
        about = known.about(entry)
        said = {name: about[name] for name in ("claim", "kind", "paper", "verdict")}
        draft = Draft(event="retraction", about={**said, "reason": reason.strip(), "retracts": entry.digest})
        return _write(path, handle, [draft])[0]


def update(path: Path, choose: Callable[[Book], Sequence[Draft]]) -> Book:
    """Append what `choose` makes of the ledger as it is under the lock; the ledger after that.

    Raises:
        SettingsError: the ledger has a problem; see `book.load`.
        ClaimsError: see `append`.
    """
    with _open(path) as handle:
        known = book.load(path)
        drafts = choose(known)
        if not drafts:
            return known
        _write(path, handle, list(drafts))
        return book.load(path)


@contextmanager
def _open(path: Path) -> Iterator[int]:
    """The file descriptor of the ledger, locked. The lock file stays: to remove it would let two writers in."""
    from filelock import FileLock

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock")):
            new = not path.exists()
            handle = files.open_plain(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
            try:
                if new:
                    _sync_folder(path.parent)
                yield handle
            finally:
                os.close(handle)
    except (OSError, NotImplementedError) as error:
        why = files.reason(error) if isinstance(error, OSError) else str(error)
        raise ClaimsError(f"The ledger {path} cannot be written: {why}.") from None


def _write(path: Path, handle: int, drafts: list[Draft]) -> list[str]:
    size = _repair(handle, drafts)
    parents, latest = _heads(path, handle, size)
    made, written = [], b""
    for draft in drafts:
        latest = lines.after([latest], lines.now())
        line, digest = lines.encode(draft, at=latest, offset=size + len(written), parents=parents)
        parents = [digest]
        made.append(digest)
        written += line
    rest = memoryview(written)
    try:
        while rest:
            rest = rest[os.write(handle, rest) :]
        os.fsync(handle)
    except OSError:
        with suppress(OSError):  # a file can be shortened even if the disk is full
            os.ftruncate(handle, size)
        raise
    return made[-len(drafts) :]


def _repair(handle: int, drafts: list[Draft]) -> int:
    """Take a torn line out, and put a note about it before the drafts; the size of the file then."""
    size = os.fstat(handle).st_size
    start, last = _tail(handle, size)
    if not last or last.endswith(b"\n"):
        return size
    if lines.holds(last):  # only the line break is missing: an editor took it off, or a writer was stopped just there
        os.write(handle, b"\n")
        return size + 1
    os.ftruncate(handle, start)
    drafts.insert(0, Draft(event="repair", about={"bytes": len(last), "digest": digests.of(last)}))
    return start


def _tail(handle: int, size: int) -> tuple[int, bytes]:
    """Where the last line begins, and the line; with its line break, if it has one."""
    start, found = size, b""
    while start > 0:
        step = min(BLOCK, start)
        start -= step
        os.lseek(handle, start, os.SEEK_SET)
        found = os.read(handle, step) + found
        if (at := found.rfind(b"\n", 0, len(found) - 1)) != -1:
            return start + at + 1, found[at + 1 :]
    return 0, found


def _heads(path: Path, handle: int, size: int) -> tuple[list[str], str]:
    """The digests that the next line names as its parents, and the latest time among them.

    A line states where it was appended. If the last line still stands there, nothing was put before it since, and it is the
    only head: the file need not be read. After a merge it stands elsewhere.
    """
    start, last = _tail(handle, size)
    if not last:
        return [], ""
    line = last.removesuffix(b"\n")
    try:
        said = lines.head(line) if lines.holds(line) else None
    except (ValueError, KeyError, TypeError, RecursionError):
        said = None
    if said is None:
        raise ClaimsError(
            f"The ledger {path} cannot be written: its last line was edited, or is no line of a ledger. "
            f"See `python -m pytest_claims ledger verify {path}`."
        )
    if said["offset"] == start:
        return [lines.stated(line)], str(said["at"])
    known = book.load(path)
    heads = list(known.heads)
    return heads, max(entry.at for entry in known.entries if entry.digest in heads)


def _sync_folder(folder: Path) -> None:
    """Sync the name of a new file to the disk, where the system can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
