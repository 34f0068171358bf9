"""SHA-256 digests as hexadecimal text: in full, or the first 16 digits where people read them."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
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


def of_file(path: Path) -> str:
    """The full digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_files(paths: Iterable[Path]) -> str:
    """The full digest over the names and the bytes of files, taken in the order of their paths."""
    total = hashlib.sha256()
    for path in sorted(paths):
        total.update(path.name.encode() + b"\0" + bytes.fromhex(of_file(path)))
    return total.hexdigest()
