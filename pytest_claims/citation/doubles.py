"""Claims of different files that cite one number of one paper under different cells: not all of them can be right."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

from pytest_claims.citation import words
from pytest_claims.citation.cells import number_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytest_claims.spec import Claim

COMPARED = 200
"""With how many claims that cite the same number a claim is compared, so that many such claims take linear time."""

_Key: TypeAlias = tuple[str, ...]


class Cited:
    """What the claims of a session cite, by paper, table, metric and number."""

    def __init__(self) -> None:
        self._claims: dict[_Key, list[Claim]] = {}

    def add(self, claims: Iterable[Claim]) -> None:
        """Note what these claims cite."""
        for claim in claims:
            self._claims.setdefault(_key(claim), []).append(claim)

    def elsewhere(self, claim: Claim) -> list[str]:
        """The claims of other files that cite the claim's number under another column of a row with such a name."""
        return list(islice(self._elsewhere(claim), 3))

    def _elsewhere(self, claim: Claim) -> Iterator[str]:
        row, column = words.terms(claim.citation.row), words.terms(claim.citation.column)
        for other in self._claims.get(_key(claim), ())[:COMPARED]:
            if other.file == claim.file:
                continue
            # A citation may say less than another one, and mean the same cell.
            if _within(row, words.terms(other.citation.row)) and not _within(
                column, words.terms(other.citation.column)
            ):
                yield f"{other.citation.column} ({other.display}::{other.id})"


def _key(claim: Claim) -> _Key:
    citation, reported, paper = claim.citation, claim.reported, claim.paper
    table = number_of(citation.section) or " ".join(citation.section.split()).casefold()
    return (paper.arxiv_id or paper.source_url or "", table, reported.metric, reported.value.text, reported.unit)


def _within(one: frozenset[str], other: frozenset[str]) -> bool:
    return one <= other or other <= one
