"""Files of an evidence folder: read as if a stranger had written them, and replaced whole or not at all."""

from __future__ import annotations

import json
import math
import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pytest_claims.errors import EvaluationError
from pytest_claims.files import shown

if TYPE_CHECKING:
    from pathlib import Path

MAX_FACTS = 1_000_000
"""Bytes of `plan.json` and of `run.json`, which have a few kilobytes."""

MAX_LINES = 500_000_000
"""Bytes of a file of lines; 5,000 images of COCO have 3 MB."""

MAX_LINE = 4_000_000
"""Bytes of a line."""

MAX_DEPTH = 20
"""Objects and lists inside each other; a plan has three."""

MAX_DIGITS = 18
"""Of a whole number: what a signed 64-bit integer holds in any case."""

_PLAIN = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


def open_plain(path: Path, flags: int) -> int:
    """A descriptor of a plain file, never of what a symbolic link leads to.

    Raises:
        OSError: it cannot be opened, or is no plain file.
    """
    if path.is_symlink():
        raise OSError(0, "is a symbolic link, expected a plain file")
    handle = os.open(path, flags | _PLAIN, 0o666)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(0, "is not a plain file")
    return handle


def read(path: Path, limit: int) -> bytes | None:
    """The bytes of a file; None if there is none.

    Raises:
        EvaluationError: it is not a plain file, too large, or not readable.
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


def parse(text: bytes, where: str) -> dict[str, Any]:
    """One JSON object, with finite numbers, every key once, and text that can be written as UTF-8.

    Args:
        text: the bytes.
        where: file and line, for the message.

    Raises:
        EvaluationError: it is anything else.
    """
    if len(text) > MAX_LINE:
        raise EvaluationError(f"{where}: more than {MAX_LINE:,} bytes are refused.")

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(items)
        if len(result) < len(items):
            keys = [key for key, _ in items]
            double = next(key for key in keys if keys.count(key) > 1)
            raise EvaluationError(f"{where}: the key {double!r} stands twice in one object.")
        return result

    def constant(name: str) -> Any:
        raise EvaluationError(f"{where}: {name} is not JSON.")

    def number(digits: str) -> float:
        value = float(digits)
        if not math.isfinite(value):
            raise EvaluationError(f"{where}: {digits} is not a finite number.")
        return value

    def whole(digits: str) -> int:
        if len(digits) > MAX_DIGITS + 1:
            raise EvaluationError(f"{where}: a whole number of more than {MAX_DIGITS} digits is refused.")
        return int(digits)

    try:
        value = json.loads(text, object_pairs_hook=pairs, parse_constant=constant, parse_float=number, parse_int=whole)
        if _depth(value) > MAX_DEPTH:
            raise RecursionError
        if b"\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except UnicodeDecodeError as error:
        raise EvaluationError(f"{where}: not UTF-8 (byte {error.start}).") from None
    except UnicodeEncodeError:
        raise EvaluationError(f"{where}: half a surrogate pair is no text.") from None
    except json.JSONDecodeError as error:
        raise EvaluationError(f"{where}: not JSON: {error.msg} (column {error.colno}).") from None
    except RecursionError:
        raise EvaluationError(f"{where}: nested too deeply.") from None
    if not isinstance(value, dict):
        raise EvaluationError(f"{where}: expected a JSON object, got {_kind(value)}.")
    return value


def replace(path: Path, data: bytes) -> None:
    """Write a file whole, or leave the old one; `OSError` where that fails.

    The new file has its content on the disk before it takes the old one's name.
    """
    new = path.with_name(f".{path.name}.new")
    with suppress(FileNotFoundError):
        new.unlink()  # of a run that was killed here; or of a stranger
    try:
        with os.fdopen(open_plain(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except BaseException:
        with suppress(OSError):
            new.unlink()
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Put a folder's list of names on the disk, where the system can do that."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def reason(error: OSError) -> str:
    """What went wrong, in words and without the path."""
    return (error.strerror or str(error) or type(error).__name__).rstrip(".")


def _depth(value: Any) -> int:
    """How many objects and lists stand inside each other."""
    depth, level = 0, [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [inner for item in level for inner in (item.values() if isinstance(item, dict) else item)]
    return depth


def _kind(value: Any) -> str:
    names = {list: "a list", str: "text", int: "a number", float: "a number", bool: "a truth value", type(None): "null"}
    return names.get(type(value), type(value).__name__)
