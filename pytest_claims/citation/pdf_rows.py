"""The rows of a table of a PDF, if its gaps, its rules and its headers leave one reading."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from pytest_claims.citation import numbers
from pytest_claims.citation.grid import Cell, Row
from pytest_claims.citation.pdf_layout import Box, lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_claims.citation.pdf_layout import Layout, Line, Piece

SLACK = 2.5
"""How much rules of one table may differ in length, in points."""


class Unclear(Exception):  # noqa: N818 - what is the case
    """A table has more than one reading; the message is a part of a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """The place between the first and the last rule of a table."""

    box: Box
    rules: tuple[Box, ...]
    """Those of its full width, from the top down."""


@dataclass(frozen=True, slots=True)
class _Header:
    """Words of the head, and the first and the last column that they stand above."""

    piece: Piece
    first: int
    last: int


class Rows:
    """Reads the rows of a table, or says why they have more than one reading."""

    def __init__(self, layout: Layout, area: Area) -> None:
        self.layout = layout
        self.area = area
        self.columns: list[tuple[float, float]] = []
        """The left and the right edge of what stands in each column, below the head."""

    def read(self) -> list[Row]:
        """The rows of the head, and those below it.

        Raises:
            Unclear: there is another way to read them.
        """
        parts = [
            lines(
                self.layout.within(
                    Box(left=self.area.box.left - 3, right=self.area.box.right + 3, top=above.bottom, bottom=below.top)
                )
            )
            for above, below in pairwise(self.area.rules)
        ]
        if not all(line.upright for part in parts for line in part):
            raise Unclear("its text is turned")
        if self._cut():
            raise Unclear("text reaches beyond its rules")
        for line in (line for part in parts for line in part):
            if any(piece.overlapping for piece in line.pieces):
                raise Unclear(f"characters overlap in the row “{line.text[:40]}”")
        for part in parts:
            for line in part:
                if any(
                    ord(letter) < 32 or letter == "\ufffd" or "\ue000" <= letter <= "\uf8ff" for letter in line.text
                ):
                    raise Unclear("it holds characters whose meaning the PDF does not say")
        head, body = parts[0], parts[1:]
        self.columns = self._found([line for part in body for line in part if len(line.pieces) > 1])
        rows = [self._row(line, part, place) for part in body for place, line in enumerate(part)]
        return [*self._head(head), *rows]

    def _cut(self) -> bool:
        """Whether text stands right beside the area, so that a part of a cell may lie outside."""
        box = self.area.box
        edges = ((box.left - 12, box.left - 3), (box.right + 3, box.right + 12))
        return any(
            self.layout.within(Box(left=left, right=right, top=box.top, bottom=box.bottom)) for left, right in edges
        )

    def _found(self, body: Sequence[Line]) -> list[tuple[float, float]]:
        """The columns: what overlaps from row to row is one."""
        columns: list[tuple[float, float]] = []
        for box in sorted((piece.box for line in body for piece in line.pieces), key=lambda box: box.left):
            if columns and box.left < columns[-1][1]:
                columns[-1] = (columns[-1][0], max(columns[-1][1], box.right))
            else:
                columns.append((box.left, box.right))
        if len(columns) < 2:
            raise Unclear("its columns overlap")
        return columns

    def _row(self, line: Line, part: Sequence[Line], place: int) -> Row:
        if len(line.pieces) == 1:
            if place or len(part) < 2 or numbers.is_value(line.text):
                raise Unclear(f"“{line.text[:40]}” is the only cell of its row, and no rule stands above it")
            return Row(cells=(Cell(text=line.text, columns=len(self.columns)),), ruled=True)
        texts = [""] * len(self.columns)
        for piece in line.pieces:
            (column, *_) = self._below(piece)
            if texts[column]:
                raise Unclear(f"its columns overlap in the row “{line.text[:40]}”")
            if numbers.is_value(piece.text) and " " in piece.text and len(numbers.numbers(piece.text)) > 1:
                raise Unclear(f"the numbers “{piece.text[:40]}” stand too close")
            texts[column] = piece.text
        if not texts[0]:
            raise Unclear(f"the row “{line.text[:40]}” has no name at its left")
        if not any(numbers.is_value(text) or numbers.is_blank(text) for text in texts[1:] if text):
            raise Unclear(f"the row “{line.text[:40]}” holds no number")
        return Row(cells=tuple(Cell(text=text) for text in texts), ruled=place == 0)

    def _below(self, piece: Piece) -> list[int]:
        """The columns that words stand above, or in."""
        left, right = piece.box.left, piece.box.right
        return [place for place, (start, end) in enumerate(self.columns) if left < end and start < right]

    def _head(self, head: Sequence[Line]) -> list[Row]:
        every = [piece for line in head for piece in line.pieces]
        found = {piece: self._over_rule(piece, every) for piece in every}
        sure = [header for header in found.values() if header is not None]
        loose = [piece for piece in every if found[piece] is None]
        for piece in loose:
            found[piece] = self._over_columns(piece, sure, [other for other in loose if other is not piece])
        return [self._head_row([header for piece in line.pieces if (header := found[piece])]) for line in head]

    def _over_rule(self, piece: Piece, every: Sequence[Piece]) -> _Header | None:
        """Words with a short rule right below them stand above the columns that the rule covers."""
        wide = self.area.box.right - self.area.box.left - SLACK
        below = [
            rule
            for rule in self.layout.rules
            if self.area.rules[1].top < rule.bottom
            and rule.top <= piece.box.bottom + 2
            and rule.left - 3 <= piece.box.middle <= rule.right + 3
            and rule.right - rule.left < wide
        ]
        if not below:
            return None
        rule = max(below, key=lambda rule: rule.top)
        over = [one for one in every if rule.left < one.box.right and one.box.left < rule.right and one is not piece]
        if any(rule.top - 2 <= one.box.bottom and one.box.top <= piece.box.bottom + 2 for one in over):
            return None  # other words stand between it and the rule
        if any(_level(one, piece) for one in over):
            raise Unclear(f"it cannot be told which columns the header “{piece.text[:40]}” stands above")
        middles = [(start + end) / 2 for start, end in self.columns]
        if any(min(abs(middle - rule.left), abs(middle - rule.right)) < 2 for middle in middles):
            raise Unclear(f"the rule below the header “{piece.text[:40]}” ends inside a column")
        covered = [place for place, middle in enumerate(middles) if rule.left < middle < rule.right]
        if not covered:
            raise Unclear(f"the header “{piece.text[:40]}” stands above no column")
        return _Header(piece, covered[0], covered[-1])

    def _over_columns(self, piece: Piece, sure: Sequence[_Header], loose: Sequence[Piece]) -> _Header:
        """Words without a rule stand above the columns that they overlap, if others keep them from standing above more."""
        covered = self._below(piece)
        if not covered:
            raise Unclear(f"the header “{piece.text[:40]}” stands between columns")
        taken = {0, -1, len(self.columns)}
        for header in sure:
            span = range(header.first, header.last + 1)
            if _level(header.piece, piece):
                taken.update(span)
            elif header.piece.box.bottom > piece.box.bottom and covered[0] in span:
                # What stands below a header that spans columns spans no others.
                taken.update(place for place in range(len(self.columns)) if place not in span)
        for other in loose:
            if _level(other, piece):
                taken.update(self._below(other))
        if covered[0] == 0 and len(covered) == 1:
            return _Header(piece, 0, 0)
        if covered[0] - 1 not in taken or covered[-1] + 1 not in taken or taken.intersection(covered):
            raise Unclear(f"it cannot be told which columns the header “{piece.text[:40]}” stands above")
        return _Header(piece, covered[0], covered[-1])

    def _head_row(self, headers: Sequence[_Header]) -> Row:
        cells: list[Cell] = []
        column = 0
        for header in sorted(headers, key=lambda one: one.first):
            if header.first < column:
                raise Unclear(f"the header “{header.piece.text[:40]}” overlaps another one")
            cells += [Cell(text="")] * (header.first - column)
            cells.append(Cell(text=header.piece.text, columns=header.last - header.first + 1))
            column = header.last + 1
        return Row(cells=(*cells, *([Cell(text="")] * (len(self.columns) - column))), head=True)


def _level(one: Piece, other: Piece) -> bool:
    """Whether two pieces of a head stand beside each other, be it only in part."""
    return abs(one.middle - other.middle) < 0.75 * min(one.size, other.size)
