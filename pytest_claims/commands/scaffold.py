"""Write a claim file with a claim for each number of a paper's table; metrics and units are guessed, and marked as guesses."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
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
    from pytest_claims.citation import cells, guess
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
    values = values[:CLAIMS]
    kinds = list(dict.fromkeys(filter(None, (_kind(guess.metric(value)) for _, value in values)))) or [KINDS[0]]
    shared = kinds[0] if len(kinds) == 1 else None
    written = "\n".join([*_head(Path(arguments.paper), shared), *_claims(values, shared), ""])
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
    sys.stderr.write(f"{text.line(f'{path}: {len(values)} numbers. Read each TODO and each guess.')}\n")
    return 0


def _named(value: Value, pattern: str) -> bool:
    from fnmatch import fnmatchcase

    name = " ".join(value.row_path)
    return fnmatchcase(name.casefold(), pattern.casefold())


def _head(paper: Path, kind: Kind | None) -> Iterator[str]:
    """The file above its claims; with the section run if one of them fits all claims."""
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
    if kind is None:
        yield "  # Each claim has its metric's family and its section run: the table holds several kinds of metrics."
    else:
        yield f"  metric: {kind.family}  # a guess"
        yield ""
        yield f"# {kind.told}"
        yield from _run(kind)
    yield ""
    yield "claims:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Metrics that one section run gives."""

    family: str
    predictions: str
    references: str
    told: str


_RELEASED = "Released {} are scored. {}"

KINDS = (
    Kind(
        family="coco-caption",
        predictions="{path: TODO.json, id: image_id, caption: caption}",
        references="{path: TODO-references.json}",
        told=_RELEASED.format("captions", "To run a model: evaluator: captioning (README.md)."),
    ),
    Kind(
        family="vqa",
        predictions="{path: TODO.json, id: question_id, output: answer}",
        references="{path: TODO-references.json, id: question_id, references: answers.answer}",
        told=_RELEASED.format("answers", "To ask a model: evaluator: answering (docs/answering.md)."),
    ),
    Kind(
        family="exact-match",
        predictions="{path: TODO.json, id: id, output: label}",
        references="{path: TODO-references.json, id: id, references: label}",
        told=_RELEASED.format(
            "labels",
            "A row has one label, or a list with the best first, which accuracy_top5 needs. To run a model: docs/extending.md.",
        ),
    ),
    Kind(
        family="retrieval",
        predictions="{path: TODO.json, id: id, output: ranking}",
        references="{path: TODO-references.json, id: id, references: right}",
        told=_RELEASED.format(
            "rankings",
            "A row has a list of ids, the best first. To rank with a model: evaluator: retrieval (docs/retrieval.md).",
        ),
    ),
)
"""The sections that can be written for metrics of outputs."""


def _kind(metric: str) -> Kind | None:
    """The section for a metric; None for one that is not scored from outputs."""
    from pytest_claims.spec import METRICS

    return next((kind for kind in KINDS if metric in METRICS and kind.family in METRICS[metric].families), None)


def _run(kind: Kind, indent: str = "") -> Iterator[str]:
    yield f"{indent}run:"
    yield f"{indent}  evaluator: predictions  # a guess"
    yield f"{indent}  predictions: {kind.predictions}"
    yield f"{indent}  references: {kind.references}"


def _claims(values: Sequence[tuple[Table, Value]], shared: Kind | None) -> Iterator[str]:
    """The claims; those whose metric is not scored from outputs stand in comments.

    Args:
        values: the numbers.
        shared: the kind of all of them; None if each claim states its own.
    """
    from pytest_claims.citation import guess, numbers

    taken: set[str] = set()
    active = 0
    for table, value in values:
        metric = guess.metric(value)
        kind = _kind(metric)
        unit = guess.unit(value, metric or "percent")
        (first, *_) = numbers.numbers(value.text)
        named = f"{' '.join(value.row_path)} {' '.join(value.column_path)}"
        lines = [f"  - id: {_id(named, taken)}", "    citation:"]
        lines += [f"      {key}: {written}" for key, written in cite.block(table, value).items()]
        lines.append(
            f"    reported: {{metric: {metric or 'TODO'}, value: {first.text}, unit: {unit}}}  # metric and unit: guessed"
        )
        lines.append("    tolerance: {pass: 2%, partial: 4%}  # TODO: how far a result may lie from the reported value")
        if kind is not None and shared is None:
            lines += [f"    protocol: {{metric: {kind.family}}}", *_run(kind, "    ")]
        possible = kind is not None and float(first.text) > 0
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
