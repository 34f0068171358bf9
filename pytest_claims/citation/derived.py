"""The citations of a derived claim: its sentence, and the cell of each operand."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_claims.citation import quotes, words
from pytest_claims.citation.check import check, read
from pytest_claims.citation.models import CitationCheck, Result
from pytest_claims.spec import DerivedRun, operands

if TYPE_CHECKING:
    from pytest_claims.citation.library import Library
    from pytest_claims.spec import Claim

SENTENCE = 5
"""The fewest words of a quotation that identifies a sentence. “by 8.7%” stands in many papers."""


def check_all(claim: Claim, library: Library) -> CitationCheck:
    """Whether a claim's number stands where it says; of a derived claim, those of its operands too. Never raises."""
    if not isinstance(claim.run, DerivedRun):
        return check(claim, library)
    own = _sentence(claim, check(claim, library), library)
    found = {}
    for name, (value, unit, citation) in operands.numbers(claim).items():
        target = claim.operands.get(name)
        if target is None:
            reported = claim.reported.model_copy(update={"value": value, "unit": unit})
            target = replace(claim, citation=citation, reported=reported, doubles=())
        found[name] = check(target, library)
    return _together(own, found)


def _sentence(claim: Claim, own: CitationCheck, library: Library) -> CitationCheck:
    """The check of a sentence that names no table: its words are its place, if they are enough to tell it from others."""
    if own.result is not Result.UNCHECKED or not own.source:
        return own
    quoted = claim.citation.quoted_text
    plain = [token for token in words.tokens(quoted) if token[0].isalpha()]
    if len(plain) < SENTENCE:
        few = f" It has fewer than {SENTENCE} words, which may stand anywhere: quote the sentence."
        return replace(own, sentence=own.sentence + few)
    document = read(claim, library)
    found = quotes.find(quoted, document) if document is not None else None
    if found is None or not found.stands or found.in_row:
        return own
    return replace(own, result=Result.CONFIRMED, sentence=f"The quoted sentence stands in {own.source}.")


def _together(own: CitationCheck, operands: dict[str, CitationCheck]) -> CitationCheck:
    """One check: the first that is rejected, else `confirmed` if all are, else `unchecked`."""
    rejected = next((name for name, found in operands.items() if found.rejected), None)
    if not own.rejected and rejected is not None:
        bad = operands[rejected]
        return replace(bad, sentence=f"Operand {rejected}: {bad.sentence}", operands=operands)
    if own.rejected:
        return replace(own, operands=operands)
    if own.result is Result.CONFIRMED and all(found.result is Result.CONFIRMED for found in operands.values()):
        return replace(own, sentence=f"{own.sentence} So do all operands, in their cells.", operands=operands)
    open_ = [name for name, found in operands.items() if found.result is Result.UNCHECKED]
    more = f" Unchecked operands: {', '.join(open_)}." if open_ else ""
    return replace(own, result=Result.UNCHECKED, sentence=f"{own.sentence}{more}", operands=operands)
