"""What the checks of the citations gave, in one line: for the end of a terminal's table and for a summary."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_claims.reports.format import Record

ORDER = ("misattributed", "contradicted", "not_found", "unchecked", "confirmed")
"""The results, what a reader must know first."""


def counted(records: Sequence[Record]) -> str:
    """`Citations: 1 misattributed, 30 unchecked, 8 confirmed.`; empty where none was checked."""
    found: Counter[str] = Counter(record.evidence.citation.result for record in records if record.evidence.citation)
    told = [f"{found[result]:,} {result.replace('_', ' ')}" for result in ORDER if found[result]]
    return f"Citations: {', '.join(told)}." if told else ""
