"""The verdict table at the end of a session."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from pytest_claims.reports.facts import clean, difference, number

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

    from pytest_claims.reports.record import Record

HEADINGS = (
    "claim",
    "metric",
    "reported",
    "measured",
    "95 % interval",
    "difference",
    "n",
    "protocol",
    "confidence",
    "status",
)
_UNITS = {"percent": "%", "million": "M", "billion": "B", "count": "", "fraction": ""}
_COLOURS = {
    "pass": {"green": True},
    "partial": {"yellow": True},
    "fail": {"red": True},
    "pending": {"red": True},
    "error": {"red": True},
    "not_attempted": {"cyan": True},
}
ORDER = ("pass", "partial", "fail", "pending", "not_attempted", "error")


def row(record: Record) -> tuple[str, ...]:
    """The cells of one record, in the order of `HEADINGS`."""
    verdict, evidence = record["verdict"], record["evidence"]
    claim, unit = evidence["claim"], evidence["unit"]
    citation = verdict["claim_citation"]
    interval, confidence = evidence["interval"], verdict["confidence"]
    status = verdict["status"] + (" (as recorded)" if evidence["result"]["outcome"] == "expected" else "")
    return (
        claim["id"] or claim["file"],
        citation["reported_metric"] if citation else "–",
        f"{evidence['reported']} {_UNITS[unit]}".strip() if unit else "–",
        number(evidence["measured"], unit),
        f"{number(interval['low'], unit)} – {number(interval['high'], unit)}" if interval else "–",
        difference(evidence["difference"], unit),
        f"{evidence['n']:,}" if evidence["n"] else "–",
        verdict["protocol_match"] or "–",
        f"{confidence:.2f}" if confidence is not None else "–",
        status + (" PRE" if verdict["kind"] == "PRE" else ""),
    )


def show(reporter: pytest.TerminalReporter, records: Sequence[Record], *, dry_run: bool) -> None:
    """Write the table, and below it why a claim has no number or its number is not published."""
    reporter.section("claims", sep="=")
    rows = [tuple(map(clean, row(record))) for record in records]
    used = [i for i in range(len(HEADINGS)) if i in (0, 9) or any(cells[i] != "–" for cells in rows)]
    widths = {i: max(len(HEADINGS[i]), *(len(cells[i]) for cells in rows)) for i in used}

    def line(cells: Sequence[str]) -> str:
        # Numbers are read down a column, so they end at the same place; words start at the same place.
        parts = [cells[i].rjust(widths[i]) if i in (2, 3, 4, 5, 6, 8) else cells[i].ljust(widths[i]) for i in used]
        return "  ".join(parts).rstrip()

    reporter.write_line(line(HEADINGS), bold=True)
    for cells, record in zip(rows, records, strict=True):
        expected = record["evidence"]["result"]["outcome"] == "expected"
        colour: Any = {"yellow": True} if expected else _COLOURS[record["verdict"]["status"]]
        reporter.write_line(line(cells), **colour)
    _explain(reporter, records)
    if dry_run:
        _plans(reporter, records)
    counts = Counter(record["verdict"]["status"] for record in records)
    reporter.write_line(
        f"{len(records)} claims: " + ", ".join(f"{counts[status]} {status}" for status in ORDER if counts[status])
    )


def _explain(reporter: pytest.TerminalReporter, records: Sequence[Record]) -> None:
    """One line for each reason that keeps a claim from a pass, however many claims share it."""
    reasons: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if record["verdict"]["status"] != "pass":
            reasons.setdefault((record["verdict"]["status"], record["evidence"]["reason"]), []).append(record)
    for (status, reason), sharing in reasons.items():
        claims = [record["evidence"]["claim"] for record in sharing]
        names = [claim["id"] or claim["file"] for claim in claims]
        who = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        for text in reason.splitlines()[:10]:
            reporter.write_line(clean(f"  {status}: {who}: {text}"))
        for step in dict.fromkeys(record["evidence"]["next_step"] for record in sharing[:1]):
            if step:
                reporter.write_line(clean(f"    {step}"))


def _plans(reporter: pytest.TerminalReporter, records: Sequence[Record]) -> None:
    for record in records:
        claim = record["evidence"]["claim"]
        reporter.write_line(clean(f"plan of {claim['id'] or claim['file']}:"), bold=True)
        for axis in record["evidence"]["axes"]:
            reporter.write_line(clean(f"  {axis['axis']}: {axis['run']}"))
            if axis["consequence"] not in ("none", "not observed"):
                reporter.write_line(clean(f"    paper: {axis['paper']} → {axis['consequence']}"), yellow=True)
