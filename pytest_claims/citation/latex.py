r"""Tables and text of LaTeX source: `tabular` and its kin, `\multicolumn`, `\multirow`, rules, floats and captions."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

from pytest_claims.citation.grid import Cell, Grid, Row, Table, TableTooLarge
from pytest_claims.citation.latex_text import GROUPS, TABULARS, bracket, group, name_of, piece, rule, span, text_of
from pytest_claims.citation.latex_tokens import NUMBERED, Expander, Token, Unreadable
from pytest_claims.citation.models import Page
from pytest_claims.citation.numbers import is_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Include: TypeAlias = "Callable[[str], str | None]"
r"""Gives the source of a file that `\input` names; None where there is none."""

TABLES = 500
"""The most tables of a paper that are read."""

CELLS = 100_000
"""The most cells of all tables together."""

_FLOATS = (
    "table", "table*", "wraptable", "sidewaystable", "sidewaystable*", "longtable", "margintable", "SCtable", "xltabular",
    "longtblr", "threeparttable",
)  # fmt: skip
"""Environments whose captions are counted as tables."""

_PARTS = ("subtable", "subfigure", "subfigure*", "subtable*")
"""Parts of a float; their captions have letters, not numbers."""

_RULES = {
    r"\hline": 0, r"\midrule": 0, r"\toprule": 0, r"\bottomrule": 0, r"\Xhline": 1, r"\specialrule": 3, r"\hdashline": 0,
    r"\cmidrule": 0, r"\cline": 0, r"\cdashline": 0, r"\hhline": 1, r"\endhead": 0, r"\endfirsthead": 0, r"\dmidrule": 0,
    r"\thickhline": 0, r"\Hline": 0, r"\addlinespace": 0, r"\morecmidrules": 0, r"\arrayrulecolor": 1, r"\endfoot": 0,
    r"\endlastfoot": 0,
}  # fmt: skip
"""Rules, with how many groups follow each."""


_NO_RULES = (r"\addlinespace", r"\morecmidrules", r"\arrayrulecolor")
"""What stands between rows as rules do, and draws none."""


def read(source: str, include: Include = lambda _: None) -> tuple[list[Table], list[Page], list[str]]:
    r"""The tables and the text of LaTeX source, and what could not be read.

    Args:
        source: of the main file.
        include: gives the source of a file that `\input` names; None where there is none.

    Raises:
        Unreadable: the source goes beyond the bounds.
    """
    reader = _Reader(Expander(include).expand(source))
    reader.run()
    return reader.tables, [Page(text=re.sub(r"\s+", " ", "".join(reader.text)))], reader.problems


@dataclass(slots=True)
class _Caption:
    number: str
    text: str


@dataclass(slots=True)
class _Kept:
    """A table, with the caption of the part of the float that it stands in."""

    grid: Grid
    text: str = ""


@dataclass(slots=True)
class _Float:
    """A float that is being read: its captions and tables, in their order."""

    name: str
    parts: list[_Caption | _Kept] = field(default_factory=list)


class _Reader:
    """Walks through the tokens once, and keeps tables and text."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.tables: list[Table] = []
        self.text: list[str] = []
        self.problems: list[str] = []
        self._number = 0
        self._prefix: str | None = ""
        """Letters before the number; None if the form of the numbers is not understood."""
        self._floats: list[_Float] = []
        self._cells = 0

    def run(self) -> None:
        tokens, end, place = self.tokens, len(self.tokens), 0
        while place < end:
            token = tokens[place]
            if token == r"\begin":
                name, after = name_of(tokens, place + 1, end)
                if name in TABULARS and (name != "array" or self._floats):
                    place = self._tabular(name, after)
                    continue
                if name == "comment":
                    place = self._behind("comment", after)
                    continue
                if name in (*_FLOATS, *_PARTS, "figure", "figure*"):
                    self._floats.append(_Float(name))
                for _ in range(GROUPS.get(name, 0)):
                    _, _, after = group(tokens, bracket(tokens, after, end), end)
                place = bracket(tokens, after, end)
            elif token == r"\end":
                name, place = name_of(tokens, place + 1, end)
                if self._floats and self._floats[-1].name == name:
                    self._close(self._floats.pop())
            elif token in (r"\caption", r"\caption*", r"\captionof", r"\captionof*", r"\subcaption"):
                place = self._caption(token, place + 1)
            elif token in (r"\setcounter", r"\addtocounter"):
                place = self._set(place + 1, add=token == r"\addtocounter")
            elif token == r"\ContinuedFloat":
                self._number -= any(one.name in _FLOATS for one in self._floats)
                place += 1
            elif token == NUMBERED:
                place = self._numbered(place + 1)
            else:
                place = piece(tokens, place, end, self.text)
        while self._floats:
            self._close(self._floats.pop())

    def _behind(self, name: str, place: int) -> int:
        while place < len(self.tokens):
            if self.tokens[place] == r"\end":
                ended, place = name_of(self.tokens, place + 1, len(self.tokens))
                if ended == name:
                    break
            else:
                place += 1
        return place

    def _numbered(self, place: int) -> int:
        r"""Read what the source makes of `\thetable`: a letter before the number, as in `A\arabic{table}`; else nothing."""
        first, last, place = group(self.tokens, place, len(self.tokens))
        meaning = "".join(self.tokens[first:last]).replace(" ", "")
        match = re.fullmatch(r"([A-Za-z]?)[.-]?\\(?:arabic|roman|Roman)\*?\{table\}", meaning.replace("\\@", "\\"))
        self._prefix = match[1].upper() if match is not None else None
        if match is None:
            self.problems.append(f"the numbers of the tables behind Table {self._number}, which have another form")
        return place

    def _set(self, place: int, *, add: bool = False) -> int:
        end = len(self.tokens)
        first, last, place = group(self.tokens, place, end)
        counter = "".join(self.tokens[first:last]).strip()
        first, last, place = group(self.tokens, place, end)
        value = "".join(self.tokens[first:last]).strip()
        if counter == "table" and value.isascii() and value.isdigit() and len(value) < 4:
            self._number = int(value) + (self._number if add else 0)
        return place

    def _caption(self, token: str, place: int) -> int:
        end = len(self.tokens)
        kind = ""
        if token.startswith(r"\captionof"):
            first, last, place = group(self.tokens, place, end)
            kind = "".join(self.tokens[first:last])
        first, last, after = group(self.tokens, bracket(self.tokens, place, end), end)
        text = text_of(self.tokens, first, last)
        self.text.append(f" {text} ")
        outer = [one.name for one in self._floats]
        if kind != "table" and (token == r"\subcaption" or any(name in _PARTS for name in outer)):
            self._put(_Caption("", text))
        elif (kind == "table" or (not kind and any(name in _FLOATS for name in outer))) and not token.endswith("*"):
            self._number += 1
            self._put(_Caption("" if self._prefix is None else f"{self._prefix}{self._number}", text))
        return after

    def _put(self, what: _Caption | _Kept) -> None:
        if self._floats:
            self._floats[-1].parts.append(what)
        elif isinstance(what, _Kept):
            self._keep(what, _Caption("", ""))

    def _close(self, float_: _Float) -> None:
        """Give each table of a float its caption: the one before it, if the float begins with one, else the one behind."""
        parts = float_.parts
        inside = bool(self._floats)
        if inside and (float_.name == "threeparttable" or not any(isinstance(part, _Caption) for part in parts)):
            self._floats[-1].parts += parts
            return
        above = bool(parts) and isinstance(parts[0], _Caption)
        caption = _Caption("", "")
        found: list[tuple[_Kept, _Caption]] = []
        for part in parts if above else reversed(parts):
            if isinstance(part, _Caption):
                caption = part
            else:
                found.append((part, caption))
        for kept, own in found if above else reversed(found):
            if inside and float_.name in _PARTS:
                self._floats[-1].parts.append(_Kept(kept.grid, own.text))
            else:
                self._keep(kept, own)

    def _keep(self, kept: _Kept, caption: _Caption) -> None:
        text = f"{caption.text} {kept.text}".strip()
        self.tables.append(Table(grid=kept.grid, number=caption.number, caption=text))

    def _tabular(self, name: str, place: int) -> int:
        tokens, end = self.tokens, len(self.tokens)
        if name in ("longtable", "xltabular", "longtblr"):
            self._floats.append(_Float(name))
        place = bracket(tokens, place, end)
        for _ in range(TABULARS[name]):
            _, _, place = group(tokens, bracket(tokens, place, end), end)
        rows = _Rows(self, place, end)
        place = rows.read()
        rows.spread()
        self._cells += sum(len(row.cells) for row in rows.rows)
        if len(self.tables) >= TABLES or self._cells > CELLS:
            raise Unreadable(f"it has more than {TABLES} tables, or {CELLS:,} cells")
        try:
            grid = Grid([row for row in rows.rows if any(cell.text for cell in row.cells)], pushed=False)
        except TableTooLarge as error:
            self.problems.append(f"a table behind {len(self.tables)} others: {error}")
        else:
            self._put(_Kept(grid))
            self.text += [f" {line} " for line in Table(grid=grid).lines()]
        if name in ("longtable", "xltabular", "longtblr"):
            self._close(self._floats.pop())
        return place


class _Rows:
    """Reads the rows of one tabular."""

    def __init__(self, reader: _Reader, place: int, end: int) -> None:
        self.reader, self.tokens, self.place, self.end = reader, reader.tokens, place, end
        self.rows: list[Row] = []
        self._cells: list[Cell] = []
        self._start = place
        self._ruled = False
        self._short: list[tuple[int, int, int]] = []
        """Short rules: how many rows stand above, and the first and the last column, counted from 1."""

    def read(self) -> int:
        r"""Read up to the `\end` of the table; the place behind it."""
        tokens, end = self.tokens, self.end
        braces = inner = 0
        while self.place < end:
            token = tokens[self.place]
            if token in ("{", "}"):
                braces = max(0, braces + (1 if token == "{" else -1))
            elif token == r"\begin":
                inner += 1
            elif token == r"\end":
                _, after = name_of(tokens, self.place + 1, end)
                if not inner:
                    self._cell()
                    self._row()
                    return after
                inner -= 1
            elif not braces and not inner:
                if token == "&":
                    self._cell()
                    self._start = self.place + 1
                elif token in (r"\\", r"\\*", r"\tabularnewline", r"\cr"):
                    self._cell()
                    self._row()
                    self.place = self._start = bracket(tokens, self.place + 1, end)
                    continue
                elif token in _RULES or token in (r"\caption", r"\caption*"):
                    self._outside(token)
                    continue
            self.place += 1
        self._cell()
        self._row()
        return end

    def spread(self) -> None:
        """A header with empty cells around it stands above all columns that a short rule below it covers."""
        for count, first, last in self._short:
            above = self.rows[:count]
            if first < 2 or any(is_value(cell.text) for row in above for cell in row.cells):
                continue
            if any(abs(cell.rows) > 1 for row in above for cell, at in _placed(row) if first <= at <= last):
                continue
            self.rows[:count] = [_spread(row, first, last) for row in above]

    def _outside(self, token: Token) -> None:
        """What stands between two rows: rules, and the caption of a long table."""
        tokens, end, place = self.tokens, self.end, self.place + 1
        if token in (r"\caption", r"\caption*"):
            place = self.reader._caption(token, place)
        elif token.startswith((r"\cmidrule", r"\cline", r"\cdashline")):
            after = rule(tokens, place, end)
            match = re.search(r"\{\s*([0-9]{1,3})\s*-\s*([0-9]{1,3})\s*\}$", "".join(tokens[place:after]))
            if match is not None:
                self._short.append((len(self.rows), int(match[1]), int(match[2])))
            place = after
        else:
            self._ruled |= token not in _NO_RULES
            for _ in range(_RULES[token]):
                _, _, place = group(tokens, place, end)
            place = bracket(tokens, place, end)
        if not text_of(tokens, self._start, self.place):
            self._start = place
        self.place = place

    def _cell(self) -> None:
        tokens, place, end = self.tokens, self._start, self.place
        rows = columns = 1
        while place < end:
            token = tokens[place]
            if token in (r"\multicolumn", r"\multirow", r"\multirow*"):
                number, first, last, _ = span(token.rstrip("*")[1:], tokens, place + 1, end)
                if token == r"\multicolumn":
                    columns = max(1, number)
                else:
                    rows = number or 1
                if last >= end - 1 or not text_of(tokens, last, end):
                    place, end = first, last
                    continue
            elif token in (" ", "{"):
                place += 1
                continue
            break
        self._cells.append(
            Cell(text=text_of(tokens, self._start if rows == columns == 1 else place, end), rows=rows, columns=columns)
        )

    def _row(self) -> None:
        if any(cell.text for cell in self._cells):
            self.rows.append(Row(cells=tuple(self._cells), ruled=self._ruled))
            self._ruled = False
        self._cells = []


def _placed(row: Row) -> Iterator[tuple[Cell, int]]:
    """The cells of a row, each with its first column, counted from 1."""
    column = 1
    for cell in row.cells:
        yield cell, column
        column += cell.columns


def _spread(row: Row, first: int, last: int) -> Row:
    """The row with the only words between two columns above all of them."""
    inside = [cell for cell, at in _placed(row) if first <= at <= last]
    words = [cell for cell in inside if cell.text]
    if len(words) != 1 or sum(cell.columns for cell in inside) != last - first + 1:
        return row
    before = [cell for cell, at in _placed(row) if at < first]
    behind = [cell for cell, at in _placed(row) if at > last]
    return replace(row, cells=(*before, replace(words[0], columns=last - first + 1), *behind))
