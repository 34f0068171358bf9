"""A file, or a folder of LaTeX files, as a document. `child.py` calls this in a process of its own."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_claims import digests
from pytest_claims.citation import html, latex, pdf
from pytest_claims.citation.latex_tokens import Unreadable
from pytest_claims.citation.models import Document, Page

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_claims.citation.grid import Table

BYTES = 20 * 2**20
"""The most bytes of a text file, and of all LaTeX files of a folder. A page of arXiv's HTML has up to about 5 MB."""

PDF_BYTES = 60 * 2**20
"""The most bytes of a PDF."""

FILES = 500
"""The most LaTeX files of a folder."""

TEXT = 5_000_000
"""The most characters of all pages, and of all cells: 40 pages have about 150,000."""

HTML = (".html", ".htm", ".xhtml")
LATEX = (".tex", ".ltx")
SUFFIXES = (*HTML, *LATEX, ".pdf")
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
        return _latex_folder(path)
    suffix = path.suffix.lower()
    if suffix == ".pdf":
        data = _bytes(path, PDF_BYTES)
        pages = pdf.read(data)
        return Document(
            name=path.name, version=None, pages=tuple(pages), without_tables=pdf.WITHOUT_TABLES, digest=digests.of(data)
        )
    data = _bytes(path, BYTES)
    if suffix in LATEX:
        tables, pages, problems = latex.read(_decoded(data), _including(path.parent))
    else:
        tables, pages, problems = html.read(data)
    return _document(path, tables, pages, problems, digests.of(data))


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


def _bytes(path: Path, most: int) -> bytes:
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise Unreadable(f"it has more than {most // 2**20} MB")
    return data


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _including(folder: Path, used: dict[Path, bytes] | None = None) -> latex.Include:
    r"""What `\input` reads: files below `folder`, together at most `BYTES`."""
    left = [BYTES]
    root = folder.resolve()

    def include(name: str) -> str | None:
        if not name or "\0" in name or len(name) > 200:
            return None
        for path in (folder / name, folder / f"{name}.tex"):
            resolved = path.resolve()
            if resolved.is_relative_to(root) and resolved.suffix in (*LATEX, ".sty", ".cls") and resolved.is_file():
                data = _bytes(resolved, BYTES)
                left[0] -= len(data)
                if left[0] < 0:
                    raise Unreadable(f"the files that it includes have more than {BYTES // 2**20} MB")
                if used is not None:
                    used[resolved] = data
                return _decoded(data)
        return None

    return include


def _latex_folder(folder: Path) -> Document:
    """The LaTeX source of a paper as arXiv gives it: the file with `documentclass` is read, with all that it includes."""
    files = list(_tex_files(folder))
    if not files:
        raise Unreadable("the folder holds no .tex file")
    sources = {path: _bytes(path, BYTES) for path in files}
    if sum(map(len, sources.values())) > BYTES:
        raise Unreadable(f"its files have more than {BYTES // 2**20} MB")
    mains = [path for path, data in sources.items() if re.search(rb"(?m)^[^%\n]*\\documentclass", data)]
    chosen = (
        [max(mains, key=lambda path: (len(path.parts) == len(folder.parts) + 1, len(sources[path])))]
        if mains
        else files
    )
    used = {path: sources[path] for path in chosen}
    tables, pages, problems = latex.read(
        "\n\n".join(_decoded(sources[path]) for path in chosen), _including(chosen[0].parent if mains else folder, used)
    )
    digest = digests.of(b"".join(hashlib.sha256(used[path]).digest() for path in sorted(used)))
    return _document(folder, tables, pages, problems, digest)


def _tex_files(folder: Path) -> Iterator[Path]:
    root = folder.resolve()
    found = 0
    for top, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))[:50]
        for name in sorted(names):
            path = Path(top) / name
            if path.suffix.lower() in LATEX and path.resolve().is_relative_to(root) and path.is_file():
                found += 1
                if found > FILES:
                    raise Unreadable(f"the folder holds more than {FILES} .tex files")
                yield path
