"""Tables of a PDF: those between horizontal rules whose rows and columns can be told apart without a guess.

A PDF has characters with places, and no cells. A wrong grid would call a right citation wrong. So a table is read only if
its rules, its gaps and its headers leave one reading: docs/citations.md has the conditions. Of any other, the reason is kept.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from pytest_claims.citation.cells import number_of
from pytest_claims.citation.grid import Grid, Table, TableTooLarge
from pytest_claims.citation.pdf_layout import Box, lines
from pytest_claims.citation.pdf_rows import SLACK, Area, Rows, Unclear

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_claims.citation.pdf_layout import Layout, Line, Piece

NEAR = 40.0
"""How far a caption stands from its table at most, in points."""

FAR = 100.0
"""How far from a caption another table makes it doubtful which of the two it belongs to, in points."""

CAPTIONS = 20
"""The most captions of a page."""

WIDE = 60.0
"""From which length a rule may be a table's, in points."""

TALL = 700.0
"""How tall a table is at most, in points: a page."""

CAPTION_LINES = 40
"""How many lines below its first one a caption may have, and lines of other columns among them."""

_CAPTION = re.compile(r"(?:Table|TABLE|Tab\.)\s*([A-Z]?\.?[0-9]{1,3}|[IVXL]{1,6})\s*(?:[:.|–—]|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Caption:
    number: str
    text: str
    box: Box


def named(text: str) -> bool:
    """Whether the text of a page may hold the caption of a table."""
    return re.search(rf"(?m)(?:^|\s){_CAPTION.pattern}", text) is not None


def read(layouts: Sequence[Layout | None]) -> tuple[list[Table], list[str]]:
    """The tables of a paper's pages that have one reading, and the reasons why others were not read."""
    tables: list[Table] = []
    problems: list[str] = []
    pages = [(number, _Page(layout)) for number, layout in enumerate(layouts, 1) if layout is not None]
    # A paper sets its captions above its tables, or below them. Captions with one neighbour tell which.
    sides = {side for _, page in pages for caption in page.captions if (side := page.sure(caption))}
    for number, page in pages:
        for caption in page.captions:
            try:
                area = page.of(caption, sides)
                grid = Grid(Rows(page.layout, area).read(), pushed=False)
                tables.append(_checked(Table(grid=grid, number=caption.number, caption=caption.text, page=number)))
            except (Unclear, TableTooLarge) as error:
                problems.append(f"Table {caption.number}: {error}")
    named = [table.number for table in tables] + [problem.split(":")[0].removeprefix("Table ") for problem in problems]
    twice = {number for number in named if named.count(number) > 1}
    problems += [f"Table {number}: its caption stands in several places" for number in sorted(twice)]
    return [table for table in tables if table.number not in twice], problems


class _Page:
    """A page: which area stands beside which caption."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.captions = _captions(layout)[:CAPTIONS]
        areas = [part for area in _areas(layout.rules) for part in _parts(area, self.captions, layout)]
        self._beside = {
            (caption, side): [area for area in areas if self._stands(caption, area, side)]
            for caption in self.captions
            for side in ("above", "below")
        }

    def sure(self, caption: _Caption) -> str:
        """The side on which a caption's table stands, if on the other side stands nothing like a table; else empty."""
        for side, other in (("above", "below"), ("below", "above")):
            if len(self._beside[caption, side]) == 1 and not self._rules(caption, other):
                return side
        return ""

    def of(self, caption: _Caption, sides: set[str]) -> Area:
        """The area that a caption belongs to.

        Args:
            caption: the caption.
            sides: those on which tables of this paper surely stand beside their captions.
        """
        if not any(self._beside[caption, side] for side in ("above", "below")):
            raise Unclear("no three horizontal rules of one length stand right above or below its caption")
        side = self.sure(caption) or (next(iter(sides)) if len(sides) == 1 else "")
        found = self._beside[caption, side] if side else []
        if len(found) != 1 or sum(found[0] in areas for (_, other), areas in self._beside.items() if other == side) > 1:
            raise Unclear("it cannot be told which table its caption belongs to")
        return found[0]

    def _stands(self, caption: _Caption, area: Area, side: str) -> bool:
        """Whether an area stands beside a caption, with nothing between."""
        one, other = caption.box, area.box
        if one.left >= other.right or other.left >= one.right:
            return False
        if side == "below":
            top, bottom = one.bottom - 1, other.top
        else:
            top, bottom = other.bottom, one.top + 1
        gap = Box(left=other.left, right=other.right, top=top, bottom=bottom)
        return -2 <= top - bottom <= NEAR and not self.layout.within(gap)

    def _rules(self, caption: _Caption, side: str) -> bool:
        """Whether a rule as long as a table's stands near a caption on one side, before another caption."""
        box = caption.box
        for rule in self.layout.rules:
            gap = box.bottom - rule.top if side == "below" else rule.bottom - box.top
            if (
                not -2 <= gap <= FAR
                or rule.left >= box.right
                or box.left >= rule.right
                or rule.right - rule.left < WIDE
            ):
                continue
            low, high = (rule.top, box.bottom) if side == "below" else (box.top, rule.bottom)
            if not any(
                low <= other.box.bottom and other.box.top <= high for other in self.captions if other is not caption
            ):
                return True
        return False


def _checked(table: Table) -> Table:
    """The table, if what it takes for its head is what stands above the rule below the head."""
    if table.head != sum(row.head for row in table.grid.rows):
        raise Unclear("its head cannot be told from its rows")
    return table


def _areas(rules: Sequence[Box]) -> list[Area]:
    """The places between rules of one length that stand below each other."""
    alike: list[list[Box]] = []
    for rule in rules:
        for area in alike:
            first = area[0]
            same = abs(first.left - rule.left) <= SLACK and abs(first.right - rule.right) <= SLACK
            if same and first.top - rule.top <= TALL:
                area.append(rule)
                break
        else:
            alike.append([rule])
    areas = [Area(box=_around(area), rules=tuple(area)) for area in alike if len(area) > 1]
    return [area for area in areas if not any(_inside(area.box, other.box) for other in areas)]


def _around(rules: Sequence[Box]) -> Box:
    return Box(left=rules[0].left, right=rules[0].right, top=rules[0].top, bottom=rules[-1].bottom)


def _inside(one: Box, other: Box) -> bool:
    return (
        one.right - one.left < other.right - other.left
        and other.left - SLACK <= one.left
        and one.right <= other.right + SLACK
        and other.bottom - SLACK <= one.bottom
        and one.top <= other.top + SLACK
    )


def _parts(area: Area, captions: Sequence[_Caption], layout: Layout) -> Iterator[Area]:
    """The tables of an area: a caption between two rules parts them, and a rule that no text follows is no part of one."""
    part: list[Box] = [area.rules[0]]
    for above, below in pairwise(area.rules):
        between = Box(left=area.box.left, right=area.box.right, top=above.bottom, bottom=below.top)
        if any(_within(caption.box, between) for caption in captions):
            if len(part) > 2:
                yield Area(box=_around(part), rules=tuple(part))
            part = [below]
        elif layout.within(between):
            part.append(below)
        else:
            part[-1:] = [below]
    if len(part) > 2:
        yield Area(box=_around(part), rules=tuple(part))


def _within(caption: Box, between: Box) -> bool:
    return (
        between.bottom < caption.top <= between.top + 1
        and caption.left < between.right
        and between.left < caption.right
    )


def _captions(layout: Layout) -> list[_Caption]:
    """The pieces that begin with `Table 3:`, each with the lines below it that belong to it."""
    found = []
    every = lines(layout.characters)
    for place, line in enumerate(every):
        for index, piece in enumerate(line.pieces):
            match = _CAPTION.match(piece.text)
            if match is not None:
                text, box = _whole(layout, every[place:], line.pieces[index:])
                number = number_of(f"Table {match[1]}")
                found.append(_Caption(number=number, text=text[match.end() :].strip(), box=box))
    return found


def _whole(layout: Layout, below: Sequence[Line], first: Sequence[Piece]) -> tuple[str, Box]:
    """The text and the place of a caption that begins with a piece; it ends where a gap or a rule follows."""
    box = first[0].box
    texts: list[str] = []
    for line in below[:CAPTION_LINES]:
        start = first if not texts else line.pieces
        own = [one for one in start if one.box.left >= box.left - 3 and one.box.left <= box.right + 15]
        for one in list(start):
            if one not in own and own and 0 <= one.box.left - own[-1].box.right <= 15:
                own.append(one)
        if not own:
            continue
        top, bottom = max(one.box.top for one in own), min(one.box.bottom for one in own)
        if texts and (box.bottom - top > 0.9 * (top - bottom) or _ruled(layout, box, top)):
            break
        texts.append(" ".join(one.text for one in own))
        box = Box(
            left=min(box.left, own[0].box.left),
            right=max(box.right, own[-1].box.right),
            top=max(box.top, top),
            bottom=min(box.bottom, bottom),
        )
    return " ".join(texts), box


def _ruled(layout: Layout, box: Box, below: float) -> bool:
    """Whether a rule lies between a caption and what stands below it."""
    return any(
        below - 2 <= rule.bottom and rule.top <= box.bottom + 2 and rule.left < box.right and box.left < rule.right
        for rule in layout.rules
    )
