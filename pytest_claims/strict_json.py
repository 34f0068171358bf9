"""A strict reader for JSON that somebody else wrote. It refuses duplicate keys, NaN and deep nesting.

Each problem is one sentence with the file and the line.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pytest_claims.errors import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_DIGITS = 18
"""The most digits of a whole number in a line of an evidence file. Any such number fits a signed 64-bit integer."""

MAX_DEPTH = 20
"""The deepest nesting of objects and lists in a line of an evidence file; a plan has three levels."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a text comes from, as messages name it."""

    name: str
    """The name of the file."""
    line: int | None = None
    """The number of the line, if the text is one line of the file; None if the text is the whole file."""

    @property
    def where(self) -> str:
        """The file, with the line number if the text is one line."""
        return self.name if self.line is None else f"{self.name}:{self.line}"

    def at(self, text: str, what: Literal["constant", "number", "depth"]) -> str:
        """The file, and the number of the first line on which the problem `what` occurs."""
        return self.where if self.line is not None else f"{self.name}:{_line(text, what)}"


def parse(
    data: bytes, source: Source, *, about: Callable[[dict[str, Any], str], str] = lambda _values, _key: ""
) -> Any:
    """The value of a JSON text in UTF-8, with or without a byte order mark.

    A text that is one line of a file is checked further: numbers are finite and within `MAX_DIGITS`, the nesting is within
    `MAX_DEPTH`, and all characters can be written again as UTF-8. For a whole file, which may have millions of values, only
    the interpreter's own limits apply.

    Args:
        data: the bytes.
        source: where the bytes come from, for messages.
        about: describes an object that holds a key twice, given its values and the key; the text ends the message.

    Raises:
        EvaluationError: the bytes are no such text.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise EvaluationError(f"{source.where}: not UTF-8 (byte {error.start}).") from None

    one_line = source.line is not None
    hooks = _Hooks(source, text, about)
    try:
        value = json.loads(
            text,
            object_pairs_hook=hooks.pairs,
            parse_constant=hooks.constant,
            parse_float=hooks.number if one_line else None,
            parse_int=hooks.whole if one_line else None,
        )
        if one_line:
            _check_depth(value)
            if "\\u" in text:
                json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise EvaluationError(f"{source.where}: half a surrogate pair is no text.") from None
    except json.JSONDecodeError as error:
        place = source.where if one_line else f"{source.name}:{error.lineno}"
        column = f" (column {error.colno})" if one_line else ""
        raise EvaluationError(f"{place}: not JSON: {error.msg}{column}.") from None
    except RecursionError:
        raise EvaluationError(f"{source.at(text, 'depth')}: nested too deeply.") from None
    except ValueError:  # CPython's guard against numbers that take minutes to read
        raise EvaluationError(f"{source.at(text, 'number')}: a number of more than 4,300 digits.") from None
    return value


@dataclass(frozen=True, slots=True)
class _Hooks:
    """The callbacks that `json.loads` calls while it reads."""

    source: Source
    text: str
    about: Callable[[dict[str, Any], str], str]

    def pairs(self, items: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(items)
        if len(result) < len(items):
            seen: set[str] = set()
            double = next(name for name, _ in items if name in seen or seen.add(name))  # type: ignore[func-returns-value]
            which = self.about(result, double)
            raise EvaluationError(f"{self.source.where}: the key {double!r} stands twice in one object{which}.")
        return result

    def constant(self, name: str) -> Any:
        raise EvaluationError(f"{self.source.at(self.text, 'constant')}: {name} is not JSON.")

    def number(self, digits: str) -> float:
        value = float(digits)
        if not math.isfinite(value):
            raise EvaluationError(f"{self.source.where}: {digits} is not a finite number.")
        return value

    def whole(self, digits: str) -> int:
        if len(digits) > MAX_DIGITS + 1:
            raise EvaluationError(f"{self.source.where}: a whole number of more than {MAX_DIGITS} digits is refused.")
        return int(digits)


def _check_depth(value: Any) -> None:
    """Raise `RecursionError` if objects and lists are nested more than `MAX_DEPTH` deep."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [item for item in level if isinstance(item, dict | list)]
        if not level:
            return
        level = [inner for item in level for inner in (item.values() if isinstance(item, dict) else item)]
    raise RecursionError


_TOKEN = re.compile(
    r'"(?:[^"\\]|\\.)*"|(?P<constant>NaN|-?Infinity)|(?P<number>[0-9]{4301,})|(?P<open>[\[{])|(?P<close>[\]}])',
    re.DOTALL,
)
_DEEP = 100
"""The nesting level at which `_line` places the error "nested too deeply". A normal file of captions has three levels."""


def _line(text: str, what: Literal["constant", "number", "depth"]) -> int:
    """The first line on which `what` occurs in a text that was refused; `json` gives a line for its own errors only."""
    depth = 0
    for token in _TOKEN.finditer(text):
        depth += (token.lastgroup == "open") - (token.lastgroup == "close")
        if token.lastgroup == what or (what == "depth" and depth > _DEEP):
            return text.count("\n", 0, token.start()) + 1
    return 1
