"""SHA-256, as the project takes it: in full, or its first 16 hexadecimal digits where people read it."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SHORT = 16
"""Hexadecimal digits of a digest that people read: 64 bits tell any two files apart that were not made to collide."""


def of(content: str | bytes) -> str:
    """Of text (in UTF-8) or bytes, in full."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def short(content: str | bytes) -> str:
    """Of text (in UTF-8) or bytes, the first `SHORT` digits."""
    return of(content)[:SHORT]


def of_json(value: Any) -> str:
    """Of a value as JSON with sorted keys, in full."""
    return of(json.dumps(value, sort_keys=True))


def of_file(path: Path) -> str:
    """Of a file's bytes, in full."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_files(paths: Iterable[Path]) -> str:
    """Over the names and the bytes of files, in the order of their paths; in full."""
    total = hashlib.sha256()
    for path in sorted(paths):
        total.update(path.name.encode() + b"\0" + bytes.fromhex(of_file(path)))
    return total.hexdigest()
