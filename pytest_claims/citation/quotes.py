"""Whether a quoted text stands in a paper, on which page, and what comes nearest where it does not."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_claims.citation import words

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pytest_claims.citation.models import Document, Page

WINDOWS = 400
"""How many passages are compared with a quotation that does not stand in the text."""

NEAR = 0.6
"""The similarity from which a passage is shown as a near miss; 1 means equal."""

LONGEST = 60
"""The most words of a quotation that are compared with passages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """Where a quotation stands."""

    stands: bool
    pages: tuple[int, ...] = ()
    """The pages that hold it; empty where the source has no pages."""
    in_row: bool = False
    """It is a row of a table, of which it leaves cells out."""
    nearest: str = ""
    """The passage that comes nearest to one that does not stand in the text."""
    nearest_page: int | None = None


def find(quoted: str, document: Document) -> Quote:
    """Look for a quotation in the text of a paper, then in the rows of its tables."""
    wanted = _compact(words.tokens(quoted))
    if not wanted:
        return Quote(stands=False)
    holding = [page for page in document.pages if wanted in _compact_page(page.text)]
    if holding:
        return Quote(stands=True, pages=tuple(page.number for page in holding if page.number is not None))
    if _in_a_row(words.tokens(quoted), (line for table in document.tables for line in table.lines())):
        return Quote(stands=True, in_row=True)
    nearest, page = _nearest(quoted, document.pages)
    return Quote(stands=False, nearest=nearest, nearest_page=page)


def pages_with(number: str, pages: Sequence[Page]) -> list[Page]:
    """The pages that hold a number as a token of its own, whatever unit follows it."""
    digits = number.lstrip("-+")
    wanted = {digits, digits.removeprefix("0.")}  # a paper may print .437
    return [
        page
        for page in pages
        if any(token.rstrip("%kmbt") in wanted for token in words.page_tokens(page.text) if token[0].isdigit())
    ]


def _compact(tokens: Iterable[str]) -> str:
    """Tokens in one text. Numbers are kept apart, and words are not, so that it does not matter how a line divides them."""
    return "".join(f"\x1f{token}\x1f" if token[0].isdigit() else token for token in tokens)


def _compact_page(text: str) -> str:
    return _compact(words.page_tokens(text))


def _in_a_row(wanted: Sequence[str], lines: Iterable[str]) -> bool:
    """Whether some line holds the tokens in their order, with others between them."""
    for line in lines:
        there = iter(words.tokens(line[:4_000]))
        if all(token in there for token in wanted):
            return True
    return False


def _nearest(quoted: str, pages: Sequence[Page]) -> tuple[str, int | None]:
    """The passage of the text that is most like the quotation, with its page; empty if none is near."""
    wanted = quoted.split()[:LONGEST]
    marks = {token for word in wanted for token in words.tokens(word)}
    best, compared = NEAR, 0
    found: tuple[str, int | None] = ("", None)
    matcher = difflib.SequenceMatcher(autojunk=False)
    matcher.set_seq2(" ".join(wanted).lower())
    for page in pages:
        there = page.text.split()
        for place, word in enumerate(there):
            if compared >= WINDOWS or not marks.intersection(words.tokens(word[:100])):
                continue
            compared += 1
            passage = " ".join(there[place : place + len(wanted)])
            matcher.set_seq1(passage[:1_000].lower())
            if matcher.real_quick_ratio() > best and matcher.quick_ratio() > best and matcher.ratio() > best:
                best, found = matcher.ratio(), (passage[:300], page.number)
    return found
