"""Write a claim file with a claim for each number of a paper's table; metrics and units are guessed, and marked as guesses."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_claims import text
from pytest_claims.commands import cite

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from pytest_claims.citation.grid import Table, Value

HELP = "write a claim file with a claim for each number of a paper's table"

CLAIMS = 1_000
"""The most claims of a file."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--paper", required=True, metavar="FILE", help="the paper's HTML or LaTeX (a file or a folder)")
    parser.add_argument("--table", required=True, metavar="NUMBER", help="the table's number, such as 3")
    parser.add_argument("--rows", default="*", metavar="GLOB", help="the rows, such as 'BLIP-2*' (default: all)")
    parser.add_argument("--output", metavar="PATH", help="the file to write (default: standard output)")


def run(arguments: argparse.Namespace) -> int:
    """Write the file."""
    from pytest_claims.citation import cells
    from pytest_claims.errors import ClaimsError, SettingsError

    document = cite.opened(arguments.paper)
    number = cells.number_of(f"Table {arguments.table}")
    tables = [table for table in document.tables if table.number and table.number == number]
    if not tables:
        known = (
            ", ".join(dict.fromkeys(table.number for table in document.tables if table.number)) or "none with a number"
        )
        raise SettingsError(f"--table {arguments.table}: {document.name} has no such table; its tables: {known}.")
    values = [(table, value) for table in tables for value in table.values if _named(value, arguments.rows)]
    if not values:
        rows = ", ".join(dict.fromkeys(f"“{' '.join(value.row_path)}”" for table in tables for value in table.values))
        raise SettingsError(f"--rows {arguments.rows}: no row of the table has such a name; its rows: {rows[:500]}.")
    written = "\n".join([*_head(Path(arguments.paper)), *_claims(values[:CLAIMS]), ""])
    if arguments.output is None:
        sys.stdout.write(text.block(written))
        return 0
    path = Path(arguments.output)
    if path.exists():
        raise SettingsError(f"--output {path}: there is such a file already; name another, or remove it.")
    try:
        path.write_text(text.block(written), encoding="utf-8")
    except OSError as error:
        raise ClaimsError(f"--output {path}: cannot be written: {error.strerror}.") from None
    sys.stderr.write(f"{text.line(f'{path}: {min(len(values), CLAIMS)} numbers. Read each TODO and each guess.')}\n")
    return 0


def _named(value: Value, pattern: str) -> bool:
    from fnmatch import fnmatchcase

    name = " ".join(value.row_path)
    return fnmatchcase(name.casefold(), pattern.casefold())


def _head(paper: Path) -> Iterator[str]:
    found = re.search(r"([0-9]{4}\.[0-9]{4,5})(?:v([0-9]+))?", paper.name)
    yield "# Made by `python -m pytest_claims scaffold`. Each TODO is yours to fill in, and each guess yours to check."
    yield "paper:"
    yield f'  arxiv_id: "{found[1]}"' if found else "  arxiv_id: null\n  source_url: TODO where the paper can be read"
    yield "  title: TODO the paper's title"
    if found and found[2]:
        yield f"  latest_version: {int(found[2])}"
    yield ""
    yield "protocol:"
    yield "  dataset: {id: TODO, split: test, images: 5000}  # TODO: the data set, and how many images the split has"
    yield "  metric: coco-caption  # a guess"
    yield ""
    yield "# Released captions are scored. docs/verdicts.md and README.md show the other evaluators."
    yield "run:"
    yield "  evaluator: predictions  # a guess"
    yield "  predictions: {path: TODO.json, id: image_id, caption: caption}"
    yield "  references: {path: TODO-references.json}"
    yield ""
    yield "claims:"


def _claims(values: Sequence[tuple[Table, Value]]) -> Iterator[str]:
    """The claims; those that the evaluator above cannot give stand in comments."""
    from pytest_claims.citation import guess, numbers

    taken: set[str] = set()
    active = 0
    for table, value in values:
        metric = guess.metric(value)
        unit = guess.unit(value, metric or "percent")
        (first, *_) = numbers.numbers(value.text)
        named = f"{' '.join(value.row_path)} {' '.join(value.column_path)}"
        lines = [f"  - id: {_id(named, taken)}", "    citation:"]
        lines += [f"      {key}: {written}" for key, written in cite.block(table, value).items()]
        lines.append(
            f"    reported: {{metric: {metric or 'TODO'}, value: {first.text}, unit: {unit}}}  # metric and unit: guessed"
        )
        lines.append("    tolerance: {pass: 2%, partial: 4%}  # TODO: how far a result may lie from the reported value")
        possible = metric in guess.SHARES and float(first.text) > 0
        active += possible
        if not possible:
            why = "needs another evaluator" if metric else "no metric of these evaluators is named in its headers"
            yield f"  # {why}:"
        yield from (line if possible else f"  # {line}" for line in lines)
        yield ""
    if not active:
        yield "  []  # TODO: no claim above can be scored as it stands"


def _id(name: str, taken: set[str]) -> str:
    plain = re.sub(r"[^a-z0-9.]+", "-", name.lower().replace("@", "")).strip("-.")[:100] or "claim"
    made, count = plain, 2
    while made in taken:
        made, count = f"{plain}-{count}", count + 1
    taken.add(made)
    return made
