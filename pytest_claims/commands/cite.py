"""List every cell of a paper's tables that holds a value, each as a `citation:` block to put into a claim."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_claims import text

if TYPE_CHECKING:
    import argparse

    from pytest_claims.citation import Document
    from pytest_claims.citation.grid import Table, Value

HELP = "list the cells of a paper's tables that hold a value, as citation blocks"

SHOWN = 50
"""The most cells that are listed."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "--paper", required=True, metavar="FILE", help="the paper's HTML, LaTeX (a file or a folder) or PDF"
    )
    parser.add_argument(
        "row", help="words of the row, such as 'BLIP-2 OPT-2.7B'; the cells of rows that fit come first"
    )
    parser.add_argument("value", help="the value as the paper prints it, such as 43.7")


def run(arguments: argparse.Namespace) -> int:
    """Print the cells; 1 if there is none."""
    from pytest_claims.citation import numbers, words

    document = opened(arguments.paper)
    wanted = words.terms(arguments.row)
    found: list[tuple[float, Table, Value]] = []
    for table in document.tables:
        for value in table.values:
            if numbers.prints(value.text, arguments.value):
                there = words.all_terms(value.row_path)
                found.append((len(wanted & there) / (len(wanted) or 1), table, value))
    if not found:
        return _pages(document, arguments.value) if document.careful else _none(document, arguments.value)
    found.sort(key=lambda one: -one[0])
    for share, table, value in found[:SHOWN]:
        fits = "" if share == 1 else f"; {share:.0%} of “{arguments.row}” stands in its row"
        _print(f"# {table.name} of {document.name}{fits}")
        _print("citation:")
        for key, written in block(table, value).items():
            _print(f"  {key}: {written}")
        _print("")
    if len(found) > SHOWN:
        sys.stderr.write(f"{len(found) - SHOWN:,} more cells hold {text.line(arguments.value)}.\n")
    return 0


def opened(name: str) -> Document:
    """The document that a path leads to.

    Raises:
        SettingsError: there is no such path.
        ClaimsError: it cannot be read.
    """
    from pytest_claims.citation import child
    from pytest_claims.citation.latex_tokens import Unreadable
    from pytest_claims.errors import ClaimsError, SettingsError

    path = Path(name)
    if not path.exists():
        raise SettingsError(
            f"--paper {name}: there is no such file or folder; docs/citations.md says where to get one."
        )
    try:
        document = child.read(path)
    except Unreadable as error:
        raise ClaimsError(f"{name} cannot be read: {error}.") from None
    for problem in document.problems:
        sys.stderr.write(f"{text.line(f'{name}: not read: {problem}')}\n")
    return document


def block(table: Table, value: Value) -> dict[str, str]:
    """The keys of a citation of a cell, each with its value as YAML."""
    row, column = " ".join(value.row_path), ", ".join(value.column_path)
    return {
        "section": scalar(table.name if table.number else table.caption[:80] or "TODO"),
        "row": scalar(row or "TODO"),
        "column": scalar(column or "TODO"),
        "quoted_text": scalar(f"{row} {value.text}".strip()),
        "pdf_page": "null",
        "notes": "null",
    }


def scalar(written: str) -> str:
    """A text as YAML: in quotes, so that no text of a paper means anything else there."""
    import json

    return json.dumps(text.clean(" ".join(written.split())), ensure_ascii=False)


def _pages(document: Document, value: str) -> int:
    from pytest_claims.citation import quotes

    pages = ", ".join(str(page.number) for page in quotes.pages_with(value, document.pages))
    where = f"{value} stands on page {pages}." if pages else f"No page holds {value}."
    said = f"{document.name} is a PDF: no cell that can be told for certain holds {value}. {where} HTML or LaTeX would tell."
    sys.stderr.write(f"{text.line(said)}\n")
    return 1


def _none(document: Document, value: str) -> int:
    known = ", ".join(table.name for table in document.tables[:20]) or "none"
    said = f"No cell of {document.name} holds {value}. Its tables: {known}. The digits must be those that the paper prints."
    sys.stderr.write(f"{text.line(said)}\n")
    return 1


def _print(line: str) -> None:
    sys.stdout.write(f"{text.block(line)}\n")
