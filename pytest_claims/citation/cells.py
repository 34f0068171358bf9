"""Looks a cited number up in a paper's tables: the cell that the words lead to, and the cells that hold the number."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_claims.citation import numbers, words
from pytest_claims.citation.models import Found, Neighbour, Result

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pytest_claims.citation.grid import Table, Value

SHOWN = 3
"""How many cells a sentence names."""

_SECTION = re.compile(r"\b(?:table|tab\.|tbl\.)\s*~?\s*([A-Z]?\.?[0-9]{1,3}|[IVXL]{1,6})\b", re.IGNORECASE)
_ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cited:
    """What a claim says of its number."""

    section: str
    row: str
    column: str
    value: str
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a table says of a cited number."""

    result: Result
    sentence: str
    score: float | None = None
    found: Found | None = None


@dataclass(frozen=True, slots=True)
class _Fits:
    """A cell, and how well the citation's row and column fit it."""

    value: Value
    row: words.Fit
    column: words.Fit

    @property
    def whole(self) -> bool:
        return self.row.whole and self.column.whole

    @property
    def score(self) -> float:
        return round((self.row.covered + self.column.covered) / 2, 3)

    @property
    def rank(self) -> tuple[bool, float, bool, bool]:
        return self.whole, self.row.covered + self.column.covered, self.row.exact, self.column.exact


def number_of(section: str) -> str:
    """The number of the table that a section names, as `Table.number` has it; empty where it names none."""
    match = _SECTION.search(section)
    if match is None:
        return ""
    found = match[1].upper().replace(".", "")
    if found.isalpha() and all(letter in _ROMAN for letter in found):
        values = [_ROMAN[letter] for letter in found]
        return str(sum(-one if one < max(values[place:]) else one for place, one in enumerate(values)))
    return found


def tables_of(section: str, tables: Sequence[Table]) -> list[Table]:
    """The tables that a section names, by number, else by the words of the caption."""
    if number := number_of(section):
        return [table for table in tables if table.number == number]
    cited = words.terms(section)
    return [table for table in tables if cited and table.caption and cited <= words.terms(table.caption)]


def look_up(cited: Cited, tables: Sequence[Table], others: Sequence[Table] = ()) -> Answer:
    """What the tables of one number say of a cited value; of several answers, the one that says most.

    Args:
        cited: what the claim says.
        tables: those that the claim's section names, at least one.
        others: the paper's other tables, where a value that is not found is looked for too.
    """
    order = (Result.CONFIRMED, Result.MISATTRIBUTED, Result.CONTRADICTED, Result.NOT_FOUND)
    answers = [_in_table(cited, table) for table in tables]
    best = min(answers, key=lambda answer: (order.index(answer.result), -(answer.score or 0.0)))
    if best.result is Result.NOT_FOUND:
        elsewhere = [place for table in others for place in _near(cited, table)]
        if elsewhere:
            more = f" It stands in {_listed(elsewhere)}."
            return Answer(result=best.result, sentence=best.sentence + more, score=best.score, found=best.found)
    return best


def _near(cited: Cited, table: Table) -> list[str]:
    """Where another table holds the value in a row of the cited name."""
    return [
        f"{table.name}, {described(fits.value)}"
        for fits in _compared(cited, table)
        if fits.row.whole and numbers.holds(fits.value.text, cited.value, cited.unit)
    ]


def _in_table(cited: Cited, table: Table) -> Answer:
    cells = _compared(cited, table)
    holding = [cell for cell in cells if numbers.holds(cell.value.text, cited.value, cited.unit)]
    meant = _meant(cells)
    right = [cell for cell in meant if cell in holding]
    if right:
        best = max(right, key=lambda cell: cell.rank)
        sentence = f"{cited.value} stands in {table.name}, {described(best.value)}."
        if len(meant) > 1:
            sentence += f" The words of the citation fit {len(meant)} cells of the table."
        return _answer(Result.CONFIRMED, sentence, table, best)
    if holding:
        # First the cells of the row that the claim names, then those of its column.
        best = max(holding, key=lambda cell: (cell.row.rank, cell.column.rank))
        alike = [cell for cell in holding if cell.row.rank == best.row.rank and cell.column.rank == best.column.rank]
        said = _listed([described(cell.value) for cell in alike])
        return _answer(
            Result.MISATTRIBUTED,
            f"{cited.value} stands in {table.name} under another place than the claim says: {said}. "
            f"{_instead(cited, meant, cells)}",
            table,
            best,
        )
    if meant:
        texts = _listed([f"{cell.value.text} ({described(cell.value)})" for cell in meant])
        sentence = f"The cited cell of {table.name} does not hold {cited.value}. It holds {texts}."
        return _answer(Result.CONTRADICTED, sentence, table, meant[0])
    close = max(cells, key=lambda cell: cell.rank, default=None)
    sentence = f"{table.name} holds no {cited.value}{_unit(cited)}."
    if close is not None:
        sentence += f" The cell that fits the citation best holds {close.value.text}: {described(close.value)}."
    return Answer(result=Result.NOT_FOUND, sentence=sentence, score=close.score if close else None)


def _unit(cited: Cited) -> str:
    return f" {cited.unit}" if cited.unit in ("million", "billion") else ""


def _instead(cited: Cited, meant: Sequence[_Fits], cells: Sequence[_Fits]) -> str:
    """What is the case at the cited place."""
    if meant:
        return f"The cited cell holds {_listed([cell.value.text for cell in meant])}."
    if not any(cell.column.whole for cell in cells):
        return f"No column of the table fits “{cited.column}”."
    if not any(cell.row.whole for cell in cells):
        return f"No row of the table fits “{cited.row}”."
    return "No cell of the table fits row and column."


def _compared(cited: Cited, table: Table) -> list[_Fits]:
    """Every number of the table with the fit of its headers; of a transposed table, rows and columns change places."""
    straight = _fits(cited.row, cited.column, table)
    across = _fits(cited.column, cited.row, table)
    if max((cell.rank for cell in across), default=()) > max((cell.rank for cell in straight), default=()):
        return [_Fits(cell.value, cell.column, cell.row) for cell in across]
    return straight


def _fits(row: str, column: str, table: Table) -> list[_Fits]:
    caption = words.terms(table.caption)
    rows = {value.row: value.row_path for value in table.values}
    columns = {(value.column, value.column_path): value.column_path for value in table.values}
    in_rows, in_columns = (frozenset().union(*map(words.all_terms, paths.values())) for paths in (rows, columns))
    row_fits = {place: words.fit(row, found, caption, in_rows) for place, found in rows.items()}
    column_fits = {place: words.fit(column, found, caption, in_columns) for place, found in columns.items()}
    return [_Fits(value, row_fits[value.row], column_fits[value.column, value.column_path]) for value in table.values]


def _meant(cells: Iterable[_Fits]) -> list[_Fits]:
    """The cells that the words lead to: those that all words fit, of these the ones without a word more, then in that order."""
    meant = [cell for cell in cells if cell.whole]
    for better in (
        [cell for cell in meant if cell.row.exact],
        [cell for cell in meant if cell.column.exact],
        [cell for cell in meant if cell.row.ordered],
        [cell for cell in meant if cell.column.ordered],
    ):
        meant = [cell for cell in meant if cell in better] or meant
    return meant


def _answer(result: Result, sentence: str, table: Table, cell: _Fits) -> Answer:
    return Answer(result=result, sentence=sentence.strip(), score=cell.score, found=found(table, cell.value))


def found(table: Table, value: Value) -> Found:
    """A cell with its headers and the numbers beside it."""
    return Found(
        table=table.name,
        row=value.row_path,
        column=value.column_path,
        text=value.text,
        neighbours=tuple(
            Neighbour(column=other.column_path, text=other.text, found=other.column == value.column)
            for other in table.around(value)
        ),
    )


def described(value: Value) -> str:
    """`row “BLIP-2 ViT-g OPT 2.7B”, column “COCO Fine-tuned, Karpathy test, B@4”`."""
    row, column = " ".join(value.row_path) or "without a name", ", ".join(value.column_path) or "without a name"
    return f"row “{row}”, column “{column}”"


def _listed(parts: Sequence[str]) -> str:
    more = f" and {len(parts) - SHOWN} more" if len(parts) > SHOWN else ""
    return "; ".join(parts[:SHOWN]) + more
