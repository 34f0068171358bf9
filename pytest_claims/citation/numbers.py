"""The numbers in a cell of a table, with the digits that the paper prints."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NUMBER = re.compile(
    r"(?P<plusminus>±|\+/-|\+-)?\s*(?P<sign>[-+])?(?P<digits>[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?|[0-9]+(?:\.[0-9]+)?|\.[0-9]+)"
    r"\s?(?P<suffix>%|[KMBTkmbt](?![A-Za-z])|million|billion|x(?![A-Za-z]))?"
)
_MINUS = str.maketrans({"−": "-", "–": "-", "‐": "-", "‑": "-", "—": "-", "\u00a0": " ", "\u2009": " ", "\u202f": " "})
_MARKS = re.compile(r"[†‡§¶*⋆★☆∗♠♣♦♥△▲▽▼↑↓✓✗✔✘#^~∼≈<>≤≥]")
_LOOSE = re.compile(r"[\s()\[\]/,;:|+\-±%.=]|\{|\}")
_BLANK = re.compile(r"(n\s*/\s*a|n\.a\.|na|-+|\?|✓|✗|x|o\.?o\.?m\.?|yes|no)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A number of a cell."""

    text: str
    """Sign and digits, without separators of thousands: `-0.5`, `107130880`, `43.70`."""
    suffix: str
    """`%`, `k`, `m`, `b`, `t`, `x` or empty."""


def plain(text: str) -> str:
    """`text` with one kind of minus sign and of space."""
    return text.translate(_MINUS)


def numbers(text: str) -> list[Number]:
    """The numbers that a cell reports: neither what follows ±, nor what stands in parentheses behind a number."""
    text = _MARKS.sub(" ", plain(text))
    found: list[Number] = []
    for match in _NUMBER.finditer(text):
        before = text[: match.start("digits")].rstrip("+- ")
        inside = before.count("(") + before.count("[") > before.count(")") + before.count("]")
        glued = text[match.start("digits") - 1 : match.start("digits")]
        if match["plusminus"] or (found and inside) or (glued.isalnum() and not match["sign"]):
            continue
        signed = match["sign"] == "-" and not _between(text, match.start("sign"))
        digits = match["digits"].replace(",", "")
        digits = f"0{digits}" if digits.startswith(".") else digits
        found.append(Number(text=f"{'-' if signed else ''}{digits}", suffix=_suffix(match["suffix"])))
    return found


def _between(text: str, place: int) -> bool:
    """Whether a minus sign joins two numbers or words, as in `3-5`."""
    return place > 0 and text[place - 1].isalnum()


def _suffix(text: str | None) -> str:
    return {"million": "m", "billion": "b"}.get(text or "", (text or "").lower())


def is_value(text: str) -> bool:
    """Whether a cell holds a number and no words: `43.7 ± 0.3`, `~1.4B`, `1,234`, `65.0†`."""
    text = _MARKS.sub(" ", plain(text))
    if not re.search(r"[0-9]", text):
        return False
    return not _LOOSE.sub("", _NUMBER.sub(" ", text))


def is_blank(text: str) -> bool:
    """Whether a cell says that there is no number: `-`, `n/a`, `✗`, or nothing."""
    return _BLANK.fullmatch(plain(text).strip()) is not None


SUFFIXES = {
    "percent": ("", "%"),
    "fraction": ("",),
    "million": ("", "m"),
    "billion": ("", "b"),
    "count": ("",),
    "times": ("", "x"),
}
"""What may follow a number that is reported in a unit."""


def holds(cell: str, reported: str, unit: str) -> bool:
    """Whether a cell reports exactly the digits `reported`."""
    wanted = f"0{reported}" if reported.startswith(".") else reported
    return any(found.text == wanted and found.suffix in SUFFIXES.get(unit, ("",)) for found in numbers(cell))


def prints(cell: str, value: str) -> bool:
    """Whether a cell reports the digits of `value`, in whatever unit; a unit that `value` names must be the cell's."""
    wanted = numbers(value)
    return bool(wanted) and any(
        found.text == wanted[0].text and wanted[0].suffix in ("", found.suffix) for found in numbers(cell)
    )
