"""The text of a PDF, page by page.

pypdfium2 reads it: PDFium is the reader of Chromium, fast and tested with hostile files. A PDF holds characters with places and
no tables. Papers draw few lines between the columns, so that a library can only guess where a cell ends, and a guess must not
say that a number is wrong. So no tables are read from a PDF.
"""

from __future__ import annotations

import re

from pytest_claims.citation.latex_tokens import Unreadable
from pytest_claims.citation.models import Page

PAGES = 300
"""The most pages that are read."""

LEAST = 200
"""Characters below which a PDF counts as pictures of pages."""

WITHOUT_TABLES = (
    "A PDF has no tables that can be read reliably: the cell was not looked up. Give the paper's HTML or LaTeX for that"
)


def read(data: bytes) -> list[Page]:
    """The text of each page.

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
    try:
        for index in range(min(len(document), PAGES)):
            try:
                page = document[index]
                text = page.get_textpage().get_text_range()
            except pypdfium2.PdfiumError:
                text = ""
            pages.append(Page(text=tidy(text), number=index + 1))
    finally:
        document.close()
    if sum(len(page.text) for page in pages) < LEAST:
        raise Unreadable("it holds no text; its pages may be pictures")
    return pages


def tidy(text: str) -> str:
    """The text of a page in one line. A word that is divided at the end of a line is put together."""
    text = re.sub(r"(?:[\x02\ufffe\xad]|(?<=[a-z])-)\r?\n(?=[a-z])", "", text)
    return re.sub(r"\s+", " ", text.replace("\x02", "-").replace("\ufffe", "-")).strip()
