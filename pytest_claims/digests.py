"""SHA-256 digests as hexadecimal text: in full, or the first 16 digits where people read them."""

from __future__ import annotations

import hashlib
import json
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

SHORT = 16
"""Hexadecimal digits of a digest that people read. 64 bits distinguish any two files that were not made to collide."""


def of(content: str | bytes) -> str:
    """The full digest of text (in UTF-8) or bytes."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def short(content: str | bytes) -> str:
    """The first `SHORT` digits of the digest of text (in UTF-8) or bytes."""
    return of(content)[:SHORT]


def of_json(value: Any) -> str:
    """The full digest of a value, written as JSON with sorted keys."""
    return of(json.dumps(value, sort_keys=True))


def of_json_list(items: Iterable[Any], *, compact: bool = False) -> str:
    """What `of_json` gives for the list of these items, of which a few hundred are held at once.

    Args:
        items: the items.
        compact: write no spaces between the values.
    """
    total = hashlib.sha256()
    for piece in _list_pieces(items, (",", ":") if compact else (", ", ": ")):
        total.update(piece)
    return total.hexdigest()


def of_json_object(values: Mapping[str, Any], key: str, items: Iterable[Any]) -> str:
    """What `of_json` gives for `values` with the list of these items under `key`. A few hundred items are held at once."""
    total = hashlib.sha256()
    for place, name in enumerate(sorted({*values, key})):
        total.update(f"{', ' if place else '{'}{json.dumps(name)}: ".encode())
        for piece in _list_pieces(items) if name == key else (json.dumps(values[name], sort_keys=True).encode(),):
            total.update(piece)
    total.update(b"}")
    return total.hexdigest()


class JsonObject:
    """What `of_json` gives for a mapping, of which one entry is held at a time."""

    def __init__(self) -> None:
        self._total = hashlib.sha256(b"{")
        self._before = ""

    def add(self, key: str, value: Any) -> None:
        """Add an entry. Keys come sorted."""
        self._total.update(f"{self._before}{json.dumps(key)}: {json.dumps(value, sort_keys=True)}".encode())
        self._before = ", "

    def digest(self) -> str:
        """The full digest of the entries that were added."""
        found = self._total.copy()
        found.update(b"}")
        return found.hexdigest()


AT_ONCE = 256
"""How many items of a list are written as JSON at once."""


def _list_pieces(items: Iterable[Any], separators: tuple[str, str] = (", ", ": ")) -> Iterator[bytes]:
    rest, before = iter(items), "["
    while block := list(islice(rest, AT_ONCE)):
        yield f"{before}{json.dumps(block, sort_keys=True, separators=separators)[1:-1]}".encode()
        before = separators[0]
    yield b"[]" if before == "[" else b"]"


def of_file(path: Path) -> str:
    """The full digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_files(paths: Iterable[Path]) -> str:
    """The full digest over the names and the bytes of files, taken in the order of their paths."""
    return of_named((path, of_file(path)) for path in sorted(paths))


def of_named(known: Iterable[tuple[Path, str]]) -> str:
    """The same, from the digest of each file's bytes, in the order of their paths."""
    total = hashlib.sha256()
    for path, digest in known:
        total.update(path.name.encode() + b"\0" + bytes.fromhex(digest))
    return total.hexdigest()
