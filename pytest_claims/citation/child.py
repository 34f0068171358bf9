"""Reads a paper's source in a process of its own, in bounded time and memory.

A source is untrusted: whoever proposes a claim may put one beside it. lxml and PDFium are programs in C, and a file can be
made so that a reader takes hours. So a child reads one file and prints what it found. It has no more than `CPU` seconds and
`MEMORY` bytes (Windows has neither limit, only `WALL_WITHOUT_CPU`).
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_claims import children
from pytest_claims.citation.grid import Cell, Grid, Row, Table
from pytest_claims.citation.latex_tokens import Unreadable
from pytest_claims.citation.models import Document, Page

if TYPE_CHECKING:
    from collections.abc import Mapping

CPU = 4
"""Seconds of CPU time. A paper of 40 pages takes less than one."""

WALL = 60.0
"""Seconds that pass, on a system that limits CPU time: other programs may keep a machine busy."""

WALL_WITHOUT_CPU = 5.0
"""Seconds that pass, on a system that does not limit CPU time."""

MEMORY = 480 * 2**20
"""Bytes of address space."""


def read(path: Path) -> Document:
    """What `reading.read` gives for a file or a folder, from a child process.

    Raises:
        Unreadable: it cannot be read, or not within the limits.
    """
    limited = sys.platform != "win32"
    try:
        done = subprocess.run(  # noqa: S603 - this interpreter and this package
            children.command("pytest_claims.citation.child.serve", file=str(path.absolute())),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=WALL if limited else WALL_WITHOUT_CPU,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unreadable("reading it takes too long") from None
    if done.returncode:
        raise Unreadable(f"reading it takes more than {CPU} s or {MEMORY // 2**20} MB")
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise Unreadable("reading it gave no answer") from None
    if "unreadable" in answer:
        raise Unreadable(answer["unreadable"])
    return _document(answer)


def serve(file: str) -> None:
    """Read `file` and print the answer. Runs in the child."""
    _limit()
    from pytest_claims.citation import reading

    try:
        answer = _values(reading.read(Path(file)))
    except Unreadable as error:
        answer = {"unreadable": str(error)}
    except (MemoryError, RecursionError):
        answer = {"unreadable": f"reading it takes more than {MEMORY // 2**20} MB"}
    sys.stdout.write(json.dumps(answer))


def _limit() -> None:
    if sys.platform == "win32":
        return
    import resource

    for limit, most in ((resource.RLIMIT_CPU, CPU), (resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CORE, 0)):
        _, hard = resource.getrlimit(limit)
        resource.setrlimit(limit, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _values(document: Document) -> dict[str, Any]:
    return {
        "name": document.name,
        "pages": [[page.text, page.number] for page in document.pages],
        "careful": document.careful,
        "problems": list(document.problems),
        "digest": document.digest,
        "tables": [
            {
                "number": table.number,
                "caption": table.caption[:2_000],
                "page": table.page,
                "pushed": table.grid.pushed,
                "rows": [
                    {
                        "cells": [[cell.text, cell.rows, cell.columns] for cell in row.cells],
                        "ruled": row.ruled,
                        "head": row.head,
                    }
                    for row in table.grid.rows
                ],
            }
            for table in document.tables
        ],
    }


def _document(answer: Mapping[str, Any]) -> Document:
    return Document(
        name=answer["name"],
        version=None,
        pages=tuple(Page(text=text, number=number) for text, number in answer["pages"]),
        careful=answer["careful"],
        problems=tuple(answer["problems"]),
        digest=answer["digest"],
        tables=tuple(_table(table) for table in answer["tables"]),
    )


def _table(answer: Mapping[str, Any]) -> Table:
    rows = [
        Row(
            cells=tuple(Cell(text=text, rows=rows, columns=columns) for text, rows, columns in row["cells"]),
            ruled=row["ruled"],
            head=row["head"],
        )
        for row in answer["rows"]
    ]
    grid = Grid(rows, pushed=answer["pushed"])
    return Table(grid=grid, number=answer["number"], caption=answer["caption"], page=answer["page"])
