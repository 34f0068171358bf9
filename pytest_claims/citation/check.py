"""Checks a claim's citation against the paper's source: the cell, the quoted text, the page, the version."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_claims.citation import cells, quotes
from pytest_claims.citation.latex_tokens import Unreadable
from pytest_claims.citation.models import CitationCheck, Result
from pytest_claims.errors import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_claims.citation.library import Library, Source
    from pytest_claims.citation.models import Document
    from pytest_claims.spec import Claim

CORRECT = (
    "Correct the citation, or the value. `python -m pytest_claims cite --paper {source} {row} {value}` lists the cells that "
    "hold the value."
)


def check(claim: Claim, library: Library) -> CitationCheck:
    """Whether the claim's number stands in the cell that it cites. Never raises: what cannot be checked is `unchecked`."""
    found = _against_source(claim, library)
    return replace(found, notes=(*found.notes, *_doubles(claim, library)))


def _doubles(claim: Claim, library: Library) -> Iterator[str]:
    value = claim.reported.value.text
    if claim.doubles:
        yield f"{value} is cited from this row under another column too: {'; '.join(claim.doubles[:3])}"
    if elsewhere := library.cited.elsewhere(claim):
        yield f"another file cites {value} from such a row under another column: {'; '.join(elsewhere)}"


def _against_source(claim: Claim, library: Library) -> CitationCheck:
    try:
        sources = library.sources(claim.paper, claim.file.parent)
    except EvaluationError as error:
        return CitationCheck(result=Result.UNCHECKED, sentence=f"The paper's source was not read. {error}")
    if not sources:
        return _without_source(claim)
    problems = []
    for source in sources:
        try:
            document = library.read(source)
        except Unreadable as error:
            problems.append(f"{source.shown} cannot be read: {error}.")
            continue
        return _checked(claim, document, library, sources)
    return CitationCheck(result=Result.UNCHECKED, sentence=" ".join(problems), source=sources[0].shown)


def read(claim: Claim, library: Library) -> Document | None:
    """The document that `check` looks into; None if there is none."""
    try:
        sources = library.sources(claim.paper, claim.file.parent)
    except EvaluationError:
        return None
    for source in sources:
        try:
            return library.read(source)
        except Unreadable:
            continue
    return None


def _without_source(claim: Claim) -> CitationCheck:
    paper = claim.paper
    wanted = paper.source or (paper.arxiv_id and f"{paper.arxiv_id.replace('/', '_')}.html, .tex or .pdf")
    step = (
        f"Name a folder that holds {wanted} with --claims-papers=DIR; docs/citations.md says where to get it."
        if wanted
        else ""
    )
    return CitationCheck(result=Result.UNCHECKED, sentence="No source of the paper is at hand.", next_step=step)


def _checked(claim: Claim, document: Document, library: Library, sources: list[Source]) -> CitationCheck:
    """The check against a document that could be read."""
    notes = [*_version(claim, document), *_said_of_quote(claim, document)]
    if not document.pages or document.pages[0].number is None:
        notes += _page(claim, library, sources)
    answer = _in_pages(claim, document) if document.careful else _in_tables(claim, document)
    step = ""
    if answer.result in (Result.MISATTRIBUTED, Result.CONTRADICTED, Result.NOT_FOUND):
        step = CORRECT.format(
            source=shlex.quote(document.name), row=shlex.quote(claim.citation.row), value=claim.reported.value.text
        )
    elif answer.result is Result.UNCHECKED and document.problems and not document.careful:
        notes += [f"not read: {problem}" for problem in document.problems]
    return CitationCheck(
        result=answer.result,
        sentence=answer.sentence,
        next_step=step,
        source=document.name,
        digest=document.digest,
        version=document.version,
        score=answer.score,
        found=answer.found,
        notes=tuple(notes),
    )


def _cited(claim: Claim) -> cells.Cited:
    citation, reported = claim.citation, claim.reported
    return cells.Cited(
        section=citation.section,
        row=citation.row,
        column=citation.column,
        value=reported.value.text,
        unit=reported.unit,
    )


def _in_tables(claim: Claim, document: Document) -> cells.Answer:
    citation = claim.citation
    tables = cells.tables_of(citation.section, document.tables)
    if tables:
        return cells.look_up(_cited(claim), tables, [table for table in document.tables if table not in tables])
    number = cells.number_of(citation.section)
    if number and any(problem.startswith(f"Table {number}:") for problem in document.problems):
        return cells.Answer(result=Result.UNCHECKED, sentence=f"Table {number} of {document.name} could not be read.")
    if number and document.problems:
        return cells.Answer(
            result=Result.UNCHECKED,
            sentence=f"Table {number} is not among the tables of {document.name} that could be read.",
        )
    if number:
        known = ", ".join(dict.fromkeys(table.number for table in document.tables if table.number))
        has = f"its tables are {known}" if known else "it has no numbered table"
        return cells.Answer(result=Result.NOT_FOUND, sentence=f"{document.name} has no Table {number}: {has}.")
    return _in_text(claim, document)


def _in_text(claim: Claim, document: Document) -> cells.Answer:
    """What the text says of a citation that names no table: words alone do not say what a number is."""
    section = claim.citation.section
    if quotes.find(claim.citation.quoted_text, document).stands:
        sentence = (
            f"“{section}” names no table of {document.name}: no cell was looked up. The quoted text stands in it."
        )
        return cells.Answer(result=Result.UNCHECKED, sentence=sentence)
    sentence = f"“{section}” names no table of {document.name}, and the quoted text does not stand in it."
    return cells.Answer(result=Result.NOT_FOUND, sentence=sentence)


def _in_pages(claim: Claim, document: Document) -> cells.Answer:
    """What a PDF says: a cell that is certain may confirm the number, or show its place; else only its pages count."""
    value, name = claim.reported.value.text, document.name
    holding = quotes.pages_with(value, document.pages)
    if not holding:
        return cells.Answer(result=Result.NOT_FOUND, sentence=f"No page of {name} holds {value}.")
    number = cells.number_of(claim.citation.section)
    tables = [table for table in document.tables if number and table.number == number]
    if tables:
        # Where a caption ends cannot always be told. So it must neither be needed, nor change anything.
        answer = cells.look_up(_cited(claim), tables)
        bare = cells.look_up(_cited(claim), [replace(table, caption="") for table in tables])
        if answer.result is bare.result and answer.result in (Result.CONFIRMED, Result.MISATTRIBUTED):
            return answer
        answer = bare
        reason = f"{answer.sentence} That was read from the places of characters, which proves no number wrong"
    else:
        said = next((problem for problem in document.problems if number and problem.startswith(f"Table {number}:")), "")
        reason = f"{name} is a PDF, and the cell was not looked up"
        reason += f": {said}" if said else f": no caption of Table {number} was found in it" if number else ""
    pages = ", ".join(str(page.number) for page in holding[:5])
    sentence = f"{reason}. {value} stands on page {pages}. The paper's HTML or LaTeX would tell."
    return cells.Answer(result=Result.UNCHECKED, sentence=sentence, score=answer.score if tables else None)


def _version(claim: Claim, document: Document) -> Iterator[str]:
    stated = claim.paper.latest_version
    if document.version is not None and stated is not None and stated != document.version:
        yield f"{document.name} is version {document.version} of the paper; the claim file states version {stated}"


def _said_of_quote(claim: Claim, document: Document) -> Iterator[str]:
    """Whether the quoted text stands in the document, and on the cited page."""
    quote = quotes.find(claim.citation.quoted_text, document)
    if quote.in_row:
        yield "the quoted text is a row of a table, with cells left out"
    elif not quote.stands and quote.nearest:
        on = f" on page {quote.nearest_page}" if quote.nearest_page else ""
        yield f"the quoted text does not stand in {document.name}; nearest{on}: “{quote.nearest}”"
    elif not quote.stands:
        yield f"the quoted text does not stand in {document.name}, nor anything like it"
    cited = claim.citation.pdf_page
    if cited is not None and quote.pages and cited not in quote.pages:
        yield f"the quoted text stands on page {', '.join(map(str, quote.pages[:5]))}, not on page {cited}"
    elif cited is not None and quote.pages:
        yield f"the quoted text stands on page {cited}, as cited"


def _page(claim: Claim, library: Library, sources: list[Source]) -> Iterator[str]:
    """What a PDF of the same paper says of the cited page, where the tables come from another source."""
    if claim.citation.pdf_page is None:
        return
    for source in sources:
        if source.path.suffix.lower() == ".pdf":
            try:
                document = library.read(source)
            except Unreadable as error:
                yield f"{source.shown} cannot be read: {error}"
            else:
                yield from _said_of_quote(claim, document)
            return
