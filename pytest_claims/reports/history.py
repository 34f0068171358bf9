"""A verdict beside its claim's history in the ledger, as lines of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_claims.reports.numbers import number

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_claims.reports.format import Record
    from pytest_claims.reports.format.findings import Point

FEW = 5
"""How many earlier verdicts are shown as text; the JSON and the HTML report hold up to fifty."""


def marks(record: Record) -> list[str]:
    """What must stand beside a status wherever it is shown: `retracted`, `carried from 2026-11-24`."""
    found = record.evidence.history
    if found is None:
        return []
    said = ["retracted"] if found.retracted is not None else []
    return [*said, f"carried from {found.carried[:10]}"] if found.carried else said


def lines(record: Record) -> Iterator[str]:
    """The facts of a record's history, the most important first; nothing without a ledger."""
    found, unit = record.evidence.history, record.evidence.unit
    if found is None:
        return
    if found.retracted is not None:
        yield f"retracted: {found.retracted}"
    if found.carried:
        yield f"carried: the verdict of {found.carried} in the ledger; this session did not run the claim"
    yield f"history: {found.said}"
    for cause in found.causes:
        yield f"history, differs: {cause}"
    earlier = [point for point in found.points if point.verdict != record.verdict.id]
    for point in reversed(earlier[-FEW:]):
        yield f"history, {point.at[:10]}: {told(point, unit)}"
    if len(earlier) > FEW:
        yield f"history: {len(earlier) - FEW} more verdicts in the JSON and HTML reports"


def told(point: Point, unit: str | None) -> str:
    """One earlier verdict: `fail 20.00, v0.1.0-…, retracted: a broken GPU`."""
    measured = f" {number(point.measured, unit)}" if point.measured is not None else ""
    gone = f", retracted: {point.retracted}" if point.retracted is not None else ""
    return f"{point.status}{measured}, {point.agent_version}{gone}"


def summary(records: Sequence[Record]) -> Iterator[str]:
    """The lines for the terminal: every verdict that is worse, better or retracted, and counts of the others."""
    compared = [record for record in records if record.evidence.history is not None]
    for wanted in ("worse", "better"):
        for record in compared:
            found = record.evidence.history
            if found is not None and found.change == wanted and not found.carried:
                yield f"{wanted}: {record.name}: {found.said}"
    for record in compared:
        found = record.evidence.history
        if found is not None and found.retracted is not None:
            yield f"retracted: {record.name}: {found.retracted}"
    carried = [found.carried for record in compared if (found := record.evidence.history) is not None and found.carried]
    counts = {
        "new": sum(_is(record, "new") for record in compared),
        "unchanged": sum(_is(record, "unchanged") for record in compared),
        "carried forward": len(carried),
    }
    said = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
    if said:
        yield f"beside the ledger: {said}" + (f", the oldest of {min(carried)[:10]}" if carried else "")


def _is(record: Record, change: str) -> bool:
    found = record.evidence.history
    return found is not None and found.change == change and not found.carried
