"""Reads the rows of a JSON file that a claim names: ids, and what stands under a key of each. Every error says where."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import IO, TYPE_CHECKING, Any

from pytest_claims import digests, strict_json, text
from pytest_claims.errors import EvaluationError, nearest
from pytest_claims.strict_json import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from pytest_claims.spec import Noun

MAX_BYTES = 500_000_000
"""The most bytes of a file. COCO's largest annotation file of captions has 90 MB."""

MAX_LINES_BYTES = 20_000_000_000
"""The most bytes of a file with one object a line, of which one is held at a time."""

MAX_LINE = 64_000_000
"""The most bytes of a line."""

PIECE = 1 << 20
"""How many bytes of such a file are read at once."""

MAX_TEXT = 2_000_000
"""The most characters of a text. A caption usually has about sixty, so a longer text is a mistake."""

MAX_ID = 1_000
"""The most characters of an id. Ids are numbers or file names, and are shown in messages and reports."""

COCO = "annotations"
"""The key of the rows in COCO's annotation files, and in those of VQA."""

LINES = (".jsonl", ".ndjson")
"""The suffixes of files with one JSON object a line."""

_SURROGATE = re.compile("[\ud800-\udfff]")
"""A lone surrogate. JSON can contain one as an escape (`"\\ud800"`), but it cannot be encoded in UTF-8."""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """How the rows of a file are read, and what they are called."""

    path: str
    """As the claim names it."""
    id: str
    """The key of an object that holds the id."""
    key: str
    """The key of an object that holds the value."""
    noun: Noun
    """What a value is called."""
    extras: Sequence[str] = ()
    """The keys of texts that are shown with the row."""

    @property
    def row(self) -> str:
        """What a row is called."""
        return text.row(self.noun)

    @property
    def numbers(self) -> bool:
        """Whether a whole number is the same as its digits: a class by its index, an image by its number."""
        return self.noun in ("label", "ranking")

    def text(self, value: Any, name: str, hint: str = "") -> str:
        """A value as text.

        Args:
            value: what the file holds.
            name: the id of its row.
            hint: what to say behind the problem.

        Raises:
            EvaluationError: it is no text, is too long, or cannot be written as UTF-8.
        """
        if self.numbers and isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        a = text.a(self.noun)
        if not isinstance(value, str):
            raise EvaluationError(
                f"{self.path}: {self.row} {name!r}: expected {a} as text, got {kind(value)}{hint or '.'}"
            )
        if len(value) > MAX_TEXT:
            raise EvaluationError(f"{self.path}: {self.row} {name!r}: {a} of {len(value):,} characters.")
        if _SURROGATE.search(value):
            raise EvaluationError(
                f"{self.path}: {self.row} {name!r}: {a} holds a lone surrogate, which is not a character: {short(value)!r}."
            )
        return value

    def texts(self, value: Any, name: str, hint: str = "") -> list[str]:
        """A value as a list of texts; see `text`."""
        if isinstance(value, str) or (self.numbers and isinstance(value, int)):
            return [self.text(value, name)]
        if not isinstance(value, list):
            raise EvaluationError(
                f"{self.path}: {self.row} {name!r}: expected {self.noun}s as a list of text, got {kind(value)}{hint or '.'}"
            )
        return [self.text(item, name, hint) for item in value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of a file."""

    id: str
    value: Any
    keyed: bool
    """Whether the file is a mapping of ids."""
    hint: str = ""
    """What to say behind a problem with the value."""
    extras: Mapping[str, str] = field(default_factory=dict)


class Lines:
    """The values of a file with one JSON value a line, read one after the other, each time that they are asked for.

    Args:
        path: the file.
        file: how it is read.
    """

    def __init__(self, path: Path, file: File) -> None:
        self.path, self.file = path, file
        self.digest: str | None = None
        """The SHA-256 of the bytes that were read, once all were."""

    def __iter__(self) -> Iterator[Any]:
        """Raises `EvaluationError` if the file cannot be read, has a line that is no JSON, or is not what it was before."""
        shown, total = self.file.path, hashlib.sha256()
        with _openable(self.path, shown, MAX_LINES_BYTES) as opened:
            for number, line in enumerate(_lines(opened, total.update, shown), 1):
                if line.strip():
                    yield strict_json.parse(line, Source(shown, number), about=partial(_about, self.file))
        digest = total.hexdigest()
        if self.digest not in (None, digest):
            raise EvaluationError(f"{shown}: the file changed while it was read. Run the claim again when it is whole.")
        self.digest = digest


def _lines(opened: IO[bytes], digested: Callable[[bytes], object], shown: str) -> Iterator[bytes]:
    """The lines of a file, as `bytes.splitlines` cuts them, while at most `PIECE` bytes and a line are in memory."""
    rest = b""
    number = 0
    while piece := opened.read(PIECE):
        digested(piece)
        lines = (rest + piece).splitlines(keepends=True)
        # The last one may go on, and after a carriage return a line feed may follow.
        rest = lines.pop()
        yield from lines
        number += len(lines)
        if len(rest) > MAX_LINE:
            raise EvaluationError(f"{shown}:{number + 1}: a line of more than {MAX_LINE:,} bytes is refused.")
    if rest:
        yield rest


@contextmanager
def _openable(path: Path, shown: str, most: int) -> Iterator[IO[bytes]]:
    """A file, opened, unless it is something else or has more than `most` bytes."""
    try:
        if not path.is_file():
            raise EvaluationError(f"{shown}: expected a file, this is a folder or a device.")
        if path.stat().st_size > most:
            raise EvaluationError(f"{shown}: {path.stat().st_size:,} bytes; more than {most:,} are refused.")
        with path.open("rb") as opened:
            yield opened
    except OSError as error:
        raise EvaluationError(f"{shown}: cannot be read: {error.strerror}.") from None


def _about(file: File, values: dict[str, Any], double: str) -> str:
    return f" whose {file.id!r} is {kind(values[file.id])}" if file.id in values and file.id != double else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a file holds."""

    values: Any
    """The value of a JSON file; or `Lines`."""
    whole: str | None = None
    """The SHA-256 of the bytes that were read, if they were read whole."""

    @property
    def digest(self) -> str:
        """The SHA-256 of the bytes that were read, after all rows were."""
        return self.whole or str(self.values.digest)


def read(path: Path, file: File) -> Content:
    """The content of a JSON file, or the lines of a file of JSON lines, which are read when they are asked for.

    Duplicate keys are refused: otherwise the last of two values would be taken silently.

    Raises:
        EvaluationError: it cannot be read, is too large, or is no JSON.
    """
    if path.suffix.lower() in LINES:
        return Content(values=Lines(path, file))
    with _openable(path, file.path, MAX_BYTES) as opened:
        data = opened.read()
    try:
        values = strict_json.parse(data, Source(file.path), about=partial(_about, file))
    except EvaluationError as error:
        if "Extra data" in str(error):
            raise EvaluationError(f"{error} The name of a file with one object a line ends in {LINES[0]}.") from None
        raise
    return Content(values=values, whole=digests.of(data))


def by_id(content: Any) -> bool:
    """Whether a file is a mapping of ids, and not a list of objects, which COCO has under a key of its own."""
    return isinstance(content, Mapping) and COCO not in content


def rows(content: Any, file: File) -> Iterator[Row]:
    """The rows of a file: the entries of a mapping of ids, or the objects of a list.

    Raises:
        EvaluationError: a row has no id, or not the keys that the claim names.
    """
    if by_id(content):
        for given, held in content.items():
            hint = (
                nearest(given, [COCO]) or f"; expected {{id: {file.noun}}}, a list of objects, or one under '{COCO}'."
            )
            name = _name(given, f"the key {short(given)!r}", file.path)
            where = f"{file.row} {name!r}"
            if isinstance(held, Mapping) and file.noun != "caption":
                value = _field(held, file.key, where, file.path)
                yield Row(id=name, value=value, keyed=True, hint=hint, extras=_extras(held, where, file))
                continue
            if file.extras:
                raise EvaluationError(
                    f"{file.path}: {where} is no object, so it has no {file.extras[0]!r}; leave `extras` out."
                )
            yield Row(id=name, value=held, keyed=True, hint=hint)
        return
    for position, row in enumerate(_objects(content[COCO] if isinstance(content, Mapping) else content, file.path)):
        name = _id(row, file.id, position, file.path)
        where = f"{file.row} {name!r}"
        yield Row(
            id=name,
            value=_field(row, file.key, where, file.path),
            keyed=False,
            extras=_extras(row, where, file),
        )


def _objects(value: Any, shown: str) -> Iterator[Mapping[str, Any]]:
    if not isinstance(value, list | Lines):
        raise EvaluationError(f"{shown}: expected a list of objects, got {kind(value)}.")
    for position, row in enumerate(value):
        if not isinstance(row, Mapping):
            raise EvaluationError(f"{shown}: item {position}: expected an object, got {kind(row)}.")
        yield row


def _field(row: Mapping[str, Any], key: str, where: str, shown: str) -> Any:
    """What stands under a key. `answers.answer` is the `answer` of each object in the list `answers`, as VQA has it."""
    outer, dot, inner = key.rpartition(".")
    if key not in row and dot and isinstance(row.get(outer), list):
        return [_field(item, inner, f"{where}, {outer}", shown) for item in _objects(row[outer], shown)]
    if key not in row:
        raise EvaluationError(
            f"{shown}: {where} has no {key!r}{nearest(key, row)}; its keys: {', '.join(short(key) for key in list(row)[:12])}."
        )
    return row[key]


def _extras(row: Mapping[str, Any], where: str, file: File) -> dict[str, str]:
    """The named texts of a row. A list is joined; what is null in this row is left out."""
    found = {key: _field(row, key, where, file.path) for key in file.extras}
    return {
        key: file.text(_plain(value), where, hint=f" under {key!r}.")
        for key, value in found.items()
        if value is not None
    }


def _plain(value: Any) -> Any:
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    if isinstance(value, list) and all(isinstance(item, str | int | float) for item in value):
        return ", ".join(item if isinstance(item, str) else json.dumps(item) for item in value)
    return value


def _id(row: Mapping[str, Any], key: str, position: int, shown: str) -> str:
    """The id of a row as text, so that 42 and "42" are the same image."""
    value = _field(row, key, f"item {position}", shown)
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise EvaluationError(
            f"{shown}: item {position}: expected text or a whole number as {key!r}, got {kind(value)}."
        )
    return _name(str(value), f"item {position}", shown)


def _name(name: str, where: str, shown: str) -> str:
    """`name`, if it is valid as an id: not too long, and possible to write into a report."""
    if not 0 < len(name) <= MAX_ID:
        raise EvaluationError(f"{shown}: {where}: an id of {len(name):,} characters, expected 1 to {MAX_ID:,}.")
    if _SURROGATE.search(name):
        raise EvaluationError(f"{shown}: {where}: the id {name!r} holds a lone surrogate, which is not a character.")
    return name


def short(given: str, limit: int = 60) -> str:
    """A text, shortened, with lone surrogates escaped."""
    plain = given.encode("utf-8", "backslashreplace").decode()
    return plain if len(plain) <= limit else plain[: limit - 1] + "…"


def kind(value: Any) -> str:
    """What a value is, in words."""
    if value is None:
        return "null"
    if isinstance(value, Mapping):
        return "an object"
    return "a list" if isinstance(value, list) else repr(value)[:60]
