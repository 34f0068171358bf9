"""Reads the files of an evidence folder as untrusted input."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pytest_claims import strict_json
from pytest_claims.errors import EvaluationError
from pytest_claims.files import open_plain as open_plain
from pytest_claims.files import reason as reason
from pytest_claims.files import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from pytest_claims.strict_json import Source

MAX_FACTS = 1_000_000
"""The most bytes of `plan.json` and of `run.json`. Both usually have a few kilobytes."""

MAX_LINES = 20_000_000_000
"""The most bytes of a `.jsonl` file, which is read line by line. The captions of 5,000 images of COCO have 3 MB."""

MAX_LINE = 4_000_000
"""The most bytes of a line."""


def read(path: Path, limit: int) -> bytes | None:
    """The bytes of a file; None if there is none.

    Raises:
        EvaluationError: the file is not plain, too large, or not readable.
    """
    try:
        with os.fdopen(open_plain(path, os.O_RDONLY), "rb") as file:
            data = file.read(limit + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise EvaluationError(f"{shown(path)}: {reason(error)}.") from None
    if len(data) > limit:
        raise EvaluationError(f"{shown(path)}: more than {limit:,} bytes are refused.")
    return data


def lines(path: Path) -> Iterator[bytes]:
    """The lines of a file with their ends, one after the other. A line of more than `MAX_LINE` bytes comes in pieces.

    Raises:
        EvaluationError: the file is not there, not plain, too large, or not readable.
    """
    try:
        with os.fdopen(open_plain(path, os.O_RDONLY), "rb") as file:
            if os.fstat(file.fileno()).st_size > MAX_LINES:
                raise EvaluationError(f"{shown(path)}: more than {MAX_LINES:,} bytes are refused.")
            while line := file.readline(MAX_LINE + 2):
                yield line
    except FileNotFoundError:
        raise EvaluationError(f"{shown(path)}: is missing.") from None
    except OSError as error:
        raise EvaluationError(f"{shown(path)}: {reason(error)}.") from None


def holds(path: Path, pieces: Iterable[bytes]) -> bool:
    """Whether a file has exactly the content that these pieces make up."""
    try:
        with os.fdopen(open_plain(path, os.O_RDONLY), "rb") as file:
            return all(file.read(len(piece)) == piece for piece in pieces) and not file.read(1)
    except OSError:
        return False


def parse(text: bytes, where: Source) -> dict[str, Any]:
    """The JSON object of a text that is one line of a file; see `strict_json.parse`.

    Raises:
        EvaluationError: the text is too long, or is not one JSON object.
    """
    if len(text) > MAX_LINE:
        raise EvaluationError(f"{where.where}: more than {MAX_LINE:,} bytes are refused.")
    value = strict_json.parse(text, where)
    if not isinstance(value, dict):
        raise EvaluationError(f"{where.where}: expected a JSON object, got {_kind(value)}.")
    return value


def _kind(value: Any) -> str:
    names = {list: "a list", str: "text", int: "a number", float: "a number", bool: "a truth value", type(None): "null"}
    return names.get(type(value), type(value).__name__)
