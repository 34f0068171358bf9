"""What the checks of the citations gave, in a few lines: for the end of a terminal's table and for a summary."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_claims.reports.format import Record

ORDER = ("misattributed", "contradicted", "not_found", "unchecked", "confirmed")
"""The results, what a reader must know first."""

REJECTED = ("misattributed", "contradicted", "not_found")

SHOWN = 10
"""How many rejected citations `lines` names."""


def counted(records: Sequence[Record]) -> str:
    """`Citations: 1 misattributed, 30 unchecked, 8 confirmed.`; empty where none was checked."""
    found: Counter[str] = Counter(record.evidence.citation.result for record in records if record.evidence.citation)
    told = [f"{found[result]:,} {result.replace('_', ' ')}" for result in ORDER if found[result]]
    return f"Citations: {', '.join(told)}." if told else ""


def lines(records: Sequence[Record]) -> Iterator[str]:
    """One line for all, then one for each rejected citation; nothing where no source was at hand.

    The lines hold words of claim files and papers: a terminal must show them through `text.line`.
    """
    if not any(record.evidence.citation and record.evidence.citation.source for record in records):
        return
    yield counted(records)
    rejected = [
        record for record in records if record.evidence.citation and record.evidence.citation.result in REJECTED
    ]
    for record in rejected[:SHOWN]:
        check = record.evidence.citation
        if check is not None:
            yield f"  {check.result.replace('_', ' ')}: {record.name}: {check.sentence}"
    if len(rejected) > SHOWN:
        yield f"  … and {len(rejected) - SHOWN:,} more"
