"""What lies where on a page of a PDF: words in lines, and horizontal rules. Read with PDFium; nothing is guessed here."""

from __future__ import annotations

import ctypes
import re
import unicodedata
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

CHARACTERS = 12_000
"""The most characters of a page that tables are looked for in. A full page has about 6,000."""

OBJECTS = 5_000
"""The most objects of a page that are looked at for rules: a plot may have a million."""

RULES = 400
"""The most horizontal rules of a page of tables; a page with more of them is a drawing."""

APART = 0.5
"""The gap between two cells of a line, in sizes of its type: a space between words is a third. booktabs' is 1.2."""

OVER = 0.65
"""The share of a character that another one may cover: letters are set closely, and slanted ones cover each other by half."""

LIGATURES = ("ff", "fi", "fl", "ft", "tt")
"""What PDFium gives of one sign as two characters in one place."""

JOINED = 0.16
"""The gap between two words, in sizes of their type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A place on a page, in points from its left and lower edge."""

    left: float
    bottom: float
    right: float
    top: float

    @property
    def middle(self) -> float:
        """Half of its width, from the left edge of the page."""
        return (self.left + self.right) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Character:
    """A character of a page."""

    text: str
    box: Box
    middle: float
    """The height of its line, whatever its shape."""
    size: float
    upright: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Words of a line that stand together: what one cell of a table may hold."""

    text: str
    box: Box
    middle: float
    """The height of its line."""
    size: float
    overlapping: bool
    """Some characters lie over others, so that their order is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of a part of a page, as pieces from left to right."""

    pieces: tuple[Piece, ...]
    upright: bool
    """All of its characters are."""

    @property
    def top(self) -> float:
        """Its upper edge."""
        return max(piece.box.top for piece in self.pieces)

    @property
    def bottom(self) -> float:
        """Its lower edge."""
        return min(piece.box.bottom for piece in self.pieces)

    @property
    def text(self) -> str:
        """Its words."""
        return " ".join(piece.text for piece in self.pieces)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A page."""

    characters: tuple[Character, ...]
    rules: tuple[Box, ...]
    """Horizontal rules, from the top down."""

    def within(self, box: Box) -> list[Character]:
        """The characters whose middle lies in a place."""
        return [
            one
            for one in self.characters
            if box.left <= one.box.middle <= box.right and box.bottom <= one.middle <= box.top
        ]


def read(page: Any, text: Any) -> Layout | None:
    """What lies where on a page; None if there is too much on it.

    Args:
        page: a `pypdfium2.PdfPage`.
        text: its `PdfTextPage`.
    """
    import pypdfium2.raw as pdfium

    count = pdfium.FPDFText_CountChars(text)
    if not 0 <= count <= CHARACTERS:
        return None
    found = []
    left, right, bottom, top = (ctypes.c_double() for _ in range(4))
    loose = pdfium.FS_RECTF()
    for index in range(count):
        code = pdfium.FPDFText_GetUnicode(text, index)
        if (
            code <= 0x20
            or code in (0xA0, 0xFFFE)
            or not pdfium.FPDFText_GetCharBox(text, index, left, right, bottom, top)
        ):
            continue
        if not pdfium.FPDFText_GetLooseCharBox(text, index, loose):
            continue
        # Beside each other, characters take the widths of their font: a 1 is as wide as a 7.
        box = Box(left=loose.left, bottom=bottom.value, right=loose.right, top=top.value)
        found.append(
            Character(
                text=chr(code) if code <= 0x10FFFF else "\ufffd",
                box=box,
                middle=(loose.bottom + loose.top) / 2,
                size=max(loose.top - loose.bottom, 0.1),
                upright=abs(pdfium.FPDFText_GetCharAngle(text, index)) < 0.01,
            )
        )
    return Layout(characters=tuple(found), rules=_rules(page))


def _rules(page: Any) -> tuple[Box, ...]:
    import pypdfium2.raw as pdfium

    found = []
    left, bottom, right, top = (ctypes.c_float() for _ in range(4))
    for index in range(min(pdfium.FPDFPage_CountObjects(page), OBJECTS)):
        one = pdfium.FPDFPage_GetObject(page, index)
        if pdfium.FPDFPageObj_GetType(one) != pdfium.FPDF_PAGEOBJ_PATH:
            continue
        if not pdfium.FPDFPageObj_GetBounds(one, left, bottom, right, top):
            continue
        box = Box(left=left.value, bottom=bottom.value, right=right.value, top=top.value)
        if box.top - box.bottom <= 2.5 and box.right - box.left >= 8:
            found.append(box)
    return tuple(sorted(found, key=lambda box: (-box.top, box.left))) if len(found) <= RULES else ()


def lines(characters: Iterable[Character]) -> list[Line]:
    """Characters as lines, from the top down; what is raised or lowered a little belongs to its line."""
    ordered = sorted(characters, key=lambda one: -one.middle)
    if not ordered:
        return []
    size = median(one.size for one in ordered)
    groups = [[ordered[0]]]
    for before, one in pairwise(ordered):
        if before.middle - one.middle > 0.22 * size:
            groups.append([])
        groups[-1].append(one)
    return [_line(group) for group in _scripts_joined(groups, size)]


def _scripts_joined(groups: Sequence[list[Character]], size: float) -> list[list[Character]]:
    """The lines, each with the small characters that stand a little above or below it: `OPT` with the subscript `2.7B`."""
    whole = [group for group in groups if max(one.size for one in group) >= 0.85 * size]
    middles = [median(one.middle for one in group if one.size >= 0.85 * size) for group in whole]
    alone = []
    for group in groups:
        if max(one.size for one in group) >= 0.85 * size:
            continue
        middle = median(one.middle for one in group)
        place = min(range(len(whole)), key=lambda place: abs(middles[place] - middle), default=None)
        if place is not None and abs(middles[place] - middle) <= 0.45 * size:
            whole[place].extend(group)
        else:
            alone.append(group)
    return sorted([*whole, *alone], key=lambda group: -median(one.middle for one in group))


def _line(characters: Sequence[Character]) -> Line:
    ordered = sorted(characters, key=lambda one: one.box.left)
    size = median(one.size for one in ordered)
    pieces: list[list[Character]] = [[ordered[0]]]
    edge = ordered[0].box.right
    for one in ordered[1:]:
        if one.box.left - edge > APART * size:
            pieces.append([])
        pieces[-1].append(one)
        edge = max(edge, one.box.right)
    return Line(pieces=tuple(_piece(piece, size) for piece in pieces), upright=all(one.upright for one in ordered))


def _piece(characters: Sequence[Character], size: float) -> Piece:
    parts: list[str] = []
    for before, one in zip([None, *characters], characters, strict=False):
        if before is not None and (
            one.box.left - before.box.right > JOINED * size or abs(one.middle - before.middle) > 0.1 * size
        ):
            parts.append(" ")
        parts.append(one.text)
    box = Box(
        left=min(one.box.left for one in characters),
        bottom=min(one.box.bottom for one in characters),
        right=max(one.box.right for one in characters),
        top=max(one.box.top for one in characters),
    )
    text = re.sub(r"\s+", " ", unicodedata.normalize("NFKC", "".join(parts))).strip()
    over = any(
        before.box.right - one.box.left > OVER * min(before.box.right - before.box.left, one.box.right - one.box.left)
        and not (before.text + one.text in LIGATURES and before.box == one.box)
        for before, one in pairwise(characters)
    )
    middle = median(one.middle for one in characters)
    return Piece(text=text, box=box, middle=middle, size=size, overlapping=over)
