"""What the check of a citation finds, and what a reader gives it: plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_claims.citation.grid import Table


class Result(StrEnum):
    """Whether the number stands where the claim says."""

    CONFIRMED = "confirmed"
    MISATTRIBUTED = "misattributed"
    """The table holds the number, under another row or column."""
    CONTRADICTED = "contradicted"
    """The cited cell holds another number."""
    NOT_FOUND = "not_found"
    UNCHECKED = "unchecked"
    """There was no source to look into, or it could not be read."""


REJECTED = (Result.MISATTRIBUTED, Result.CONTRADICTED, Result.NOT_FOUND)
"""A claim with such a citation gets no verdict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A part of a paper's text."""

    text: str
    number: int | None = None
    """Of the page; None where the source has no pages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A paper as its source gives it."""

    name: str
    """The file's name, as a person would type it."""
    version: int | None
    """The paper's version, if the file's name says it."""
    tables: tuple[Table, ...] = ()
    pages: tuple[Page, ...] = ()
    careful: bool = False
    """Its tables were made of characters and their places: they may confirm a number, and find it in another place, no more."""
    problems: tuple[str, ...] = ()
    """What of it could not be read."""
    digest: str = ""
    """SHA-256 of the files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """A number of the row that the value was found in."""

    column: tuple[str, ...]
    """The words above it."""
    text: str
    found: bool
    """It is the claim's value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The cell that holds the value; where none does, the cited cell."""

    table: str
    row: tuple[str, ...]
    """The words at its left."""
    column: tuple[str, ...]
    """The words above it, the topmost first."""
    text: str
    neighbours: tuple[Neighbour, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CitationCheck:
    """Whether a claim's number stands in the cell that it cites."""

    result: Result
    sentence: str
    """What was found, for a person."""
    next_step: str = ""
    source: str = ""
    """The file that was looked into; empty where there was none."""
    digest: str = ""
    """SHA-256 of that file, or of all files of the folder."""
    version: int | None = None
    """The paper's version, if the file's name says it."""
    score: float | None = None
    """How much of the citation's row and column the cell's headers hold, 0 to 1; None where no cell was compared."""
    found: Found | None = None
    operands: Mapping[str, CitationCheck] = field(default_factory=dict)
    """The checks of the numbers that a derived one comes from, by operand."""
    notes: tuple[str, ...] = ()
    """What else a reader should know: the quoted text, the page, the version."""

    @property
    def rejected(self) -> bool:
        """Whether the claim gets no verdict."""
        return self.result in REJECTED
