"""A whole ledger as it was read: its verdicts in order, which of them are current, and what is wrong with the file.

The lines form a graph, as git's commits do: each names the last line before it, and the first line after a merge of two
branches names the last line of both. git's union merge keeps the lines of both sides, so the merged file is a ledger as it
stands.
"""

from __future__ import annotations

import gc
import mmap
import os
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from pytest_claims import digests, files
from pytest_claims.errors import SettingsError, first_line
from pytest_claims.ledger import lines
from pytest_claims.ledger.lines import Key, key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from pytest_claims.reports.format import Record

MAX_BYTES = 8 * 2**30
"""The most bytes of a ledger: 1.5 million verdicts."""

MAPPED = 256 * 2**20
"""Bytes from which a ledger is mapped into memory instead of read."""

SHORTEST = 4
"""The fewest digits of an id that a person may give."""


class Entry(NamedTuple):
    """One line, as far as the order and the state of verdicts depend on it. `Book.about` has the rest of its summary."""

    number: int
    """Of the line in the file, from 1."""
    digest: str
    """The SHA-256 that the line states; the line's name."""
    event: str
    key: Key | None
    """Which claim it is about; None: it is about none."""
    verdict: str
    """The id of the verdict that it is about."""
    at: str
    agent: str
    parents: tuple[str, ...]
    retracts: str
    """The digest of the line that it retracts; empty: it retracts none."""
    start: int
    """Where the line begins in the file, in bytes."""
    end: int
    """Where its line break is."""


Data: TypeAlias = bytes | mmap.mmap
Bounds: TypeAlias = tuple[int, int, int]
"""The number of a line, where it begins, and where its line break is."""

Broken: TypeAlias = "Callable[[Data, Sequence[Bounds]], AbstractSet[int]]"
"""A way to do the work of `broken_lines`."""

HEAD = 768
"""Bytes in which the part of a line before its record usually ends."""

_when = attrgetter("at", "digest")


@dataclass(slots=True, kw_only=True)
class Book:
    """The lines of a ledger. Reading reports problems and never corrects them."""

    name: str
    """The file, as messages name it."""
    data: bytes | mmap.mmap = b""
    entries: list[Entry] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """What is wrong, one sentence each, with the file and the line."""
    notes: list[str] = field(default_factory=list)
    """What a reader should know, and what is no fault."""
    _verdicts: dict[Key, list[Entry]] | None = None
    _retracted: dict[str, Entry] | None = None

    @property
    def verdicts(self) -> Mapping[Key, Sequence[Entry]]:
        """The verdicts on each claim, oldest first, the retracted ones among them."""
        if self._verdicts is None:
            self._verdicts = {}
            for entry in self.entries:
                if entry.event == "verdict" and entry.key is not None:
                    self._verdicts.setdefault(entry.key, []).append(entry)
            for found in self._verdicts.values():
                # The time of a line is later than that of its parents. The order of two branches does not depend on who merged
                # whom.
                found.sort(key=_when)
        return self._verdicts

    @property
    def retracted(self) -> Mapping[str, Entry]:
        """The retraction of each retracted verdict, by the digest of the verdict's line; of several, the first."""
        if self._retracted is None:
            self._retracted = {}
            for entry in self.entries:
                if entry.retracts:
                    self._retracted.setdefault(entry.retracts, entry)
        return self._retracted

    def current(self, key: Key) -> Entry | None:
        """The current verdict on a claim: the newest one. If that was retracted, there is none.

        An older verdict does not become current again: a retraction makes no claim look better than a new run would.
        """
        found = self.verdicts.get(key, ())
        return found[-1] if found and found[-1].digest not in self.retracted else None

    def is_current(self, entry: Entry) -> bool:
        """Whether a verdict is the current one on its claim."""
        now = self.current(entry.key) if entry.key else None
        return now is not None and now.digest == entry.digest

    @property
    def heads(self) -> tuple[str, ...]:
        """The lines that no other line names as its parent, sorted: one, or one for each branch of a merge."""
        named = {parent for entry in self.entries for parent in entry.parents}
        return tuple(sorted({entry.digest for entry in self.entries} - named))

    def text(self, entry: Entry) -> bytes:
        """The bytes of a line, without its line break."""
        return bytes(self.data[entry.start : entry.end])

    def about(self, entry: Entry) -> dict[str, Any]:
        """The summary that a line begins with; see `format.About` and `format.Retracted`."""
        said: dict[str, Any] = lines.head(self.text(entry))["about"]
        return said

    def reason(self, entry: Entry) -> str | None:
        """Why a verdict was retracted; None if it was not."""
        gone = self.retracted.get(entry.digest)
        return None if gone is None else str(self.about(gone)["reason"])

    def line(self, entry: Entry) -> Any:
        """All of a line, as its model in `format.py`.

        Raises:
            SettingsError: the line is not valid.
        """
        from pydantic import ValidationError

        from pytest_claims.ledger.format import MODELS

        try:
            return MODELS[entry.event].model_validate_json(self.text(entry))
        except (ValidationError, KeyError) as error:
            raise SettingsError(f"{self.name}:{entry.number}: {invalid(error)}.") from None

    def values(self, entry: Entry) -> dict[str, Any]:
        """All of a line as plain values; see `line`."""
        found: dict[str, Any] = self.line(entry).model_dump(mode="json", by_alias=True)
        return found

    def record(self, entry: Entry) -> Record:
        """The record of a verdict; see `line`."""
        found: Record = self.line(entry).record
        return found

    def find(self, given: str) -> Entry:
        """The verdict with an id, or with the beginning of one: of its line (`list` shows it) or of the verdict itself.

        Raises:
            SettingsError: there is none, or more than one.
        """
        if len(given) < SHORTEST:
            raise SettingsError(
                f"{given!r}: expected at least {SHORTEST} digits of an id; `ledger list` shows the ids."
            )
        every = [entry for found in self.verdicts.values() for entry in found]
        found = [entry for entry in every if entry.digest.startswith(given)]
        found = found or [entry for entry in every if entry.verdict.startswith(given)]
        if not found:
            raise SettingsError(f"{self.name} holds no verdict {given}; `ledger list --all` shows the ids.")
        if len(found) > 1:
            which = ", ".join(entry.digest[: digests.SHORT] for entry in found[:5])
            more = f" and {len(found) - 5:,} more" if len(found) > 5 else ""
            raise SettingsError(f"{given} is not one verdict: {which}{more}. Give one of these.")
        return found[0]


def load(path: Path, *, strict: bool = True, check: bool = True, broken: Broken | None = None) -> Book:
    """The ledger at a path; an empty one where no file is.

    Args:
        path: the file.
        strict: refuse a file with a problem.
        check: compute the digest of each line, and follow the chain.
        broken: what computes the digests; see `broken_lines`.

    Raises:
        SettingsError: the file cannot be read, or has a problem and `strict` is asked for.
    """
    try:
        handle = files.open_plain(path, os.O_RDONLY)
    except FileNotFoundError:
        return Book(name=str(path))
    except OSError as error:
        raise SettingsError(f"The ledger {path} cannot be read: {files.reason(error)}.") from None
    with os.fdopen(handle, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > MAX_BYTES:
            raise SettingsError(f"The ledger {path} cannot be read: more than {MAX_BYTES:,} bytes are refused.")
        # A mapped file must not become shorter, as when a writer takes a torn line out. So only what is large is mapped.
        large = size > MAPPED
        data: bytes | mmap.mmap = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) if large else file.read(size)
    book = parse(data, str(path), check=check, broken=broken)
    if strict and book.problems:
        more = f" ({len(book.problems) - 1:,} more problems)" if len(book.problems) > 1 else ""
        raise SettingsError(
            f"{book.problems[0]}{more} Nothing is read from a ledger that was changed: take back the change (git checkout), "
            f"or see `python -m pytest_claims ledger verify {path}`."
        )
    return book


def read(path: Path) -> Book:
    """The ledger at a path for a list: the digests of its lines are not computed.

    Raises:
        SettingsError: there is no such file, or it cannot be read.
    """
    if not os.path.lexists(path):
        raise SettingsError(f"There is no ledger {path}; `pytest --claims-ledger={path}` makes one.")
    return load(path, strict=False, check=False)


def parse(data: Data, name: str, *, check: bool = True, broken: Broken | None = None) -> Book:
    """The ledger in `data`.

    Args:
        data: the content of the file.
        name: the file, for messages.
        check: compute the digest of each line, and follow the chain.
        broken: what computes the digests; see `broken_lines`.
    """
    book = Book(name=name, data=data)
    collecting = gc.isenabled()
    gc.disable()  # 100,000 lines are kept, none of them in a circle; to look for circles would take half of the time
    try:
        bounds = _bounds(book)
        _read_lines(book, bounds, (broken or broken_lines)(data, bounds) if check else None)
    finally:
        if collecting:
            gc.enable()
    return book


def broken_lines(data: Data, bounds: Sequence[Bounds]) -> AbstractSet[int]:
    """The numbers of the lines whose text does not have the digest that they state."""
    return {number for number, start, end in bounds if not lines.holds(data[start:end])}


def _read_lines(book: Book, bounds: Sequence[Bounds], broken: AbstractSet[int] | None) -> None:
    """Read the lines. `broken` holds the numbers of the lines that do not have their digest; None: nothing is checked."""
    data, name, check = book.data, book.name, broken is not None
    known: set[str] = set()
    for number, start, end in bounds:
        if broken and number in broken:
            line = data[start:end]
            book.problems.append(f"{name}:{number}: {_edited(line)}")
            if stated := lines.stated(line):
                known.add(stated)  # named once: the lines after it are not at fault
            continue
        entry = _entry(book, number, start, end)
        if entry is None:
            continue
        if entry.digest in known:
            book.notes.append(f"{name}:{number}: repeats a line, as a merge of two branches can; it counts once.")
            continue
        if check:
            _follow(book, entry, known)
        known.add(entry.digest)
        book.entries.append(entry)
    if check and not book.problems:
        _joined(book)


def _bounds(book: Book) -> list[Bounds]:
    """The number, the start and the end of each whole line; what is torn is noted."""
    data, start, found = book.data, 0, list[Bounds]()
    while (end := data.find(b"\n", start)) != -1:
        found.append((len(found) + 1, start, end))
        start = end + 1
    rest = len(data) - start
    if rest:
        book.notes.append(
            f"{book.name}: {rest:,} bytes after the last whole line: a writer was stopped before the line was acknowledged. "
            "The next writer takes them out, and says so in a line."
        )
    return found


def _entry(book: Book, number: int, start: int, end: int) -> Entry | None:
    if found := lines.quick(book.data[start : min(end, start + HEAD)]):
        claim, kind, paper, verdict, agent, at, parent = found
        digest = book.data[end - 66 : end - 2].decode("ascii", "replace")  # `verify` looks at what stands around it
        key, parents = Key(paper, claim, kind), (parent,) if parent else ()
        return Entry(number, digest, "verdict", key, verdict, at, agent, parents, "", start, end)
    digest = lines.stated(book.data[max(start, end - lines.END) : end])
    try:
        said = lines.head(book.data[start:end])
        about, event = said["about"], said["event"]
        about_claim = event in ("verdict", "retraction")
        return Entry(
            number=number,
            digest=digest,
            event=event,
            key=key_of(about) if about_claim else None,
            verdict=str(about["verdict"]) if about_claim else "",
            at=str(said["at"]),
            agent=str(said["agent"]),
            parents=tuple(said["parents"]),
            retracts=str(about["retracts"]) if event == "retraction" else "",
            start=start,
            end=end,
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        book.problems.append(f"{book.name}:{number}: it is no line of a ledger ({first_line(error)}).")
        return None


def _edited(line: bytes) -> str:
    """What to say of a line whose digest is wrong."""
    stated = lines.stated(line)
    if line.endswith(b"\r"):
        return "its line end was changed; the file needs `-text` in .gitattributes."
    try:
        about = lines.head(line)["about"]
        who = f" (claim {about.get('claim')}, verdict {about.get('verdict')})"
    except (ValueError, KeyError, TypeError, RecursionError):
        who = ""
    if not stated:
        return f"it is no line of a ledger: it does not end with its sha256{who}."
    return f"it was edited{who}: it states the digest {stated[: digests.SHORT]}, and its text has another."


def _follow(book: Book, entry: Entry, known: set[str]) -> None:
    """Check that a line's parents stand before it."""
    where = f"{book.name}:{entry.number}"
    if not entry.parents and book.entries:
        book.notes.append(f"{where}: begins a second chain: two branches each began a ledger.")
    for parent in entry.parents:
        if parent not in known:
            book.problems.append(
                f"{where}: the line before it, {parent[: digests.SHORT]}, is missing: a line was removed or moved."
            )
    if entry.retracts and entry.retracts not in known:
        book.problems.append(f"{where}: retracts a verdict that does not stand before it.")


def _joined(book: Book) -> None:
    """Note the branches that no line has joined yet."""
    heads = book.heads
    if len(heads) > 1:
        book.notes.append(
            f"{book.name}: {len(heads)} branches were merged, and no line has joined them yet; the next line does."
        )


def invalid(error: Exception) -> str:
    """Why a line is not valid, in words."""
    from pydantic import ValidationError

    if isinstance(error, ValidationError):
        found = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, found["loc"])) or "the line"
        return f"{place}: {first_line(found['msg'])}"
    return f"an unknown event {error}"
