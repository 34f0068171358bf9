"""The text of a PDF, page by page, and the tables that can be read without a guess.

pypdfium2 reads it: PDFium is the reader of Chromium, fast and tested with hostile files.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_claims.citation import pdf_layout, pdf_tables
from pytest_claims.citation.latex_tokens import Unreadable
from pytest_claims.citation.models import Page

if TYPE_CHECKING:
    from pytest_claims.citation.grid import Table

PAGES = 300
"""The most pages that are read."""

LEAST = 200
"""Characters below which a PDF counts as pictures of pages."""

WITH_TABLES = 80_000
"""On how many characters tables are looked for, those of pages with captions of tables. Such a page has about 4,000."""


def read(data: bytes) -> tuple[list[Table], list[Page], list[str]]:
    """The tables that have one reading, the text of each page, and why other tables were not read.

    Raises:
        Unreadable: it is no PDF, is encrypted, or holds no text.
        ModuleNotFoundError: pypdfium2 is not installed.
    """
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        locked = "password" in str(error).lower() or "security" in str(error).lower()
        raise Unreadable("it is encrypted" if locked else "it is no PDF that can be read") from None
    pages = []
    layouts: list[pdf_layout.Layout | None] = []
    room = WITH_TABLES
    try:
        for index in range(min(len(document), PAGES)):
            try:
                page = document[index]
                textpage = page.get_textpage()
                text = textpage.get_text_range()
                tables = pdf_tables.named(text)
                room -= len(text) if tables else 0
                layouts.append(pdf_layout.read(page, textpage) if tables and room > 0 else None)
            except pypdfium2.PdfiumError:
                text = ""
                layouts.append(None)
            pages.append(Page(text=tidy(text), number=index + 1))
    finally:
        document.close()
    if sum(len(page.text) for page in pages) < LEAST:
        raise Unreadable("it holds no text; its pages may be pictures")
    found, problems = pdf_tables.read(layouts)
    return found, pages, problems


def tidy(text: str) -> str:
    """The text of a page in one line. A word that is divided at the end of a line is put together."""
    text = re.sub(r"(?:[\x02\ufffe\xad]|(?<=[a-z])-)\r?\n(?=[a-z])", "", text)
    return re.sub(r"\s+", " ", text.replace("\x02", "-").replace("\ufffe", "-")).strip()
