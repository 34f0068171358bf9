"""A table as a grid of cells, whatever it was written in: spans are resolved, headers are found, sizes are bounded."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from pytest_claims.citation import numbers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROWS = 2_000
"""The most rows of a table that is read. The longest tables of papers have some hundred."""

COLUMNS = 200
"""The most columns of a table that is read; a span that is wider ends there."""

CELLS = 20_000
"""The most cells of a table that is read."""

CELL = 2_000
"""The most characters of a cell that are kept."""


class TableTooLarge(ValueError):  # noqa: N818 - what is the case
    """A table has more rows or columns than any table of a paper."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A cell as it is written."""

    text: str
    rows: int = 1
    """How many rows it spans."""
    columns: int = 1
    """How many columns it spans."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row as it is written."""

    cells: tuple[Cell, ...]
    ruled: bool = False
    """Whether a rule across the whole table, or the end of a table's head, stands above it."""
    head: bool = False
    """Whether the source says that it is part of the table's head."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A cell that holds a number, and the words that say what the number is."""

    row: int
    column: int
    text: str
    row_path: tuple[str, ...]
    """The group that the row stands in, and the row's own words."""
    column_path: tuple[str, ...]
    """The words above the cell, the topmost first."""


class Grid:
    """The texts of a table, row by row; a cell that spans stands in each place that it covers.

    Args:
        rows: as they are written.
        pushed: a cell that spans rows pushes the cells of the next rows to the right, as in HTML. Else it lies over a cell
            that is written there, as in LaTeX.

    Raises:
        TableTooLarge: there are more than `ROWS` rows, `COLUMNS` columns or `CELLS` cells.
    """

    def __init__(self, rows: Sequence[Row], *, pushed: bool) -> None:
        if len(rows) > ROWS:
            raise TableTooLarge(f"it has more than {ROWS:,} rows")
        if sum(len(row.cells) for row in rows) > CELLS:
            raise TableTooLarge(f"it has more than {CELLS:,} cells")
        self.rows = rows
        self.pushed = pushed
        self._places: list[dict[int, int]] = [{} for _ in rows]
        self._texts: list[str] = []
        for index, row in enumerate(rows):
            column = 0
            for cell in row.cells:
                while pushed and column in self._places[index]:
                    column += 1
                if column >= COLUMNS:
                    raise TableTooLarge(f"it has more than {COLUMNS} columns")
                wide = max(1, min(cell.columns, COLUMNS - column))
                self._place(cell, index, range(column, column + wide))
                column += wide
        self.width = self._width()

    def _place(self, cell: Cell, row: int, columns: range) -> None:
        name = len(self._texts)
        self._texts.append(cell.text[:CELL])
        # A negative span is multirow's way to start from the last of the rows.
        first = max(0, row + cell.rows + 1) if cell.rows < 0 else row
        for below in range(first, min(row + max(cell.rows, 1), len(self.rows))):
            for beside in columns:
                covering = self._places[below].get(beside)
                # An empty cell lies under one that spans rows, from above or from below.
                if covering is None or (cell.text.strip() and (below == row or not self._texts[covering].strip())):
                    self._places[below][beside] = name

    def _width(self) -> int:
        """How many columns there are; a span that is wider than all the other rows makes none."""
        wide = 0
        for row in self._places:
            names = [row.get(column) for column in range(max(row, default=-1) + 1)]
            while len(names) > 1 and names[-1] is not None and names[-1] == names[-2]:
                names.pop()
            wide = max(wide, len(names))
        return wide

    def origin(self, row: int, column: int) -> int | None:
        """Which cell covers a place; None if no cell does."""
        return self._places[row].get(column)

    def text(self, row: int, column: int) -> str:
        """The text at a place; empty where no cell is."""
        name = self.origin(row, column)
        return "" if name is None else self._texts[name]

    def single(self, row: int) -> str:
        """The text of a row that has only one, at its beginning, and no number: the name of a group of rows; else empty."""
        names = list(dict.fromkeys(self.origin(row, column) for column in range(self.width)))
        texts = [self._texts[name].strip() for name in names if name is not None]
        filled = [text for text in texts if text]
        return filled[0] if len(filled) == 1 and texts[0] == filled[0] and not numbers.is_value(filled[0]) else ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of a paper."""

    grid: Grid
    number: str = ""
    """As the paper counts it, such as `3` or `A1`; empty where it has none."""
    caption: str = ""
    page: int | None = None

    @property
    def name(self) -> str:
        """`Table 3`, or the beginning of its caption."""
        if self.number:
            return f"Table {self.number}"
        return f"the table “{self.caption[:60]}”" if self.caption else "a table without a caption"

    @cached_property
    def head(self) -> int:
        """How many rows the table's head has."""
        grid = self.grid
        count = len(grid.rows)
        plain = next((row for row in range(count) if self._has_value(row)), count)
        ruled = next((row for row in range(1, count) if grid.rows[row].ruled), 0)
        marked = next((row for row in range(count) if not grid.rows[row].head), 0)
        for hint in (ruled, marked):
            # A head may hold whole numbers, such as years or shots, but it has no decimals.
            if plain < hint <= plain + 1 and hint < count and self._whole_numbers(plain):
                return hint
        # The name of a group of rows just below the head is no part of it.
        while plain > 1 and grid.single(plain - 1) and plain < count:
            if grid.rows[plain].ruled and not grid.rows[plain - 1].ruled:
                break
            plain -= 1
        return min(plain, count)

    def _has_value(self, row: int) -> bool:
        texts = [self.grid.text(row, column).strip() for column in range(1, self.grid.width)]
        values = [text for text in texts if numbers.is_value(text)]
        # `(1)`, `(2)`, `(3)` count columns.
        return bool(values) and (len(values) < 2 or values != [f"({place})" for place in range(1, len(values) + 1)])

    def _whole_numbers(self, row: int) -> bool:
        texts = (self.grid.text(row, column).strip() for column in range(self.grid.width))
        return all(re.fullmatch(r"[0-9]{1,4}", text) for text in texts if numbers.is_value(text))

    @cached_property
    def stub(self) -> int:
        """How many columns at the left name the rows."""
        grid = self.grid
        for column in range(grid.width):
            texts = [grid.text(row, column).strip() for row in range(self.head, len(grid.rows)) if not grid.single(row)]
            filled = [text for text in texts if text]
            values = sum(numbers.is_value(text) or numbers.is_blank(text) for text in filled)
            if values * 2 > len(filled) or not filled:
                return max(column, 1)
        return max(grid.width, 1)

    @cached_property
    def values(self) -> tuple[Value, ...]:
        """The cells that hold numbers, row by row."""
        return tuple(self._values())

    def _values(self) -> Iterator[Value]:
        grid = self.grid
        head = list(range(self.head))
        group = ""
        stub: list[str] = []
        row = self.head
        while row < len(grid.rows):
            if name := grid.single(row):
                group, stub = name, []
            elif self._is_head_again(row):
                # A second head below the first rows: two tables in one.
                head, group, stub = [row], "", []
                while row + 1 < len(grid.rows) and self._is_head_again(row + 1, ruled=False):
                    row += 1
                    head.append(row)
            else:
                stub = self._stub(row, stub)
                for column in range(self.stub, grid.width):
                    text = grid.text(row, column).strip()
                    if numbers.is_value(text):
                        words = [text for text in (group, *stub, *self._other_words(row)) if text]
                        above = self._above(head, column)
                        yield Value(row=row, column=column, text=text, row_path=tuple(words), column_path=above)
            row += 1

    def _is_head_again(self, row: int, *, ruled: bool = True) -> bool:
        """Whether a row below the head is another head: below a rule, with words in most columns, and no value."""
        grid = self.grid
        if (ruled and not grid.rows[row].ruled) or self._has_value(row):
            return False
        texts = [grid.text(row, column).strip() for column in range(self.stub, grid.width)]
        filled = [text for text in texts if text and not numbers.is_blank(text)]
        return len(filled) >= 2 and len(filled) * 2 >= len(texts) and not any(map(numbers.is_blank, texts))

    def _stub(self, row: int, before: Sequence[str]) -> list[str]:
        """The words at the left of a row. A first cell that is empty, beside another that is not, means the one above."""
        texts: list[str] = []
        names: set[int | None] = set()
        for column in range(self.stub):
            name = self.grid.origin(row, column)
            texts.append("" if name in names else self.grid.text(row, column).strip())
            names.add(name)
        for place, text in enumerate(texts):
            if text or not any(texts[place + 1 :]) or place >= len(before):
                break
            texts[place] = before[place]
        return texts

    def _other_words(self, row: int) -> Iterator[str]:
        """Words that stand between the numbers of a row; they name it too."""
        for column in range(self.stub, self.grid.width):
            text = self.grid.text(row, column).strip()
            if text and not numbers.is_value(text) and not numbers.is_blank(text):
                yield text

    def _above(self, head: Sequence[int], column: int) -> tuple[str, ...]:
        names: dict[int, None] = {}
        for row in head:
            name = self.grid.origin(row, column)
            if name is not None:
                names[name] = None
        texts = [self.grid._texts[name].strip() for name in names]
        return tuple(text for text in texts if text)

    def around(self, value: Value, most: int = 16) -> list[Value]:
        """The numbers of the value's row, or those nearest to it where there are more than `most`."""
        beside = [other for other in self.values if other.row == value.row]
        place = next(index for index, other in enumerate(beside) if other.column == value.column)
        start = max(0, min(place - most // 2, len(beside) - most))
        return beside[start : start + most]

    def lines(self) -> Iterator[str]:
        """The table as text, a row a line; a cell that spans columns stands once."""
        for row in range(len(self.grid.rows)):
            names = dict.fromkeys(self.grid.origin(row, column) for column in range(self.grid.width))
            yield " ".join(self.grid._texts[name].strip() for name in names if name is not None)
