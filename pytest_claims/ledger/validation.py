"""Checks every line of a ledger: its digest, and its model. With many lines, several processes share the work."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_claims.ledger import book, lines
from pytest_claims.ledger.book import Book, invalid

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_claims.ledger.book import Bounds, Data
    from pytest_claims.reports.format import Record

Found = TypeVar("Found")

MANY = 10_000
"""How many lines are worth more than one process."""

_SHARED: list[Any] = []
"""What the processes of `_spread` share. A forked process has it, with the mapped file, so that only results are sent."""


def broken_lines(data: Data, bounds: Sequence[Bounds]) -> set[int]:
    """`book.broken_lines`, by several processes."""
    return set(_spread(_broken, (data, bounds), len(bounds)))


def validate(ledger: Book) -> None:
    """Hold each line against its model and each summary against its record, and add what is wrong to the book's problems."""
    ledger.problems += _spread(_invalid, ledger, len(ledger.entries))


def _spread(work: Callable[[int, int], list[Found]], shared: Any, count: int) -> list[Found]:
    """What `work(start, length)` finds in `shared`, over all of `count` lines, in their order."""
    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    _SHARED.append(shared)
    try:
        if workers == 1 or count < MANY:
            return work(0, count)
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor

        step = -(-count // (workers * 4))
        starts = range(0, count, step)
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("fork")) as pool:
            return [one for found in pool.map(work, starts, [step] * len(starts)) for one in found]
    finally:
        _SHARED.clear()


def _broken(start: int, count: int) -> list[int]:
    data, bounds = _SHARED[0]
    return sorted(book.broken_lines(data, bounds[start : start + count]))


def _invalid(start: int, count: int) -> list[str]:
    return _invalid_lines(_SHARED[0], start, count)


def _invalid_lines(ledger: Book, start: int, count: int) -> list[str]:
    """What is wrong with `count` lines from `start` on."""
    from datetime import UTC, datetime, timedelta

    from pydantic import ValidationError

    from pytest_claims.ledger.format import MODELS

    tomorrow = lines.moment(datetime.now(UTC) + timedelta(days=1))
    problems: list[str] = []
    for entry in ledger.entries[start : start + count]:
        where = f"{ledger.name}:{entry.number}"
        try:
            found = MODELS[entry.event].model_validate_json(ledger.text(entry))
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
