"""Holds every line of a ledger against its model. With many lines, several processes share the work."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pytest_claims.ledger import lines
from pytest_claims.ledger.book import Book, invalid

if TYPE_CHECKING:
    from pytest_claims.reports.format import Record

MANY = 10_000
"""How many lines are worth more than one process."""

_SHARED: list[Book] = []
"""The ledger that the processes of `validate` share."""


def validate(book: Book) -> None:
    """Hold each line against its model and each summary against its record, and add what is wrong to the book's problems."""
    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    if workers == 1 or len(book.entries) < MANY:
        book.problems += _invalid_lines(book, 0, len(book.entries))
        return
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    _SHARED.append(book)  # a forked process has it, with the mapped file: nothing is sent but numbers and problems
    step = -(-len(book.entries) // (workers * 4))
    starts = range(0, len(book.entries), step)
    try:
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("fork")) as pool:
            for found in pool.map(_share, starts, [step] * len(starts)):
                book.problems += found
    finally:
        _SHARED.clear()


def _share(start: int, count: int) -> list[str]:
    return _invalid_lines(_SHARED[0], start, count)


def _invalid_lines(book: Book, start: int, count: int) -> list[str]:
    """What is wrong with `count` lines from `start` on."""
    from datetime import UTC, datetime, timedelta

    from pydantic import ValidationError

    from pytest_claims.ledger.format import MODELS

    tomorrow = lines.moment(datetime.now(UTC) + timedelta(days=1))
    problems: list[str] = []
    for entry in book.entries[start : start + count]:
        where = f"{book.name}:{entry.number}"
        try:
            found = MODELS[entry.event].model_validate_json(book.text(entry))
        except (ValidationError, KeyError) as error:
            problems.append(f"{where}: {invalid(error)}.")
            continue
        if entry.at > tomorrow:
            problems.append(f"{where}: was written at {entry.at}, which is in the future.")
        if entry.event == "verdict":
            about, record = found.about, found.record  # type: ignore[attr-defined] # of this event
            if about.model_dump() != summary(record):
                problems.append(f"{where}: its summary differs from its record.")
    return problems


def summary(record: Record) -> dict[str, Any]:
    """`lines.about` of a record, without the cost of its values as JSON."""
    issued, evidence, paper, latest = record.verdict, record.evidence, record.paper, record.latest_version
    stated = (paper and paper.arxiv_id) or (latest and latest.source_url) or (paper and paper.title) or ""
    return {
        "claim": evidence.claim.id,
        "digest": evidence.claim.digest,
        "evidence": evidence.digest,
        "kind": issued.kind,
        "measured": evidence.measured,
        "paper": stated,
        "status": issued.status,
        "unit": evidence.unit,
        "verdict": issued.id,
    }
