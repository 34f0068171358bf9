"""A file, a folder of LaTeX files, or an archive of them as a document. `child.py` calls this in a process of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_claims import digests
from pytest_claims.citation import bundle, html, latex, pdf
from pytest_claims.citation.bundle import ARCHIVES, BYTES, LATEX
from pytest_claims.citation.latex_tokens import Unreadable
from pytest_claims.citation.models import Document, Page

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_claims.citation.grid import Table

PDF_BYTES = 60 * 2**20
"""The most bytes of a PDF."""

TEXT = 5_000_000
"""The most characters of all pages, and of all cells: 40 pages have about 150,000."""

HTML = (".html", ".htm", ".xhtml")
SUFFIXES = (*HTML, *LATEX, *ARCHIVES, ".pdf")
"""What can be read, the best first."""


def read(path: Path) -> Document:
    """The tables and the text of a paper's source.

    Raises:
        Unreadable: it cannot be read; the message is a part of a sentence.
    """
    try:
        return _bounded(_read(path))
    except OSError as error:
        raise Unreadable(f"it cannot be opened ({error.strerror})") from None
    except ModuleNotFoundError as error:
        raise Unreadable(f"reading it needs {error.name}: pip install 'pytest-claims[citations]'") from None


def _read(path: Path) -> Document:
    if path.is_dir():
        text, include, digest, notes = bundle.of_folder(path).read()
        tables, pages, problems = latex.read(text, include)
        return _document(path, tables, pages, [*problems, *notes], digest())
    kind = _kind(path)
    if kind == "archive":
        text, include, _, notes = bundle.of_archive(path).read()
        tables, pages, problems = latex.read(text, include)
        return _document(path, tables, pages, [*problems, *notes], digests.of_file(path))
    data = bundle.of_bytes(path, PDF_BYTES if kind == "pdf" else BYTES)
    if kind == "pdf":
        return replace(_document(path, *pdf.read(data), digests.of(data)), careful=True)
    if kind == "latex":
        tables, pages, problems = latex.read(bundle.decoded(data), bundle.including(bundle.loader(path.parent)))
    else:
        tables, pages, problems = html.read(data)
    return _document(path, tables, pages, problems, digests.of(data))


def _kind(path: Path) -> str:
    """What a file is, by its suffix, else by its first bytes: arXiv's downloads have none."""
    name = path.name.lower()
    for kind, suffixes in (("pdf", (".pdf",)), ("latex", LATEX), ("html", HTML), ("archive", ARCHIVES)):
        if name.endswith(suffixes):
            return kind
    with path.open("rb") as file:
        head = file.read(100_000)
    if head.startswith(b"%PDF-"):
        return "pdf"
    if head.startswith(b"\x1f\x8b") or bundle.is_tar(head):
        return "archive"
    return "latex" if b"\\document" in head or b"\\begin{" in head else "html"


def _document(path: Path, tables: list[Table], pages: list[Page], problems: list[str], digest: str) -> Document:
    return Document(
        name=path.name, version=None, tables=tuple(tables), pages=tuple(pages), problems=tuple(problems), digest=digest
    )


def _bounded(document: Document) -> Document:
    """`document` with at most `TEXT` characters of pages; what is left out is said."""
    room, pages, problems = TEXT, [], list(document.problems)
    for page in document.pages:
        pages.append(replace(page, text=page.text[: max(room, 0)]))
        room -= len(page.text)
    if room < 0:
        problems.append(f"only the first {TEXT:,} characters of its text were read")
    cells = sum(len(cell.text) for table in document.tables for row in table.grid.rows for cell in row.cells)
    if cells > TEXT:
        raise Unreadable(f"its tables hold more than {TEXT:,} characters")
    return replace(document, pages=tuple(pages), problems=tuple(problems))
